//! The values of a short body, put together: a secret in two fields is found in neither.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};

use super::Form;
use crate::examiner::Examiner;
use crate::head;
use crate::refused::{Place, Refused};

/// Looks at the values of `body` one behind the other. What does not parse as what it says it is has been looked at as it
/// stands already.
pub(super) fn put_together(examiner: &Examiner, form: &Form, body: &[u8]) -> Result<(), Refused> {
    let mut texts = Texts::default();
    match form {
        Form::Json | Form::JsonLines => json(body, &mut texts),
        Form::Urlencoded => urlencoded(body, &mut texts),
        Form::Multipart(boundary) => multipart(body, boundary, &mut texts),
        Form::Other if looks_like_json(body) => json(body, &mut texts),
        Form::Other => return Ok(()),
    }
    together(examiner, &Place::BodyPieces, &texts)
}

/// What some programs put in front of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn looks_like_json(body: &[u8]) -> bool {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// The text values of a JSON document, in order; nothing when it is none.
pub(crate) fn json_values(text: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Texts::default();
    json(text, &mut texts);
    texts.0
}

pub(crate) fn together(examiner: &Examiner, place: &Place, texts: &Texts) -> Result<(), Refused> {
    let pieces: Vec<&[u8]> = texts.0.iter().map(Vec::as_slice).collect();
    head::put_together(examiner, place, &pieces)
}

/// Text values in the order in which they stand.
#[derive(Debug, Default)]
pub(crate) struct Texts(Vec<Vec<u8>>);

fn json(body: &[u8], texts: &mut Texts) {
    // Some readers skip it (RFC 8259 section 8.1).
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut documents = serde_json::Deserializer::from_slice(body);
    // One document, or one per line. A broken one ends the search, not the request: it was looked at as it stands.
    while documents.deserialize_any(Collect(texts)).is_ok() {}
}

fn urlencoded(body: &[u8], texts: &mut Texts) {
    for pair in body.split(|byte| *byte == b'&') {
        let value = pair.splitn(2, |byte| *byte == b'=').nth(1).unwrap_or(pair);
        texts.0.push(value.to_vec());
    }
}

fn multipart(body: &[u8], boundary: &[u8], texts: &mut Texts) {
    let delimiter = [b"--", boundary].concat();
    let mut starts: Vec<usize> = memchr::memmem::find_iter(body, &delimiter).collect();
    starts.push(body.len());
    for pair in starts.windows(2) {
        let &[start, end] = pair else { continue };
        let part = body.get(start + delimiter.len()..end).unwrap_or_default();
        if let Some(head_end) = memchr::memmem::find(part, b"\r\n\r\n") {
            let content = part.get(head_end + 4..).unwrap_or_default();
            texts
                .0
                .push(content.strip_suffix(b"\r\n").unwrap_or(content).to_vec());
        }
    }
}

/// Collects every text that is a value.
struct Collect<'t>(&'t mut Texts);

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.0.push(text.as_bytes().to_vec());
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Collect(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key::<serde::de::IgnoredAny>()?.is_some() {
            entries.next_value_seed(Collect(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(collect: impl FnOnce(&mut Texts)) -> Vec<String> {
        let mut texts = Texts::default();
        collect(&mut texts);
        texts
            .0
            .into_iter()
            .map(|text| String::from_utf8(text).unwrap())
            .collect()
    }

    #[test]
    fn values_come_in_the_order_in_which_they_stand() {
        let documents = br#"{"z":"1","a":["2",{"k":"\u0033"}],"n":4} {"b":"5"}"#;
        assert_eq!(texts(|into| json(documents, into)), ["1", "2", "3", "5"]);
        assert_eq!(texts(|into| urlencoded(b"a=1&b=2&3", into)), ["1", "2", "3"]);
        let body = b"--b\r\nContent-Disposition: x\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n";
        assert_eq!(texts(|into| multipart(body, b"b", into)), ["one", "two"]);
    }

    #[test]
    fn what_is_broken_gives_what_came_before() {
        assert_eq!(texts(|into| json(br#"["1", "2", }"#, into)), ["1", "2"]);
        assert_eq!(texts(|into| json(&b"[".repeat(5000), into)), [""; 0]);
    }
}
