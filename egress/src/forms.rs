//! The method that a form names: some frameworks take it instead of the request line's, from a field `_method` in the body.
//!
//! Looked for where a route filters methods, in both kinds of form and in JSON, while the body streams through. What it names is judged as
//! if it stood in the request line; a framework reads a body whole before it acts, so one that is broken off acts on nothing.
//! Where readers differ (multipart heads are read in many ways) the widest reading counts. A compressed body is not undone: no
//! framework that reads such a field does that by itself.

mod json;

use contract::matcher::Refusal;
use contract::{RequestLine, Route};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use mitm::RequestHead;

use crate::overrides::{admits_method, names_method};

/// A field's name may be this long, as it is sent, and be `_method` still: each of its letters encoded, and room to spare.
const NAME: usize = 64;
/// No method is longer.
const VALUE: usize = 256;
/// A line of a part's head.
const LINE: usize = 1024;

/// Follows the body of a form.
#[derive(Debug)]
pub struct FormMethod {
    route: Route,
    method: String,
    path: Vec<u8>,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Urlencoded(Field),
    Multipart(Part),
    Json(json::Object),
}

/// Where in `name=value&…` the next byte stands.
#[derive(Debug)]
enum Field {
    Name(Vec<u8>),
    /// Of a field that names the method.
    Value(Vec<u8>),
    Other,
}

/// Where in a multipart body, which is read line by line.
#[derive(Debug)]
struct Part {
    line: Vec<u8>,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Anywhere,
    /// In the head of a part that names the method.
    Head,
    /// The next line is its value.
    Value,
}

// === impl FormMethod ===

impl FormMethod {
    /// For a request whose body is a form or JSON and whose route filters methods.
    pub fn of(head: &RequestHead, route: &Route, headers: &HeaderMap) -> Option<Self> {
        route.methods.as_ref()?;
        let reader = reader(headers)?;
        Some(Self {
            route: route.clone(),
            method: head.method.as_str().to_owned(),
            path: head.path().to_vec(),
            reader,
        })
    }

    /// The next piece of the body.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Refusal> {
        for &byte in data {
            let named = match &mut self.reader {
                Reader::Urlencoded(field) => field.next(byte),
                Reader::Multipart(part) => part.next(byte),
                Reader::Json(object) => object.next(byte, names_method),
            };
            if let Some(method) = named {
                self.judge(&method)?;
            }
        }
        Ok(())
    }

    /// The body is complete.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        // Ends whatever was under way.
        match self.reader {
            Reader::Urlencoded(_) => self.push(b"&"),
            Reader::Multipart(_) => self.push(b"\n"),
            // A value without its end is none to anyone.
            Reader::Json(_) => Ok(()),
        }
    }

    fn judge(&self, named: &[u8]) -> Result<(), Refusal> {
        let line = RequestLine {
            host: &self.route.host,
            method: &self.method,
            path: &self.path,
        };
        admits_method(&self.route, line, named)
    }
}

fn reader(headers: &HeaderMap) -> Option<Reader> {
    headers.get_all(CONTENT_TYPE).iter().find_map(|value| {
        let kind = value.as_bytes().to_ascii_lowercase();
        let mentions = |what: &[u8]| kind.windows(what.len()).any(|window| window == what);
        if mentions(b"form-urlencoded") {
            Some(Reader::Urlencoded(Field::Name(Vec::new())))
        } else if mentions(b"multipart/") {
            Some(Reader::Multipart(Part {
                line: Vec::new(),
                at: At::Anywhere,
            }))
        } else if mentions(b"json") {
            Some(Reader::Json(json::Object::default()))
        } else {
            None
        }
    })
}

// === impl Field ===

