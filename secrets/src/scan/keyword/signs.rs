//! What an escape, or a character that looks like another, begins with: the signs that a text is to be read a second time.

use crate::byte_table::ByteTable;
use crate::normalise;

/// The beginnings of characters that are read a second time, of one to three bytes.
pub(super) struct LookAlikes {
    /// By first byte, a bit for each second byte (less 0x80): with it the beginning is complete.
    whole: ByteTable<u64>,
    /// The same, when a third byte decides.
    begun: ByteTable<u64>,
    three: Vec<[u8; 3]>,
}

/// Whether `text` begins with an escape, and the length that makes it one.
pub(super) fn is_escape(text: &[u8]) -> Option<usize> {
    match *text {
        [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => Some(3),
        [b'\\', b'u' | b'U' | b'x' | b'/', ..] | [b'&', b'#', ..] => Some(2),
        [b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..] => Some(4),
        [b'\\', b'2'..=b'7', digit, b' ' | b'\\', ..] if digit.is_ascii_hexdigit() => Some(4),
        _ => None,
    }
}

/// Whether quoted-printable has an `=` at `at` of `text`, and the length that makes it one: a line that goes on within a word,
/// a sign that tokens are made of, or two bytes in a row.
pub(super) fn is_quoted_printable(text: &[u8], at: usize) -> Option<usize> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let after_word = at.checked_sub(1).and_then(|at| text.get(at)).is_some_and(is_word);
    let is_byte = |text: &[u8]| matches!(*text, [b'=', b'2'..=b'7', b'0'..=b'9' | b'A'..=b'F', ..]);
    let rest = text.get(at..).unwrap_or_default();
    match *rest {
        [b'=', b'\n', next, ..] if after_word && is_word(&next) => Some(3),
        [b'=', b'\r', b'\n', next, ..] | [b'=', b'\\', b'n', next, ..] if after_word && is_word(&next) => {
            Some(4)
        }
        [b'=', b'\\', b'r', b'\\', b'n', next, ..] if after_word && is_word(&next) => Some(6),
        [b'=', b'2', b'B' | b'D' | b'E' | b'F', ..] | [b'=', b'3', b'D', ..] | [b'=', b'5', b'F', ..] => {
            Some(3)
        }
        [b'=', ..] if is_byte(rest) && rest.get(3..).is_some_and(is_byte) => Some(6),
        _ => None,
    }
}

// === impl LookAlikes ===

impl LookAlikes {
    pub(super) fn new() -> Self {
        let mut all = Self {
            whole: ByteTable::new(0),
            begun: ByteTable::new(0),
            three: Vec::new(),
        };
        for text in normalise::triggers() {
            match text[..] {
                [first] => all.whole.set(first, u64::MAX),
                [first, second] => all.whole.set(first, all.whole.get(first) | bit(second)),
                [first, second, third, ..] => {
                    all.begun.set(first, all.begun.get(first) | bit(second));
                    all.three.push([first, second, third]);
                }
                [] => {}
            }
        }
        all
    }

    /// Whether `text`, whose first byte is `first`, begins with one, and how long it is.
    #[inline]
    pub(super) fn begins(&self, first: u8, text: &[u8]) -> Option<usize> {
        let second = bit(*text.get(1)?);
        if self.whole.get(first) & second != 0 {
            return Some(2);
        }
        let three = text.get(..3).filter(|_| self.begun.get(first) & second != 0)?;
        self.three.iter().any(|known| known == three).then_some(3)
    }
}

/// The bit of a character's second byte.
fn bit(second: u8) -> u64 {
    match second {
        0x80..=0xbf => 1 << (second & 63),
        _ => 0,
    }
}
