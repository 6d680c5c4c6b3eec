//! A body's text on its way through the scanner: as it stands, and its values put together.
//!
//! What would make others read it differently is named instead of being carried: JSON is UTF-8, or it is read in more than one
//! way; nesting and part counts that no honest client sends. A form may hold any bytes: `curl --data-binary` calls every file
//! one, and the scanner looks at it as it stands.

use super::Form;
use super::form::FormReader;
use super::json::JsonReader;
use super::multipart::MultipartReader;
use crate::examiner::{Examiner, TextScan};
use crate::joined::{Values, Writing};
use crate::refused::{Place, Refused};

/// A text under watch.
pub(super) struct Guarded {
    scan: TextScan,
    reader: Reader,
    values: Values,
}

/// What reads the values.
enum Reader {
    Json(JsonReader, Utf8),
    /// What is not said to be JSON and looks like it: it is read as such all the same.
    LooksLikeJson(JsonReader),
    Multipart(Box<MultipartReader>),
    Form(FormReader),
    /// It says nothing of itself, and nothing but white space has come.
    Undecided,
    Nothing,
}

/// Whether a text in pieces is UTF-8: the bytes of a character that has begun.
#[derive(Default)]
struct Utf8 {
    begun: Vec<u8>,
}

const NOT_UTF8: Refused = Refused::Malformed("it is not UTF-8");
/// No JSON has one as it stands (RFC 8259 sections 2 and 7), and UTF-16 is full of them: some readers take it.
const WITH_NUL: Refused = Refused::Malformed("its JSON has NUL bytes, as UTF-16 has");
/// What some programs put in front of a text in UTF-8; some readers skip it (RFC 8259 section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

// === impl Guarded ===

impl Guarded {
    pub(super) fn new(examiner: &Examiner, form: &Form) -> Self {
        let reader = match form {
            Form::Json | Form::JsonLines => Reader::Json(JsonReader::default(), Utf8::default()),
            Form::Multipart(boundary) => Reader::Multipart(Box::new(MultipartReader::new(boundary))),
            Form::Urlencoded => Reader::Form(FormReader::default()),
            Form::JsonFrames => Reader::LooksLikeJson(JsonReader::lenient()),
            Form::Other => Reader::Undecided,
        };
        let writing = match form {
            Form::Json | Form::JsonLines | Form::JsonFrames | Form::Other => Writing::Json,
            Form::Multipart(_) | Form::Urlencoded => Writing::Plain,
        };
        Self {
            scan: examiner.text(Place::Body),
            reader,
            values: Values::new(examiner, Place::BodyPieces, writing),
        }
    }

    /// Gives how many of the bytes so far, counted from the last, must not leave yet.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let held = self.scan.push(bytes)?;
        let pending = self.reader.push(bytes, &mut self.values)?;
        let open = self.values.settle()?;
        Ok(held.max(open + pending))
    }

    pub(super) fn finish(&mut self) -> Result<(), Refused> {
        self.scan.finish()?;
        match &mut self.reader {
            Reader::Json(_, utf8) if !utf8.begun.is_empty() => return Err(NOT_UTF8),
            Reader::Multipart(reader) => reader.finish(&mut self.values),
            // A string without an end is a value to some.
            _ => self.values.end(),
        }
        self.values.settle().map(drop)
    }
}

// === impl Reader ===

impl Reader {
    /// Gives how many of the last bytes were not decided about.
    fn push(&mut self, bytes: &[u8], values: &mut Values) -> Result<usize, Refused> {
        match self {
            Self::Json(reader, utf8) => {
                utf8.push(bytes)?;
                if memchr::memchr(0, bytes).is_some() {
                    return Err(WITH_NUL);
                }
                reader.push(bytes, values)?;
            }
            Self::LooksLikeJson(reader) => reader.push(bytes, values)?,
            Self::Multipart(reader) => return reader.push(bytes, values),
            Self::Form(reader) => reader.push(bytes, values),
            Self::Undecided => {
                let in_front = |byte: &&u8| byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(byte);
                let text = bytes
                    .get(bytes.iter().take_while(in_front).count()..)
                    .unwrap_or_default();
                if let Some(first) = text.first() {
                    *self = if matches!(first, b'{' | b'[') {
                        Self::LooksLikeJson(JsonReader::lenient())
                    } else {
                        Self::Nothing
                    };
                    return self.push(text, values);
                }
            }
            Self::Nothing => {}
        }
        Ok(0)
    }
}

// === impl Utf8 ===

impl Utf8 {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        while !self.begun.is_empty() {
            let Some((byte, after)) = rest.split_first() else {
                return Ok(());
            };
            self.begun.push(*byte);
            rest = after;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_some() => return Err(NOT_UTF8),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NOT_UTF8),
            Err(error) => {
                self.begun = rest.get(error.valid_up_to()..).unwrap_or_default().to_vec();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_in_pieces_is_utf8_exactly_when_it_is_as_a_whole(
            text in prop::collection::vec(prop_oneof![Just(b'a'), 0xc0..=0xf8u8, 0x80..=0xbfu8, Just(0xe2u8)], 0..12), step in 1..5usize
        ) {
            let mut utf8 = Utf8::default();
            let mut pieces = text.chunks(step).map(|piece| utf8.push(piece)).collect::<Vec<_>>();
            pieces.push(if utf8.begun.is_empty() { Ok(()) } else { Err(NOT_UTF8) });
            prop_assert_eq!(pieces.iter().all(Result::is_ok), std::str::from_utf8(&text).is_ok());
        }
    }
}
