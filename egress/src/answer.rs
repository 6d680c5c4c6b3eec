//! Answers that egress itself gives: JSON, marked with who gave them.

use bytes::Bytes;
use contract::denial::DENIED_BY_HEADER;
use contract::{Denial, DenialReason, Guard, Remedy};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
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
        denied_by: Guard::Egress,
        reason,
        host,
        message,
        remedy,
    };
    let mut answer = json(status, &body);
    answer.headers_mut().insert(
        HeaderName::from_static(DENIED_BY_HEADER),
        HeaderValue::from_static("egress"),
    );
    answer
}

/// git shows the body of a refusal only when it is plain text, and otherwise nothing but the status: to git the same bytes
/// are called that (remote-curl.c, `show_http_message`).
pub fn show_in_git(headers: &HeaderMap, answer: &mut LocalResponse) {
    let git = headers
        .get(USER_AGENT)
        .is_some_and(|agent| agent.as_bytes().starts_with(b"git/"));
    if git {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, plain);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn push_refused(agent: &'static str) -> LocalResponse {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let reason = DenialReason::UseGitGate;
        let mut answer = denial(
            StatusCode::FORBIDDEN,
            reason,
            None,
            "not over HTTP".to_owned(),
            None,
        );
        show_in_git(&headers, &mut answer);
        answer
    }

    #[test]
    fn git_is_told_the_same_refusal_in_a_type_that_it_shows() {
        let (git, other) = (push_refused("git/2.47.3"), push_refused("git-lfs/3.6"));
        assert_eq!(git.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(other.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(git.body(), other.body());
        assert_eq!(git.headers()[DENIED_BY_HEADER], "egress");
    }
}
