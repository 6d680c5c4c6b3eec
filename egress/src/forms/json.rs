//! The method that a JSON object names: what Laravel, for one, takes from a field `_method` of the outermost object.
//!
//! Only names and their values are followed, and only in the outermost object; whether the rest is JSON is not asked. Where
//! readers differ, whoever reads more counts: comments are passed over (who knows none refuses them), and a text in UTF-16 or
//! UTF-32 is read as such, whatever it is said to be in.

use super::{NAME, VALUE};

/// Each character of a name or a value may be written in six.
const ESCAPED: usize = 6;
/// Stands for a character outside ASCII, in UTF-16 and UTF-32: there is none in a method or its field's name.
const OTHER: u8 = 0x80;

/// Where in the text the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Object {
    units: Units,
    comment: Comment,
    /// Objects and arrays that are open.
    depth: u64,
    text: Option<Text>,
    /// The text before this place, and whether a colon has followed it since.
    last: Option<(Vec<u8>, bool)>,
}

/// Between its quotes.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    escaped: bool,
}

/// Where in a comment, outside of texts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Comment {
    #[default]
    None,
    /// After a slash.
    Begun,
    /// To the end of the line.
    Line,
    Block,
    /// After an asterisk in a block.
    Ending,
}

/// In what the text is written: the first two characters of an object are ASCII, by which RFC 4627 §3 tells it.
#[derive(Debug, Default)]
struct Units {
    bytes: Vec<u8>,
    /// None while too little is known.
    kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// Bytes of one.
    width: usize,
    big_endian: bool,
}

// === impl Object ===

impl Object {
    /// Some: the value of a field that `names_method`, as far as it is worth reading.
    pub(super) fn next(&mut self, byte: u8, names_method: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        if self.units.kind == Some(UTF_8) {
            return self.character(byte, &names_method);
        }
        let mut named = None;
        for character in self.units.next(byte) {
            named = named.or(self.character(character, &names_method));
        }
        named
    }

    fn character(&mut self, byte: u8, names_method: &impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        if let Some(text) = &mut self.text {
            if text.escaped || byte != b'"' {
                text.escaped = !text.escaped && byte == b'\\';
                // One byte more than any method has: it is judged, and is none.
                if text.bytes.len() <= ESCAPED * NAME.max(VALUE) {
                    text.bytes.push(byte);
                }
                return None;
            }
            let text = unescaped(&std::mem::take(&mut text.bytes));
            self.text = None;
            return match self.last.take() {
                Some((name, true)) if self.depth == 1 => names_method(&name).then_some(text),
                _ => {
                    self.last = Some((text, false));
                    None
                }
            };
        }
        self.comment = self.comment.after(byte);
        if self.comment.hides() {
            return None;
        }
        match byte {
            b'"' => self.text = Some(Text::default()),
            b'{' | b'[' => {
                self.depth += 1;
                self.last = None;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.last = None;
            }
            b':' => {
                if let Some((_, named)) = &mut self.last {
                    *named = true;
                }
            }
            b',' => self.last = None,
            _ => {}
        }
        None
    }
}

/// As its reader takes it; what is no JSON is taken as it stands.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let quoted = [b"\"", text, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| text.to_vec(), String::into_bytes)
}

// === impl Comment ===

impl Comment {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Begun, b'/') => Self::Line,
            (Self::Begun, b'*') | (Self::Block, _) if byte != b'*' || self == Self::Begun => Self::Block,
            (Self::Block | Self::Ending, b'*') => Self::Ending,
            (Self::Ending, b'/') | (Self::Line, b'\n' | b'\r') => Self::None,
            (Self::Ending, _) => Self::Block,
            (Self::Line, _) => Self::Line,
            (_, b'/') => Self::Begun,
            _ => Self::None,
        }
    }

    fn hides(self) -> bool {
        matches!(self, Self::Line | Self::Block | Self::Ending)
    }
}

// === impl Units ===

const UTF_8: Kind = Kind {
    width: 1,
    big_endian: false,
};

impl Units {
    /// The characters that are whole with this byte.
    fn next(&mut self, byte: u8) -> Vec<u8> {
        self.bytes.push(byte);
        let kind = match self.kind {
            Some(kind) => kind,
            None => match <[u8; 4]>::try_from(self.bytes.as_slice()) {
                Ok(first) => *self.kind.insert(Kind::of(first)),
                Err(_) => return Vec::new(),
            },
        };
        let whole = self.bytes.len() - self.bytes.len() % kind.width;
        let units: Vec<u8> = self.bytes.drain(..whole).collect();
        let characters = units.chunks_exact(kind.width);
        characters.map(|unit| kind.character(unit)).collect()
    }
}

impl Kind {
    fn of(first: [u8; 4]) -> Self {
        let (width, big_endian) = match first {
            [0, 0, 0xFE, 0xFF] | [0, 0, 0, _] => (4, true),
            [0xFF, 0xFE, 0, 0] | [_, 0, 0, 0] => (4, false),
            [0xFE, 0xFF, _, _] | [0, _, _, _] => (2, true),
            [0xFF, 0xFE, _, _] | [_, 0, _, _] => (2, false),
            _ => return UTF_8,
        };
        Self { width, big_endian }
    }

    fn character(self, unit: &[u8]) -> u8 {
        let (low, high) = match (self.width, self.big_endian) {
            (1, _) => return unit.first().copied().unwrap_or(OTHER),
            (_, true) => unit.split_last().unwrap_or((&OTHER, &[])),
            (_, false) => unit.split_first().unwrap_or((&OTHER, &[])),
        };
        let is_ascii = low.is_ascii() && high.iter().all(|byte| *byte == 0);
        if is_ascii { *low } else { OTHER }
    }
}
