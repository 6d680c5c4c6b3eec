//! Plain answers: what any request gets that no other module knows, and the forms that all of them use.

use super::Seen;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use std::convert::Infallible;

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// Repeats what arrived; the last segment of the path may ask for something else.
pub(super) fn echo(seen: &Seen) -> Response<Body> {
    let last = seen.path().rsplit('/').next().unwrap_or_default();
    let mut response = match last {
        "events" => streamed(
            "text/event-stream",
            (1..=3)
                .map(|n| Frame::data(Bytes::from(format!("data: event {n}\n\n"))))
                .collect(),
        ),
        "megabyte" => streamed(
            "application/octet-stream",
            vec![Bytes::from(vec![b'x'; 64 * 1024]); 16]
                .into_iter()
                .map(Frame::data)
                .collect(),
        ),
        // An upstream that repeats what it was sent, credential included: what a tripwire is for.
        "mirror" => Response::new(full(
            seen.headers
                .get("authorization")
                .cloned()
                .unwrap_or_default()
                .into(),
        )),
        _ => {
            let told = serde_json::json!({
                "upstream": seen.host, "method": seen.method, "target": seen.target,
                "body_bytes": seen.body_bytes, "body_sha256": seen.body_sha256,
            });
            whole("application/json", Bytes::from(format!("{told}\n")))
        }
    };
    if last == "teapot" {
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
    }
    response
}

/// A body that is there at once.
pub(super) fn whole(content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    typed(content_type, full(bytes.into()))
}

/// A body of frames; the last may be trailers.
pub(super) fn streamed(content_type: &'static str, frames: Vec<Frame<Bytes>>) -> Response<Body> {
    let frames = futures_util::stream::iter(frames.into_iter().map(Ok));
    typed(content_type, BoxBody::new(StreamBody::new(frames)))
}

/// What could not be made, for the log of the test that asked.
pub(super) fn broken(why: &anyhow::Error) -> Response<Body> {
    let mut response = whole("text/plain", format!("fixture: {why:#}\n"));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed()
}

fn typed(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(content_type));
    response
}