impl Field {
    /// Some: the value of a field that names the method, as far as it is worth reading.
    fn next(&mut self, byte: u8) -> Option<Vec<u8>> {
        if matches!(byte, b'&' | b';') {
            let before = std::mem::replace(self, Self::Name(Vec::new()));
            return match before {
                Self::Value(value) => Some(decoded(&value)),
                _ => None,
            };
        }
        match self {
            Self::Name(name) if byte == b'=' => {
                *self = if names_method(&decoded(name)) {
                    Self::Value(Vec::new())
                } else {
                    Self::Other
                };
            }
            Self::Name(name) if name.len() < NAME => name.push(byte),
            // One byte more than any method has: it is judged, and is none.
            Self::Value(value) if value.len() <= VALUE => value.push(byte),
            Self::Value(_) | Self::Other => {}
            Self::Name(_) => *self = Self::Other,
        }
        None
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    contract::reading::percent_decode(&spaced)
}

// === impl Part ===

impl Part {
    fn next(&mut self, byte: u8) -> Option<Vec<u8>> {
        if byte != b'\n' {
            if self.line.len() < LINE {
                self.line.push(byte);
            }
            return None;
        }
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        match self.at {
            At::Value => {
                self.at = At::Anywhere;
                return Some(line);
            }
            At::Head if line.is_empty() => self.at = At::Value,
            At::Head => {}
            At::Anywhere if names_method_in_head(&line) => self.at = At::Head,
            At::Anywhere => {}
        }
        None
    }
}

/// Whether a line of a part's head gives the part a name that some reader takes for `_method`: whatever stands between the
/// parameter's name and its value, however it is quoted or escaped.
fn names_method_in_head(line: &[u8]) -> bool {
    let mut text = contract::reading::percent_decode(line);
    text.retain(|byte| !matches!(byte, b'\\' | b'"' | b'\''));
    text.make_ascii_lowercase();
    if !text.windows(4).any(|window| window == b"name") {
        return false;
    }
    let mut parts = text.split(|byte| matches!(byte, b'=' | b';'));
    parts.any(names_method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::RouteTable;
    use proptest::prelude::*;

    const URLENCODED: &str = "application/x-www-form-urlencoded; charset=utf-8";
    const JSON: &str = "application/json";
    const MULTIPART: &str = "multipart/form-data; boundary=b";

    fn form(kind: &'static str) -> FormMethod {
        let table = b"schema_version: 1\ngeneration: 1\nroutes:\n- {host: a.example, methods: [GET, POST]}\n";
        let route = RouteTable::parse(table).unwrap().routes()[0].clone();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        FormMethod {
            route,
            method: "POST".to_owned(),
            path: b"/x".to_vec(),
            reader: reader(&headers).unwrap(),
        }
    }

    fn verdict(kind: &'static str, body: &str, size: usize) -> Result<(), Refusal> {
        let mut form = form(kind);
        for piece in body.as_bytes().chunks(size.max(1)) {
            form.push(piece)?;
        }
        form.finish()
    }

    fn part(head: &str, value: &str) -> String {
        let more = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n";
        format!("{more}--b\r\n{head}\r\n\r\n{value}\r\n--b--\r\n")
    }

    #[test]
    fn a_method_in_a_form_is_judged_like_one_in_the_request_line() {
        for body in [
            "_method=DELETE",
            "a=b&_method=delete&c=d",
            "a=b;_METHOD=DELETE",
            "%5fmethod=%44ELETE",
            "%5F%6D%65%74%68%6F%64=PUT",
            "+_method=DELETE",
            ".method=DELETE",
            "_method%00=DELETE",
            "_method=DELETE DELETE",
            "_method=POST&_method=DELETE",
        ] {
            for size in [1, 3, 1000] {
                let refused = verdict(URLENCODED, body, size);
                assert!(matches!(refused, Err(Refusal::Method { .. })), "{body}");
            }
        }
        for body in [
            "",
            "_method=post",
            "_method=",
            "method=DELETE",
            "a_method=DELETE",
            "a=_method&b=DELETE",
        ] {
            assert!(verdict(URLENCODED, body, 2).is_ok(), "{body}");
        }
        let long = format!("_method={}", "x".repeat(10_000));
        assert!(verdict(URLENCODED, &long, 100).is_err());
    }

    #[test]
    fn a_method_in_a_multipart_form_is_too() {
        for head in [
            "Content-Disposition: form-data; name=\"_method\"",
            "content-disposition:form-data;name=_method",
            "Content-Disposition: form-data; name='_method'; x=y",
            "Content-Disposition: form-data; name=\"\\_method\"",
            "Content-Disposition: form-data;\r\n name=\"_method\"",
            "Content-Disposition: form-data; name = \"_method\"\r\nContent-Type: text/plain",
            "Content-Disposition: form-data; name=\"%5Fmethod\"",
        ] {
            for size in [1, 7, 1000] {
                assert!(verdict(MULTIPART, &part(head, "DELETE"), size).is_err(), "{head}");
                assert!(verdict(MULTIPART, &part(head, "post"), size).is_ok(), "{head}");
            }
        }
        let other = part("Content-Disposition: form-data; name=\"note\"", "_method=DELETE");
        assert!(verdict(MULTIPART, &other, 5).is_ok());
    }

    #[test]
    fn a_method_in_json_is_too() {
        for body in [
            r#"{"_method":"DELETE"}"#,
            r#" { "a" : {"b": ["_method"]}, "_METHOD" : "delete" }"#,
            r#"{"a":1,"\u005fmethod":"D\u0045LETE"}"#,
            r#"{"a":"\\","_method":"PUT","_method":"POST"}"#,
            r#"{"_method":"POST","_method":"PUT"}"#,
            r#"{"a":"\"}", "_method":"DELETE"}"#,
        ] {
            for size in [1, 3, 1000] {
                let refused = verdict(JSON, body, size);
                assert!(matches!(refused, Err(Refusal::Method { .. })), "{body}");
            }
        }
        for body in [
            "",
            r#"{"_method":"post"}"#,
            r#"{"_method":1,"a":"DELETE"}"#,
            r#"{"a":"_method","b":"DELETE"}"#,
            r#"{"a":{"_method":"DELETE"}}"#,
            r#"["_method","DELETE"]"#,
            r#"{"a":"\"_method\":\"DELETE\""}"#,
        ] {
            assert!(verdict(JSON, body, 2).is_ok(), "{body}");
        }
        let long = format!("{{\"_method\":\"{}\"}}", "x".repeat(10_000));
        assert!(verdict(JSON, &long, 100).is_err());
    }

    proptest! {
        #[test]
        fn where_a_body_is_cut_changes_nothing(body in "[a-z_=&;%\r\n\"-]{0,80}(_method=DELETE)?", size in 1usize..90, multipart: bool) {
            let kind = if multipart { MULTIPART } else { URLENCODED };
            prop_assert_eq!(verdict(kind, &body, size).is_ok(), verdict(kind, &body, 1000).is_ok());
        }
    }
}
