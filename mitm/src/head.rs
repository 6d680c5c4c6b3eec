//! Judging an HTTP/1 request head on its raw bytes, before hyper sees them.
//!
//! hyper forgives where a proxy must not: it takes a bare LF for a line end, drops `Content-Length` when
//! `Transfer-Encoding` is there, merges repeated lengths, takes `gzip, chunked`, strips a fragment, and answers
//! what it does refuse with an empty body of its own. Two readers of the same bytes that differ are how
//! requests are smuggled, so here a head has one reading or is refused, with a reason that can be reported.

use std::mem::MaybeUninit;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::authority::Authority;
use crate::refusal::Reason;
use crate::target;

/// Header fields in one head; hyper has the same limit.
const MAX_FIELDS: usize = 100;

/// Which leg of a connection a head comes in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// In the clear, straight to the proxy.
    Plain,
    /// Inside CONNECT and TLS.
    Tunnel,
}

/// How a message's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// A head that has exactly one reading.
#[derive(Debug)]
pub(crate) enum Head {
    /// CONNECT. It has no body.
    Connect(ConnectHead),
    /// Anything else, for hyper to read again.
    Ordinary { framing: Framing },
}

#[derive(Debug)]
pub(crate) struct ConnectHead {
    pub(crate) authority: Authority,
    pub(crate) headers: HeaderMap,
}

/// A refused head. What could be read of it goes into the access event.
#[derive(Debug)]
pub(crate) struct HeadError {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    pub(crate) method: Option<Method>,
    pub(crate) target: Option<Vec<u8>>,
}

// === where a head ends ===

/// Looks for the end of a head in `bytes`, of which the first `seen` were looked at before without finding it.
/// Returns the head's length, or none while it is incomplete. A line that ends in a bare LF is an error.
pub(crate) fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, HeadError> {
    // Two bytes back: the CR of a line end, or a line end that waits for the empty line.
    let from = seen.saturating_sub(3);
    for at in memchr::memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
        let at = from + at;
        if at == 0 || bytes.get(at - 1) != Some(&b'\r') {
            return Err(HeadError::new(
                Reason::MalformedHead,
                "a line of the head ends in LF without CR",
            ));
        }
        if bytes.get(at + 1..at + 3) == Some(b"\r\n") {
            return Ok(Some(at + 3));
        }
    }
    Ok(None)
}

/// Whether these first bytes can still become a request line. Catches TLS and other protocols spoken straight
/// to the proxy at once instead of after the time-out.
pub(crate) fn may_be_request(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(u8::is_ascii_alphabetic)
}

// === judging ===

/// Judges a complete head (up to and with its empty line).
pub(crate) fn judge(bytes: &[u8], leg: Leg) -> Result<Head, HeadError> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => {
            return Err(HeadError::new(
                Reason::MalformedHead,
                "the head does not end at its empty line",
            ));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(HeadError::new(
                Reason::HeadTooLarge,
                format!("more than {MAX_FIELDS} header fields in one request"),
            ));
        }
        Err(error) => return Err(HeadError::new(Reason::MalformedHead, describe(error))),
    }
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default();
    let http11 = request.version == Some(1);
    judge_parsed(method, target, http11, request.headers, leg).map_err(|error| HeadError {
        method: Method::from_bytes(method.as_bytes()).ok(),
        target: Some(target.as_bytes().to_vec()),
        ..error
    })
}

fn judge_parsed(
    method: &str,
    target: &str,
    http11: bool,
    fields: &[httparse::Header<'_>],
    leg: Leg,
) -> Result<Head, HeadError> {
    let framing = framing_of(http11, fields)?;
    if method == "CONNECT" {
        if framing != Framing::Length(0) {
            return Err(HeadError::new(
                Reason::AmbiguousFraming,
                "a CONNECT request has no body",
            ));
        }
        return connect_head(target, fields).map(Head::Connect);
    }
    target::check(target.as_bytes(), leg).map_err(|(reason, detail)| HeadError::new(reason, detail))?;
    Ok(Head::Ordinary { framing })
}

/// The length of the body, if the fields say it exactly once and in the plainest way.
fn framing_of(http11: bool, fields: &[httparse::Header<'_>]) -> Result<Framing, HeadError> {
    let refuse = |what| Err(HeadError::new(Reason::AmbiguousFraming, what));
    let mut framing = None;
    for field in fields {
        // Both names by their length first: this runs for every field of every request.
        let next = match field.name.len() {
            14 if field.name.eq_ignore_ascii_case("content-length") => match plain_number(field.value) {
                Some(length) => Framing::Length(length),
                None => return refuse("Content-Length must be one decimal number"),
            },
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                if !http11 {
                    return refuse("HTTP/1.0 has no Transfer-Encoding");
                }
                if !field.value.eq_ignore_ascii_case(b"chunked") {
                    return refuse("Transfer-Encoding must be exactly \"chunked\"");
                }
                Framing::Chunked
            }
            _ => continue,
        };
        if framing.replace(next).is_some() {
            return refuse("the length of the body is given more than once");
        }
    }
    Ok(framing.unwrap_or(Framing::Length(0)))
}

/// `1*DIGIT` that fits. hyper reserves the two highest lengths for itself.
fn plain_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value)
        .ok()?
        .parse()
        .ok()
        .filter(|&length| length < u64::MAX - 1)
}

