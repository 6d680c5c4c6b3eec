//! Header fields that belong to one connection and are never forwarded.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Fields of one hop (RFC 9110 §7.6.1 and what older proxies use). `Trailer` is not among them: in a response it announces
/// fields that are forwarded. `Proxy-Authorization` is removed later, for the policy to see it first.
const HOP_BY_HOP: [HeaderName; 5] = [
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Fields that must not be in a trailer section: framing, routing, credentials and what controls how the
/// message itself is read (RFC 9110 §6.5.1).
const NEVER_IN_TRAILERS: [HeaderName; 23] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TRAILER,
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::WWW_AUTHENTICATE,
    header::COOKIE,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    header::EXPECT,
    header::RANGE,
    header::ALT_SVC,
    header::LOCATION,
    HeaderName::from_static("keep-alive"),
    // A guard says that it refused in the head of its answer, and nobody says so behind it.
    HeaderName::from_static("x-bottle-denied-by"),
];

/// What the removed fields of a request asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `Connection: upgrade` with `Upgrade: websocket`.
    pub(crate) websocket: bool,
    /// `TE: trailers`.
    pub(crate) trailers: bool,
}

/// Removes from a request what belongs to the agent's hop, and says what that asked for.
pub(crate) fn strip_request(headers: &mut HeaderMap) -> Asked {
    let asked = Asked {
        websocket: has_token(headers, &header::UPGRADE, "websocket")
            && has_token(headers, &header::CONNECTION, "upgrade"),
        trailers: has_token(headers, &header::TE, "trailers"),
    };
    strip_hop_by_hop(headers);
    headers.remove("http2-settings");
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    // It announces what is not forwarded.
    headers.remove(header::TRAILER);
    join_cookies(headers);
    asked
}

/// Removes from a response what belongs to the upstream's hop, and `Alt-Svc`, which would lead the agent
/// around this proxy.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(header::PROXY_AUTHENTICATE);
    headers.remove("proxy-authentication-info");
    headers.remove(header::ALT_SVC);
}

/// Whether a response says a transfer coding that hyper has not undone.
pub(crate) fn has_foreign_coding(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Makes a response's `Content-Length` say what is really sent: `exact` bytes, or (none) an unknown number. A
/// response whose body is not sent at all (HEAD, 304) keeps the length that it speaks of, if it speaks of one.
pub(crate) fn settle_length(headers: &mut HeaderMap, bodiless: bool, exact: Option<u64>) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    if bodiless {
        if lengths.next().is_some() || !first.as_bytes().iter().all(u8::is_ascii_digit) {
            headers.remove(header::CONTENT_LENGTH);
        }
        return;
    }
    match exact {
        Some(length) => headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
        None => headers.remove(header::CONTENT_LENGTH),
    };
}

/// Removes from a trailer section what must not be there.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    for name in &NEVER_IN_TRAILERS {
        trailers.remove(name);
    }
}

/// `TE: trailers` is given back for gRPC alone, which does not work without.
pub(crate) fn restore_te(headers: &mut HeaderMap, asked: Asked) {
    let grpc = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if asked.trailers && grpc {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most requests have no Connection field, or only `keep-alive` and `close` in it.
    if headers.contains_key(header::CONNECTION) {
        let mut named = Vec::new();
        for value in headers.get_all(header::CONNECTION) {
            named.extend(tokens(value).filter_map(|token| HeaderName::from_bytes(token).ok()));
        }
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// HTTP/2 may send a cookie in crumbs; HTTP/1 knows one `Cookie` field only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<_> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(tokens)
        .any(|candidate| candidate.eq_ignore_ascii_case(token.as_bytes()))
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_request_loses_what_belongs_to_its_hop() {
        let mut headers = map(&[
            ("connection", "close, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers, deflate"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("content-length", "3"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic x"),
            ("authorization", "Bearer y"),
            ("trailer", "x-sum"),
        ]);
        let asked = strip_request(&mut headers);
        assert_eq!(
            asked,
            Asked {
                websocket: false,
                trailers: true
            }
        );
        let left = map(&[("proxy-authorization", "Basic x"), ("authorization", "Bearer y")]);
        assert_eq!(headers, left);
    }

    #[test]
    fn a_response_loses_what_belongs_to_its_hop_and_alt_svc() {
        let mut headers = map(&[
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("alt-svc", "h3=\":443\""),
            ("proxy-authenticate", "Basic"),
            ("content-length", "3"),
            ("trailer", "x-sum"),
        ]);
        strip_response(&mut headers);
        assert_eq!(headers, map(&[("content-length", "3"), ("trailer", "x-sum")]));
    }

    #[test]
    fn a_length_says_what_is_sent() {
        for (lengths, bodiless, exact, settled) in [
            (&["5"][..], false, Some(5), Some("5")),
            (&["5", "5"], false, Some(5), Some("5")),
            (&["5, 5"], false, Some(5), Some("5")),
            // Transfer-Encoding had the last word.
            (&["5"], false, None, None),
            (&["1234"], true, Some(0), Some("1234")),
            (&["1234", "5"], true, Some(0), None),
            (&[], false, Some(5), None),
        ] {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append("content-length", HeaderValue::from_static(length));
            }
            settle_length(&mut headers, bodiless, exact);
            let left: Vec<_> = headers.get_all("content-length").iter().collect();
            assert_eq!(left, Vec::from_iter(settled), "{lengths:?}");
        }
    }

    #[test]
    fn a_websocket_request_is_known_by_both_its_fields() {
        let both = [("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")];
        assert!(strip_request(&mut map(&both)).websocket);
        assert!(!strip_request(&mut map(&both[..1])).websocket);
        assert!(!strip_request(&mut map(&both[1..])).websocket);
    }

    #[test]
    fn te_comes_back_for_grpc_alone() {
        for (content_type, back) in [("application/grpc+proto", true), ("application/json", false)] {
            let mut headers = map(&[("content-type", content_type)]);
            restore_te(
                &mut headers,
                Asked {
                    websocket: false,
                    trailers: true,
                },
            );
            assert_eq!(headers.contains_key("te"), back, "{content_type}");
        }
    }

    #[test]
    fn cookie_crumbs_become_one_field() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("a=1"));
        headers.append("cookie", HeaderValue::from_static("b=2"));
        strip_request(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2")]));
    }

    #[test]
    fn trailers_keep_no_field_that_steers_or_authenticates() {
        let mut trailers = map(&[
            ("authorization", "x"),
            ("host", "evil"),
            ("x-bottle-denied-by", "pipelock"),
            ("grpc-status", "0"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0")]));
    }
}
