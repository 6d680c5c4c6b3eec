//! Answers that the seat itself gives: JSON, marked with who gave them.

use bytes::Bytes;
use contract::denial::DENIED_BY_HEADER;
use contract::{Denial, DenialReason, Guard, Remedy};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use mitm::LocalResponse;
use serde::Serialize;

/// A refusal in the common form.
pub fn denial(
    status: StatusCode,
    reason: DenialReason,
    host: Option<String>,
    message: String,
    remedy: Option<Remedy>,
) -> LocalResponse {
    let body = Denial {
        denied_by: Guard::Pipelock,
        reason,
        host,
        message,
        remedy,
    };
    let mut answer = json(status, &body);
    answer.headers_mut().insert(
        HeaderName::from_static(DENIED_BY_HEADER),
        HeaderValue::from_static("pipelock"),
    );
    answer
}

/// Any value as JSON on one line.
pub fn json(status: StatusCode, value: &impl Serialize) -> LocalResponse {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    let mut answer = Response::new(Bytes::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
