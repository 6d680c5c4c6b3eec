//! Pieces put together: a secret in two fields is found in neither.
//!
//! Pieces come one behind the other, each in as many parts as it likes, and there may be any number of them: of what came before
//! only the end is kept, and of a long piece only its beginning and its end, since only what spans an end counts here. What lies
//! inside a piece was looked at as it stands.

mod runs;
mod values;

use std::borrow::Cow;

use crate::examiner::Examiner;
use crate::refused::{Place, Refused};

pub use values::{Name, Values};

/// Of a long piece so many bytes count at either end: more than the longest token that is sent in pieces.
pub const EDGE: usize = 4096;
/// So many bytes of the pieces before are kept.
const REMEMBERED: usize = 4096;

/// How the bytes of pieces are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// As they are.
    Plain,
    /// With the escapes of a JSON string.
    Json,
}

/// Pieces of one text, put together while they come.
pub struct Joined {
    examiner: Examiner,
    place: Place,
    writing: Writing,
    /// The end of what came before, and all that was not looked at yet.
    text: Vec<u8>,
    /// Where in it a piece ends, ascending.
    ends: Vec<usize>,
    /// How much of it was looked at.
    settled: usize,
    open: Open,
}

/// A piece that has not ended.
#[derive(Default)]
struct Open {
    head: Vec<u8>,
    /// The last bytes of what does not fit into the head.
    tail: Vec<u8>,
    length: usize,
    /// The head was looked at, and is as long as it will be.
    settled: bool,
}

// === impl Joined ===

impl Joined {
    /// For pieces found in `place`.
    pub fn new(examiner: &Examiner, place: Place, writing: Writing) -> Self {
        Self {
            examiner: examiner.clone(),
            place,
            writing,
            text: Vec::new(),
            ends: Vec::new(),
            settled: 0,
            open: Open::default(),
        }
    }

    /// The next bytes of the piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.open.push(bytes);
    }

    /// The piece is over.
    pub fn end(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open.length == 0 {
            return;
        }
        if open.length <= open.head.len() + open.tail.len() {
            let whole = [open.head, open.tail].concat();
            self.text.extend_from_slice(&self.writing.read(&whole));
        } else {
            self.text.extend_from_slice(&self.writing.read(&open.head));
            // What lies between is not here, so nothing spans it.
            self.text.push(b'\n');
            self.text.extend_from_slice(&self.writing.read(&open.tail));
        }
        self.ends.push(self.text.len());
    }

    /// A whole piece.
    pub fn piece(&mut self, bytes: &[u8]) {
        self.push(bytes);
        self.end();
    }

    /// The piece was none.
    pub fn forget_piece(&mut self) {
        self.open = Open::default();
    }

    /// Looks at what came since it was last called. Gives how many bytes of the piece that is open, as written, must not leave
    /// yet: it is looked at when it ends, or when it is longer than what is held, even if it may turn out to be none (the name
    /// of a field of a form): no name is so long.
    pub fn settle(&mut self) -> Result<usize, Refused> {
        let closed = self.text.len();
        let open = self.open.length > EDGE && !self.open.settled;
        if open && !self.ends.is_empty() {
            self.text.extend_from_slice(&self.writing.read(&self.open.head));
        }
        let looked_at = if self.text.len() > self.settled && !self.ends.is_empty() {
            self.look()
        } else {
            Ok(())
        };
        self.text.truncate(closed);
        looked_at?;
        self.open.settled |= open;
        self.forget();
        Ok(if self.open.length <= EDGE {
            self.open.length
        } else {
            0
        })
    }

    fn look(&self) -> Result<(), Refused> {
        self.examiner.known_across(&self.place, &self.text, &self.ends)?;
        let found = runs::to_look_at(&self.text, &self.ends, self.settled, self.examiner.policy());
        self.examiner.runs_across(&self.place, &found.text, &found.ends)
    }

    /// Keeps the end of what was looked at.
    fn forget(&mut self) {
        let drop = self.text.len().saturating_sub(REMEMBERED);
        if drop > 0 {
            self.text.drain(..drop);
            self.ends.retain_mut(|end| {
                let stays = *end > drop;
                *end = end.saturating_sub(drop);
                stays
            });
        }
        self.settled = self.text.len();
    }
}

// === impl Open ===

impl Open {
    fn push(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len());
        let room = EDGE.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        if rest.len() >= EDGE {
            self.tail.clear();
        }
        let end = rest.len().saturating_sub(EDGE);
        self.tail.extend_from_slice(rest.get(end..).unwrap_or_default());
        // Dropped now and then, not byte by byte.
        if self.tail.len() > 2 * EDGE {
            self.tail.drain(..self.tail.len() - EDGE);
        }
    }
}

