//! Headers and query fields by which some servers take another method or path than the request line's.
//!
//! A route that filters methods or paths must hold for what the upstream acts on. Frameworks that tunnel methods through
//! POST and front ends that pass a rewritten URL read these names, so each value found is judged as if it stood in
//! the request line.

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

/// Judges what would replace the request line, on routes that filter by it.
pub fn judge(
    route: &Route,
    line: RequestLine<'_>,
    query: Option<&[u8]>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if route.methods.is_some() {
        for value in METHOD_HEADERS.iter().flat_map(|name| headers.get_all(name)) {
            admits_method(route, line, value.as_bytes())?;
        }
        for field in query
            .unwrap_or_default()
            .split(|byte| matches!(byte, b'&' | b';'))
        {
            let mut halves = field.splitn(2, |byte| *byte == b'=');
            let key = reading::percent_decode(halves.next().unwrap_or_default());
            if key.eq_ignore_ascii_case(METHOD_FIELD) {
                let value = reading::percent_decode(halves.next().unwrap_or_default());
                admits_method(route, line, &value)?;
            }
        }
    }
    if route.path_allowlist.is_some() {
        for value in PATH_HEADERS.iter().flat_map(|name| headers.get_all(name)) {
            let path = value
                .as_bytes()
                .split(|byte| *byte == b'?')
                .next()
                .unwrap_or_default();
            route.admits(RequestLine { path, ..line })?;
        }
    }
    Ok(())
}

/// These servers fold the letter case of the value, and an empty one replaces nothing.
fn admits_method(route: &Route, line: RequestLine<'_>, value: &[u8]) -> Result<(), Refusal> {
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
