//! The method that a form names: some frameworks take it instead of the request line's, from a field `_method` in the body.
//!
//! Looked for where a route filters methods, in both kinds of form and in JSON, while the body streams through. What it names is judged as
//! if it stood in the request line; a framework reads a body whole before it acts, so one that is broken off acts on nothing.
//! Where readers differ (multipart heads are read in many ways) the widest reading counts. What Express undoes by itself (one
//! `Content-Encoding` of gzip or deflate) is undone here; what it undoes and is not worth the memory here is refused.

mod json;
mod written;

use contract::matcher::Refusal;
use contract::{RequestLine, Route};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use mitm::RequestHead;

use crate::overrides::{admits_method, names_method};
use written::Written;

/// A field's name may be this long, as it is sent, and be `_method` still: each of its letters encoded, and room to spare.
const NAME: usize = 64;
/// No method is longer.
const VALUE: usize = 256;
/// A line of a part's head.
const LINE: usize = 1024;
/// In place of a method.
const UNREADABLE: &[u8] = b"(unreadable)";

/// Follows the body of a form.
#[derive(Debug)]
pub struct FormMethod {
    route: Route,
    method: String,
    path: Vec<u8>,
    reader: Reader,
    written: Written,
}

#[derive(Debug)]
enum Reader {
    Urlencoded(Field),
    Multipart(Part),
    Json(json::Object),
    /// JSON in what is not read here and is by some.
    Unreadable,
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
            written: Written::of(headers),
            route: route.clone(),
            method: head.method.as_str().to_owned(),
            path: head.path().to_vec(),
            reader,
        })
    }

    /// The next piece of the body.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let Self {
            route,
            method,
            path,
            reader,
            written,
        } = self;
        let line = RequestLine {
            host: &route.host,
            method,
            path,
        };
        let mut verdict = Ok(());
        let readable = written.push(data, &mut |piece| {
            verdict = reader.push(piece, &|named| admits_method(route, line, named));
            verdict.is_ok()
        });
        verdict?;
        if readable {
            return Ok(());
        }
        // What nobody can say here what it names is judged as what no route admits.
        admits_method(route, line, UNREADABLE)
    }

    /// The body is complete.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        let line = RequestLine {
            host: &self.route.host,
            method: &self.method,
            path: &self.path,
        };
        self.reader
            .finish(&|named| admits_method(&self.route, line, named))
    }
}

// === impl Reader ===

impl Reader {
    fn push(&mut self, data: &[u8], judge: &dyn Fn(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        for &byte in data {
            let named = match self {
                Self::Urlencoded(field) => field.next(byte),
                Self::Multipart(part) => part.next(byte),
                Self::Json(object) => object.next(byte, names_method),
                Self::Unreadable => Some(UNREADABLE.to_vec()),
            };
            if let Some(method) = named {
                judge(&method)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, judge: &dyn Fn(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        // Ends whatever was under way.
        match self {
            Self::Urlencoded(_) => self.push(b"&", judge),
            Self::Multipart(_) => self.push(b"\n", judge),
            // A value without its end is none to anyone.
            Self::Json(_) | Self::Unreadable => Ok(()),
        }
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
        } else if mentions(b"json") && mentions(b"utf-7") {
            // Express reads it, and every character in it has many spellings.
            Some(Reader::Unreadable)
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
mod tests;