fn connect_head(target: &str, fields: &[httparse::Header<'_>]) -> Result<ConnectHead, HeadError> {
    let authority = Authority::parse_connect(target.as_bytes())
        .map_err(|error| HeadError::new(Reason::BadAuthority, format!("CONNECT target: {error}")))?;
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(field.name.as_bytes()),
            HeaderValue::from_bytes(field.value),
        ) else {
            return Err(HeadError::new(
                Reason::MalformedHead,
                "a header field is malformed",
            ));
        };
        headers.append(name, value);
    }
    // A missing Host is common here (HTTP/1.0 clients of proxies); a contradicting one is an attack.
    let mut hosts = headers.get_all(http::header::HOST).iter();
    if let Some(host) = hosts.next() {
        let named = Authority::parse(host.as_bytes(), authority.port)
            .map_err(|error| HeadError::new(Reason::BadAuthority, format!("Host: {error}")))?;
        if hosts.next().is_some() {
            return Err(HeadError::new(Reason::BadHostHeader, "more than one Host header"));
        }
        if named != authority {
            return Err(HeadError::new(
                Reason::AuthorityMismatch,
                format!("CONNECT names {authority} and Host names {named}"),
            ));
        }
    }
    Ok(ConnectHead { authority, headers })
}

fn describe(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a header name is malformed (or a line is folded)",
        httparse::Error::HeaderValue => "a header value contains a control byte",
        httparse::Error::NewLine => "a line of the head does not end in CR LF",
        httparse::Error::Token => "the request line is malformed",
        httparse::Error::Version => "the request line does not end in HTTP/1.1 or HTTP/1.0",
        _ => "the head is not HTTP/1",
    }
}

impl HeadError {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            method: None,
            target: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(text: &str) -> Result<Head, Reason> {
        judge_on(text, Leg::Tunnel)
    }

    fn judge_on(text: &str, leg: Leg) -> Result<Head, Reason> {
        let bytes = text.as_bytes();
        let end = find_end(bytes, 0)
            .map_err(|error| error.reason)?
            .expect("a complete head");
        judge(&bytes[..end], leg).map_err(|error| error.reason)
    }

    #[test]
    fn a_body_length_is_read_when_it_is_said_once() {
        for (fields, framing) in [
            ("", Framing::Length(0)),
            ("Content-Length: 0\r\n", Framing::Length(0)),
            ("content-length:  17 \r\n", Framing::Length(17)),
            ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
        ] {
            let head = judged(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).unwrap();
            assert!(
                matches!(head, Head::Ordinary { framing: f } if f == framing),
                "{fields:?}: {head:?}"
            );
        }
    }

    #[test]
    fn a_body_length_that_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551615\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            assert_eq!(judged(&head).unwrap_err(), Reason::AmbiguousFraming, "{fields:?}");
        }
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(judged(old).unwrap_err(), Reason::AmbiguousFraming);
    }

    #[test]
    fn a_head_that_breaks_the_grammar_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nX : a\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\n X: a\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "G\0T / HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(judged(head).unwrap_err(), Reason::MalformedHead, "{head:?}");
        }
        let many = "x: y\r\n".repeat(MAX_FIELDS + 1);
        assert_eq!(
            judged(&format!("GET / HTTP/1.1\r\n{many}\r\n")).unwrap_err(),
            Reason::HeadTooLarge
        );
    }

    #[test]
    fn a_connect_head_names_one_authority() {
        use Reason as R;
        let connect = |target: &str, rest: &str| {
            judge_on(&format!("CONNECT {target} HTTP/1.1\r\n{rest}\r\n"), Leg::Plain)
        };
        for fields in [
            "",
            "Host: A.com\r\n",
            "Host: a.com:443\r\n",
            "Content-Length: 0\r\n",
        ] {
            let Ok(Head::Connect(head)) = connect("a.com:443", fields) else {
                panic!("{fields:?}")
            };
            assert_eq!(head.authority.to_string(), "a.com:443");
        }
        for (target, fields, reason) in [
            ("a.com", "", R::BadAuthority),
            ("http://a.com:443", "", R::BadAuthority),
            ("a.com:443/", "", R::BadAuthority),
            ("a.com:443", "Host: b.com\r\n", R::AuthorityMismatch),
            ("a.com:443", "Host: a.com:80\r\n", R::AuthorityMismatch),
            ("a.com:443", "Host: a.com\r\nHost: a.com\r\n", R::BadHostHeader),
            ("a.com:443", "Host: a@b\r\n", R::BadAuthority),
            ("a.com:443", "Content-Length: 3\r\n", R::AmbiguousFraming),
            ("a.com:443", "Transfer-Encoding: chunked\r\n", R::AmbiguousFraming),
        ] {
            assert_eq!(
                connect(target, fields).unwrap_err(),
                reason,
                "{target} {fields:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = find_end(&bytes, 0);
            let _ = judge(&bytes, Leg::Plain);
            let _ = judge(&bytes, Leg::Tunnel);
        }

        #[test]
        fn the_end_is_found_at_the_same_place_however_the_bytes_arrive(
            head in "[a-z :]{0,8}(\r\n[a-z :]{0,5}){0,6}\r\n\r\n[a-z\r]{0,9}",
            cut in 0usize..64,
        ) {
            let whole = find_end(head.as_bytes(), 0).ok().flatten();
            let cut = cut.min(head.len());
            let first = find_end(&head.as_bytes()[..cut], 0).ok().flatten();
            let then = first.or_else(|| find_end(head.as_bytes(), cut).ok().flatten());
            prop_assert_eq!(then, whole);
            prop_assert!(whole.is_some());
        }
    }
}