// === impl Writing ===

impl Writing {
    fn read(self, written: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Json if memchr::memchr(b'\\', written).is_some() => Cow::Owned(unescaped(written)),
            Self::Plain | Self::Json => Cow::Borrowed(written),
        }
    }
}

/// A JSON string's content without its escapes. What is none stays as it is.
fn unescaped(mut written: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(written.len());
    while let Some(at) = memchr::memchr(b'\\', written) {
        let (before, escape) = written.split_at(at);
        read.extend_from_slice(before);
        let (character, length) = character(escape);
        match character {
            Some(character) => {
                read.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => read.push(b'\\'),
        }
        written = escape.get(length..).unwrap_or_default();
    }
    read.extend_from_slice(written);
    read
}

/// What an escape stands for, and how long it is.
fn character(escape: &[u8]) -> (Option<char>, usize) {
    let simple = match escape.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        Some(b'u') => {
            return match unit(escape) {
                Some(high @ 0xd800..=0xdbff) => match escape.get(6..).and_then(unit) {
                    Some(low @ 0xdc00..=0xdfff) => (
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
                        12,
                    ),
                    _ => (Some(char::REPLACEMENT_CHARACTER), 6),
                },
                Some(unit) => (char::from_u32(unit).or(Some(char::REPLACEMENT_CHARACTER)), 6),
                None => (None, 1),
            };
        }
        _ => return (None, 1),
    };
    (Some(simple), 2)
}

/// The code unit of `\uXXXX`.
fn unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{examiner, secret};
    use proptest::prelude::*;

    fn joined() -> Joined {
        Joined::new(&examiner(), Place::BodyPieces, Writing::Plain)
    }

    #[test]
    fn a_secret_byte_by_byte_is_found_whatever_is_around_it_and_whenever_it_is_looked_for() {
        let secret = secret();
        for every in [1, 3, 1000] {
            let mut joined = joined();
            let mut result = Ok(0);
            let before = ["hello", "x7", "bob"].into_iter().map(str::as_bytes);
            let after = ["yes", "2024"].into_iter().map(str::as_bytes);
            for (at, piece) in before.chain(secret.as_bytes().chunks(1)).chain(after).enumerate() {
                joined.piece(piece);
                if at % every == 0 {
                    result = result.and_then(|_| joined.settle());
                }
            }
            let result = result.and_then(|_| joined.settle());
            assert!(matches!(result, Err(Refused::Found(_))), "{every}");
        }
    }

    #[test]
    fn a_long_token_byte_by_byte_is_found_among_others() {
        let text = "q7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXoQ5vTk7Wz0RbN";
        let long = [text, text].concat();
        let tokens = [
            format!("sk-ant-api03-{}AA", &long[..93]),
            format!("github_pat_{}_{}", &long[..22], &long[..59]),
        ];
        for token in tokens {
            for after in [&[][..], &["yes", "2024"]] {
                let mut joined = joined();
                let pieces = ["hello", "x7", "bob"].into_iter().map(str::as_bytes);
                let after = after.iter().map(|piece| piece.as_bytes());
                pieces
                    .chain(token.as_bytes().chunks(1))
                    .chain(after.clone())
                    .for_each(|piece| joined.piece(piece));
                let result = joined.settle();
                assert!(
                    matches!(result, Err(Refused::Found(_))),
                    "{token} {}",
                    after.len()
                );
            }
        }
    }

    #[test]
    fn any_number_of_long_pieces_takes_little_memory() {
        let mut joined = joined();
        for _ in 0..200 {
            for _ in 0..20 {
                joined.push(&[b'a'; 5000]);
                joined.settle().unwrap();
            }
            joined.end();
            joined.settle().unwrap();
            assert!(joined.text.len() <= REMEMBERED && joined.ends.len() <= REMEMBERED);
        }
        assert!(joined.text.capacity() < 16 * EDGE);
    }

    proptest! {
        #[test]
        fn escapes_are_undone_as_a_parser_undoes_them(text in "[a\"\\\\\n\u{1}\u{e9}\u{1f600}]{0,20}") {
            let written = serde_json::to_string(&text).unwrap();
            let read = Writing::Json.read(&written.as_bytes()[1..written.len() - 1]).into_owned();
            prop_assert_eq!(String::from_utf8(read).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_taken(text in prop::collection::vec(prop_oneof![Just(b'\\'), Just(b'u'), Just(b'd'), any::<u8>()], 0..40)) {
            let _ = unescaped(&text);
        }
    }

    #[test]
    fn code_units_in_pairs_are_one_character() {
        assert_eq!(unescaped(br"\ud83d\ude00 \u0041\x"), "\u{1f600} A\\x".as_bytes());
    }
}
