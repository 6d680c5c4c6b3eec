//! What stands between HTTP and the MCP library: sizes, health, cancellation, and answers that start in time.
//!
//! * A request body is read whole, up to [`MAX_REQUEST`]; a longer one is read to its end without being kept, so that its
//!   sender gets to see the refusal.
//! * The library serves the older revisions without sessions and drops their notifications. So `initialize` is answered
//!   with a session identifier that stands for nothing but itself (it outlives a restart of the server), and
//!   `notifications/cancelled` is matched here by session and request.
//! * On the newest revision the library sends no response head before a call's first message. Where the client wants no
//!   progress there is none while a person thinks, so the head is sent after [`HEAD_AFTER`] with a comment as its first event.
//!
//! What it refuses to do: know a tool.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use rmcp::model::RequestId;
use serde::Deserialize;

use crate::calls::{CallKey, Calls};

/// The longest request that is read, in bytes: a proposal at its longest, with every byte escaped in JSON, is shorter.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// How much of a request that is too long is read before the connection is closed, in bytes.
const MAX_DRAINED: usize = 64 * 1024 * 1024;

/// How long a call may stay without a response head.
pub const HEAD_AFTER: Duration = Duration::from_secs(1);

/// The header by which the older revisions name a session.
pub const SESSION_HEADER: &str = "mcp-session-id";

/// As much of a message as is needed here.
#[derive(Debug, Deserialize)]
struct Peek {
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<PeekParams>,
}

#[derive(Debug, Deserialize)]
struct PeekParams {
    #[serde(default, rename = "requestId")]
    request_id: Option<RequestId>,
}

/// The layer around the MCP endpoint.
pub async fn pass(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let bytes = match read(body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let session = parts
        .headers
        .get(SESSION_HEADER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let peek: Option<Peek> = serde_json::from_slice(&bytes).ok();
    let method = peek.as_ref().and_then(|peek| peek.method.clone());
    if method.as_deref() == Some("notifications/cancelled")
        && let Some(request) = peek.and_then(|peek| peek.params?.request_id)
    {
        calls.cancel(&CallKey { session, request });
    }
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let request = Request::from_parts(parts, Body::from(bytes));
    match method.as_deref() {
        Some("tools/call") => with_head_in_time(next, request).await,
        Some("initialize") => with_session(next.run(request).await),
        _ => next.run(request).await,
    }
}

async fn read(mut body: Body) -> Result<Bytes, Response> {
    let mut kept = Vec::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(refusal(StatusCode::BAD_REQUEST, "the request broke off"));
        };
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > MAX_DRAINED {
            break;
        }
        if length <= MAX_REQUEST {
            kept.extend_from_slice(&data);
        } else {
            kept = Vec::new();
        }
    }
    if length > MAX_REQUEST {
        let message = format!(
            "the request is longer than {MAX_REQUEST} bytes, so nothing was asked. Shorten the justification or the file and \
             call again"
        );
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, &message));
    }
    Ok(kept.into())
}

/// An HTTP error whose body is a JSON-RPC error, which clients show. −32600 is JSON-RPC's "invalid request".
fn refusal(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": {"code": -32600, "message": format!("supervise: {message}")},
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn with_session(mut response: Response) -> Response {
    let session = format!("{:032x}", rand::random::<u128>());
    if response.status() == StatusCode::OK
        && let Ok(value) = HeaderValue::try_from(session)
    {
        response.headers_mut().insert(SESSION_HEADER, value);
    }
    response
}

async fn with_head_in_time(next: Next, request: Request) -> Response {
    let mut running: Running = Box::pin(next.run(request));
    tokio::select! {
        response = &mut running => response,
        () = tokio::time::sleep(HEAD_AFTER) => {
            let mut response = Response::new(Body::new(Late::Silent(running)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An event stream whose head is sent before the response it carries is there. Dropped, it drops that, too.
enum Late {
    /// Nothing was sent yet.
    Silent(Running),
    /// The comment was sent.
    Waiting(Running),
    /// The response is there, as an event stream.
    Stream(Body),
    /// The response is there, as one JSON text: becomes an event.
    Text(Body, Vec<u8>),
    /// All was sent.
    Done,
}

// === impl Late ===

impl HttpBody for Late {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            match &mut *self {
                Self::Silent(_) => {
                    if let Self::Silent(running) = std::mem::replace(&mut *self, Self::Done) {
                        *self = Self::Waiting(running);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b": waiting\n\n")))));
                }
                Self::Waiting(running) => {
                    let response = ready!(running.as_mut().poll(cx));
                    let is_stream = response
                        .headers()
                        .get(CONTENT_TYPE)
                        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
                    let body = response.into_body();
                    *self = if is_stream {
                        Self::Stream(body)
                    } else {
                        Self::Text(body, b"data: ".to_vec())
                    };
                }
                Self::Stream(body) => return Pin::new(body).poll_frame(cx),
                Self::Text(body, text) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(frame) => {
                        if let Ok(data) = frame?.into_data() {
                            text.extend_from_slice(&data);
                        }
                    }
                    None => {
                        text.extend_from_slice(b"\n\n");
                        let event = Bytes::from(std::mem::take(text));
                        *self = Self::Done;
                        return Poll::Ready(Some(Ok(Frame::data(event))));
                    }
                },
                Self::Done => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn late(kind: &'static str, text: &'static str) -> Bytes {
        let running: Running = Box::pin(async move {
            let mut response = Response::new(Body::from(text));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        });
        Body::new(Late::Silent(running))
            .collect()
            .await
            .unwrap()
            .to_bytes()
    }

    #[tokio::test]
    async fn a_late_answer_is_an_event_whatever_it_was() {
        let stream = late("text/event-stream", "data: 1\n\n").await;
        assert_eq!(stream, ": waiting\n\ndata: 1\n\n");
        let error = late("application/json", "{\"error\":1}").await;
        assert_eq!(error, ": waiting\n\ndata: {\"error\":1}\n\n");
    }

    #[tokio::test]
    async fn a_request_is_read_up_to_its_limit_and_refused_above_it() {
        assert_eq!(
            read(Body::from(vec![b'x'; MAX_REQUEST])).await.unwrap().len(),
            MAX_REQUEST
        );
        let refused = read(Body::from(vec![b'x'; MAX_REQUEST + 1])).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
