//! Headers and query fields by which some servers take another method or path than the request line's.
//!
//! A route that filters methods or paths must hold for what the upstream acts on. Frameworks that tunnel methods through
//! POST and front ends that pass a rewritten URL read these names, so each value found is judged as if it stood in
//! the request line.

use std::borrow::Cow;

use contract::matcher::Refusal;
use contract::{RequestLine, Route, reading};
use http::{HeaderMap, HeaderName};

/// Headers that replace the method (Google's, Microsoft's, and the spelling that Rails and Symfony read).
const METHOD_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// Headers that replace path and query (IIS rewriting; Symfony and Zend read them too).
const PATH_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// Query field that replaces the method (Rails, Laravel, Symfony).
const METHOD_FIELD: &[u8] = b"_method";

/// Headers in which a front end tells who asked it for what. An agent is no front end: whatever it says there is not true, and some
/// servers route by it.
const FORWARDING_HEADERS: [&str; 2] = ["forwarded", "x-host"];
const FORWARDING_PREFIXES: [&str; 2] = ["x-forwarded-", "x-original-host"];

/// Takes out the headers that claim a front end.
pub fn strip_forwarding(headers: &mut HeaderMap) {
    let claims = |name: &HeaderName| {
        let name = dashed(name);
        FORWARDING_HEADERS.contains(&name.as_ref())
            || FORWARDING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let found: Vec<HeaderName> = headers.keys().filter(|name| claims(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Whether anything beside the request line names a method.
pub fn replaces_method(query: Option<&[u8]>, headers: &HeaderMap) -> bool {
    values(headers, &METHOD_HEADERS).next().is_some() || method_fields(query).next().is_some()
}

/// The headers that name another method or path, to be judged again.
pub fn of(headers: &HeaderMap) -> HeaderMap {
    let mut found = HeaderMap::new();
    for (name, value) in headers {
        let dashed = dashed(name);
        let is = |known: &HeaderName| known.as_str() == dashed;
        if METHOD_HEADERS.iter().any(is) || PATH_HEADERS.iter().any(is) {
            found.append(name.clone(), value.clone());
        }
    }
    found
}

/// A header's name as gateways read it that turn names into variables (CGI, WSGI): there `_` and `-` are one.
fn dashed(name: &HeaderName) -> Cow<'_, str> {
    if name.as_str().contains('_') {
        Cow::Owned(name.as_str().replace('_', "-"))
    } else {
        Cow::Borrowed(name.as_str())
    }
}

fn values<'h>(headers: &'h HeaderMap, names: &'h [HeaderName]) -> impl Iterator<Item = &'h [u8]> {
    headers
        .iter()
        .filter(|(name, _)| {
            let dashed = dashed(name);
            names.iter().any(|known| known.as_str() == dashed)
        })
        .map(|(_, value)| value.as_bytes())
}

/// The decoded values of `_method` in a query.
fn method_fields(query: Option<&[u8]>) -> impl Iterator<Item = Vec<u8>> {
    let fields = query
        .unwrap_or_default()
        .split(|byte| matches!(byte, b'&' | b';'));
    fields.filter_map(|field| {
        let mut halves = field.splitn(2, |byte| *byte == b'=');
        let key = reading::percent_decode(halves.next().unwrap_or_default());
        names_method(&key).then(|| reading::percent_decode(halves.next().unwrap_or_default()))
    })
}

/// Whether a field of this name, decoded, is one that replaces the method: in any case, with what PHP leaves out before and after a
/// name, and with what it turns into `_`.
pub fn names_method(name: &[u8]) -> bool {
    let name = name
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .trim_ascii();
    match (name.split_first(), METHOD_FIELD.split_first()) {
        (Some((first, rest)), Some((_, method))) => {
            matches!(first, b'_' | b'.' | b'[') && rest.eq_ignore_ascii_case(method)
        }
        _ => false,
    }
}

/// Judges what would replace the request line, on routes that filter by it.
pub fn judge(
    route: &Route,
    line: RequestLine<'_>,
    query: Option<&[u8]>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if route.methods.is_some() {
        for value in values(headers, &METHOD_HEADERS) {
            admits_method(route, line, value)?;
        }
        for value in method_fields(query) {
            admits_method(route, line, &value)?;
        }
    }
    if route.path_allowlist.is_some() {
        for value in values(headers, &PATH_HEADERS) {
            let path = value.split(|byte| *byte == b'?').next().unwrap_or_default();
            route.admits(RequestLine { path, ..line })?;
        }
    }
    Ok(())
}

/// These servers fold the letter case of the value, and an empty one replaces nothing.
pub fn admits_method(route: &Route, line: RequestLine<'_>, value: &[u8]) -> Result<(), Refusal> {
    let method = String::from_utf8_lossy(value).trim().to_ascii_uppercase();
    if method.is_empty() {
        return Ok(());
    }
    route.admits(RequestLine {
        method: &method,
        ..line
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::RouteTable;
    use http::HeaderValue;

    fn verdict(
        filter: &str,
        query: &str,
        header: Option<(&'static str, &'static str)>,
    ) -> Result<(), Refusal> {
        let table = format!("schema_version: 1\ngeneration: 1\nroutes:\n- {{host: a.example{filter}}}\n");
        let table = RouteTable::parse(table.as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let host = "a.example".parse().unwrap();
        let line = RequestLine {
            host: &host,
            method: "POST",
            path: b"/ok/x",
        };
        judge(&table.routes()[0], line, Some(query.as_bytes()), &headers)
    }

    const FILTER: &str = ", methods: [GET, POST], path_allowlist: [/ok/]";

    #[test]
    fn a_method_in_disguise_is_judged_like_one_in_the_request_line() {
        for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
            assert!(matches!(
                verdict(FILTER, "", Some((name, "delete"))),
                Err(Refusal::Method { .. })
            ));
            assert!(verdict(FILTER, "", Some((name, "GET"))).is_ok());
            assert!(verdict("", "", Some((name, "DELETE"))).is_ok());
        }
        assert!(verdict(FILTER, "a=b&_method=DELETE", None).is_err());
        assert!(verdict(FILTER, "%5fmethod=%44ELETE", None).is_err());
        assert!(verdict(FILTER, "_method=post&_methods=DELETE", None).is_ok());
        assert!(verdict("", "_method=DELETE", None).is_ok());
    }

    #[test]
    fn underscores_hide_no_header() {
        assert!(verdict(FILTER, "", Some(("x_http_method_override", "DELETE"))).is_err());
        assert!(verdict(FILTER, "", Some(("x_original_url", "/admin"))).is_err());
    }

    #[test]
    fn no_agent_is_a_front_end() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-forwarded-host",
            "x_forwarded_uri",
            "forwarded",
            "x-host",
            "x-original-host",
            "x-mine",
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static("evil.example"),
            );
        }
        strip_forwarding(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["x-mine"]
        );
    }

    #[test]
    fn a_path_in_disguise_is_judged_like_one_in_the_request_line() {
        for name in ["x-original-url", "x-rewrite-url"] {
            assert!(matches!(
                verdict(FILTER, "", Some((name, "/admin?x"))),
                Err(Refusal::Path { .. })
            ));
            assert!(verdict(FILTER, "", Some((name, "/ok/../admin"))).is_err());
            assert!(verdict(FILTER, "", Some((name, "/ok/y?z"))).is_ok());
            assert!(verdict("", "", Some((name, "/admin"))).is_ok());
        }
    }
}
