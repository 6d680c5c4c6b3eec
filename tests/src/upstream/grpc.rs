//! A gRPC service of three methods over raw bytes: what is sent comes back, once or three times, and the status comes in
//! the trailers, as gRPC has it.

use super::answer::{Body, streamed};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::Frame;

/// gRPC's status for a request that its server cannot serve in the state it is in.
const FAILED_PRECONDITION: &str = "9";

/// By the content type, as a gRPC server tells it.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers
        .get("content-type")
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// `/…/Three` answers three messages, `/…/Fail` a status without any, everything else one.
pub(super) fn answer(path: &str, body: &[u8]) -> Response<Body> {
    let message = first_message(body).unwrap_or_default();
    let mut trailers = HeaderMap::new();
    let answers = match path.rsplit('/').next() {
        Some("Fail") => {
            trailers.insert("grpc-status", HeaderValue::from_static(FAILED_PRECONDITION));
            trailers.insert("grpc-message", HeaderValue::from_static("as asked"));
            Vec::new()
        }
        Some("Three") => (1..=3)
            .map(|number| [message, format!(" {number}").as_bytes()].concat())
            .collect(),
        _ => vec![message.to_vec()],
    };
    if trailers.is_empty() {
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
    }
    trailers.insert("x-messages", HeaderValue::from(answers.len()));
    let mut frames: Vec<Frame<Bytes>> = answers.iter().map(|answer| Frame::data(framed(answer))).collect();
    frames.push(Frame::trailers(trailers));
    streamed("application/grpc", frames)
}

/// A message in gRPC's framing: a flag for compression, the length in four bytes, the message.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn first_message(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_first_chunk::<5>()?;
    let [0, length @ ..] = *head else { return None };
    rest.get(..usize::try_from(u32::from_be_bytes(length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn collected(path: &str, message: &[u8]) -> (Bytes, HeaderMap) {
        let collected = answer(path, &framed(message))
            .into_body()
            .collect()
            .await
            .unwrap();
        let trailers = collected.trailers().cloned().unwrap();
        (collected.to_bytes(), trailers)
    }

    #[tokio::test]
    async fn a_message_comes_back_and_its_status_in_the_trailers() {
        let (body, trailers) = collected("/fixture.Echo/Once", b"hello").await;
        assert_eq!(first_message(&body), Some(&b"hello"[..]));
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-messages"]),
            (&HeaderValue::from(0), &HeaderValue::from(1))
        );
    }

    #[tokio::test]
    async fn a_failure_has_trailers_alone() {
        let (body, trailers) = collected("/fixture.Echo/Fail", b"hello").await;
        assert!(body.is_empty());
        assert_eq!(trailers["grpc-status"], FAILED_PRECONDITION);
    }
}
