//! What a client is answered.

use bytes::Bytes;
use contract::Guard;
use contract::denial::DENIED_BY_HEADER;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

use super::request::Service;
use crate::pkt;

/// A body of any kind.
pub(super) type Answer = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole text.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A refusal in plain text: git shows it after `remote: `.
pub(super) fn refused(status: StatusCode, told: &str) -> Response<Answer> {
    let mut answer = Response::new(whole(format!("{told}\n")));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(DENIED_BY_HEADER, HeaderValue::from_static(Guard::GitGate.name()));
    answer
}

/// For `healthcheck`.
pub(super) fn health(generation: u64) -> Response<Answer> {
    let mut answer = Response::new(whole(format!("git-gate generation {generation}\n")));
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    answer
}

/// The refs, as smart HTTP frames them.
pub(super) fn with_service(service: Service, refs: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(refs.len() + 64);
    pkt::append(&mut out, format!("# service={}\n", service.name()).as_bytes());
    out.extend_from_slice(pkt::FLUSH);
    out.extend_from_slice(refs);
    out
}

/// The answer to `info/refs`.
pub(super) fn advertisement(service: Service, body: Vec<u8>) -> Response<Answer> {
    typed(service, "advertisement", whole(body))
}

/// The answer to a fetch or push.
pub(super) fn result(service: Service, body: Answer) -> Response<Answer> {
    typed(service, "result", body)
}

fn typed(service: Service, what: &str, body: Answer) -> Response<Answer> {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&format!("application/x-{}-{what}", service.name())) {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}
