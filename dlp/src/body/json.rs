//! The text values of JSON while it comes, one document or many.
//!
//! This reads where strings begin and end, and which of them are keys. It does not check that the whole is JSON: a parser that
//! forgives more than another must not find values that were not looked at.

use crate::joined::{Name, Values};
use crate::refused::Refused;

/// JSON may be nested so deep; the deepest that common parsers take is 512 (Python's is about 1000, Go's 10,000).
const DEPTH: usize = 512;

/// How far a text has come.
#[derive(Debug, Default)]
pub(crate) struct JsonReader {
    /// For each bracket that is open, up to [`DEPTH`], whether it is an object's.
    objects: Vec<bool>,
    /// Brackets that are open beyond.
    deeper: usize,
    /// A string that begins now is a key.
    key: bool,
    string: Option<Str>,
    /// Of a key, what has come.
    name: Name,
    /// Nesting is not judged: it is not said to be JSON.
    lenient: bool,
}

/// A string that has begun.
#[derive(Debug, Clone, Copy)]
struct Str {
    is_key: bool,
    escaped: bool,
}

// === impl JsonReader ===

impl JsonReader {
    /// For a text that may or may not be JSON: nesting is not refused.
    pub(crate) fn lenient() -> Self {
        Self {
            lenient: true,
            ..Self::default()
        }
    }

    /// Reads the next bytes; hands each value, as it is written, to `values`.
    pub(crate) fn push(&mut self, mut rest: &[u8], values: &mut Values) -> Result<(), Refused> {
        while !rest.is_empty() {
            rest = match &mut self.string {
                Some(string) => {
                    let length = string.length(rest);
                    let (content, behind) = rest.split_at(length.unwrap_or(rest.len()));
                    if string.is_key {
                        self.name.push(content);
                    } else {
                        values.push(content);
                    }
                    if length.is_some() {
                        if string.is_key {
                            values.name(std::mem::take(&mut self.name));
                        } else {
                            values.end();
                        }
                        self.string = None;
                        self.key = false;
                    }
                    // Over the quotation mark.
                    behind.get(1..).unwrap_or_default()
                }
                None => self.outside(rest)?,
            };
        }
        Ok(())
    }

    /// Reads up to a string's content.
    fn outside<'r>(&mut self, rest: &'r [u8]) -> Result<&'r [u8], Refused> {
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                b'"' => {
                    self.string = Some(Str {
                        is_key: self.key,
                        escaped: false,
                    });
                    return Ok(rest.get(at + 1..).unwrap_or_default());
                }
                b'{' | b'[' => self.open(*byte == b'{')?,
                b'}' | b']' => self.close(),
                b',' => self.key = self.in_object(),
                b':' => self.key = false,
                _ => {}
            }
        }
        Ok(&[])
    }

    fn open(&mut self, object: bool) -> Result<(), Refused> {
        self.key = object;
        if self.objects.len() < DEPTH {
            self.objects.push(object);
            return Ok(());
        }
        self.deeper += 1;
        if self.lenient {
            Ok(())
        } else {
            Err(Refused::Malformed("its JSON is nested too deep"))
        }
    }

    fn close(&mut self) {
        match self.deeper.checked_sub(1) {
            Some(deeper) => self.deeper = deeper,
            None => drop(self.objects.pop()),
        }
        self.key = false;
    }

    fn in_object(&self) -> bool {
        self.deeper == 0 && self.objects.last() == Some(&true)
    }
}

// === impl Str ===

impl Str {
    /// How far its content goes, if it ends in `rest`.
    fn length(&mut self, rest: &[u8]) -> Option<usize> {
        let mut at = usize::from(std::mem::take(&mut self.escaped));
        loop {
            at += memchr::memchr2(b'"', b'\\', rest.get(at..)?)?;
            if rest.get(at) == Some(&b'"') {
                return Some(at);
            }
            at += 2;
            self.escaped = at > rest.len();
        }
    }
}
