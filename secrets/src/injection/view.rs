//! Text as a reader understands it, with the way back to where each byte stood.

use crate::unescape::{Seen, Undo, Unescape};
use std::ops::Range;

/// A reading of a text.
#[derive(Default)]
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    /// By byte, where it stood in the text.
    from: Vec<usize>,
    end: usize,
}

/// The longest markup that is dropped.
const LONGEST_TAG: usize = 256;

impl View {
    /// `text` in small letters, white space and comment marks being one space, escapes, look-alikes and markup
    /// resolved.
    pub(super) fn plain(text: &[u8], lenient: bool) -> Self {
        let mut view = Self {
            end: text.len(),
            ..Self::default()
        };
        let mut take = |seen: Seen| {
            view.push(seen.byte, usize::try_from(seen.start).unwrap_or(usize::MAX));
        };
        if lenient {
            let mut unescape = Unescape::new(Undo::Lenient);
            for (&byte, at) in text.iter().zip(0u64..) {
                unescape.push(literal(byte, at), &mut take);
            }
            unescape.finish(&mut take);
        } else {
            for (&byte, at) in text.iter().zip(0u64..) {
                take(literal(byte, at));
            }
        }
        view.without_markup()
    }

    fn push(&mut self, byte: u8, at: usize) {
        let byte = match byte {
            b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => b' ',
            other => other.to_ascii_lowercase(),
        };
        if byte != b' ' || self.bytes.last() != Some(&b' ') {
            self.bytes.push(byte);
            self.from.push(at);
        }
    }

    /// Drops tags (`<b>`, `</span>`) and emphasis (`**`), which may stand between any two letters.
    fn without_markup(self) -> Self {
        let mut out = Self {
            end: self.end,
            ..Self::default()
        };
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            let rest = self.bytes.get(at..).unwrap_or_default();
            match tag(rest) {
                Some(length) => at += length,
                None => {
                    if byte != b'*' {
                        out.push(byte, self.from.get(at).copied().unwrap_or(self.end));
                    }
                    at += 1;
                }
            }
        }
        out
    }

    /// The letters of this view alone, digits and signs read as the letters that they stand for, `l` as `i`.
    pub(super) fn squeezed(&self) -> Self {
        let mut out = Self {
            end: self.end,
            ..Self::default()
        };
        for (&byte, &from) in self.bytes.iter().zip(&self.from) {
            if let Some(letter) = folded(byte) {
                out.bytes.push(letter);
                out.from.push(from);
            }
        }
        out
    }

    /// Where a range of the view stood.
    pub(super) fn span(&self, range: Range<usize>) -> Range<usize> {
        let start = self.from.get(range.start).copied().unwrap_or(self.end);
        let last = range.end.checked_sub(1).and_then(|last| self.from.get(last));
        start..last.map_or(start, |last| last + 1)
    }
}

fn literal(byte: u8, at: u64) -> Seen {
    Seen {
        byte,
        start: at,
        end: at + 1,
        literal: true,
    }
}

/// The length of a tag at the start of `text`. A comment is none: what is in it is read.
fn tag(text: &[u8]) -> Option<usize> {
    match *text {
        [b'<', b'/' | b'a'..=b'z', ..] => {
            let tag = text.get(..text.len().min(LONGEST_TAG)).unwrap_or(text);
            let end = tag.iter().position(|&byte| byte == b'>')?;
            Some(end + 1)
        }
        _ => None,
    }
}

/// The letter that a byte is read as when everything else is dropped.
pub(super) fn folded(byte: u8) -> Option<u8> {
    Some(match byte.to_ascii_lowercase() {
        b'0' => b'o',
        b'1' | b'!' | b'|' | b'l' => b'i',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' => b't',
        b'8' => b'b',
        letter @ b'a'..=b'z' => letter,
        _ => return None,
    })
}
