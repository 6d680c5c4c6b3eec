//! Undoing the ways of writing that may touch any byte of a stream, one byte at a time.
//!
//! An [`Unescape`] is fed bytes and answers with the bytes that they stand for. It keeps at most one unfinished
//! escape; what turns out to be none is given back as it stood. It never refuses anything: a broken escape is
//! ordinary text.

use crate::normalise;

/// Which ways of writing are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undo {
    /// percent-encoding
    Percent,
    /// the escapes of JSON, and those of C, Python, JavaScript and Rust: `\xHH`, `\OOO`, `\UHHHHHHHH`, `\u{H}`
    Json,
    /// percent-encoding, escapes under any number of backslashes, HTML character references, and characters
    /// that only look like ASCII or are not seen at all
    Lenient,
    /// as [`Undo::Lenient`], for ASCII alone, and white space is dropped however it is written
    Unwrapped,
    /// quoted-printable (RFC 2045 section 6.7), with the line ends of a text that is quoted itself
    QuotedPrintable,
    /// the case of hexadecimal digits
    Case,
}

/// The longest unfinished escape: a surrogate pair, `\ud83d\ude00`.
const LONGEST: usize = 12;

/// One byte of a reading, with the raw bytes that it stands for.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) byte: u8,
    /// Offset of the first raw byte.
    pub(crate) start: u64,
    /// Offset behind the last raw byte.
    pub(crate) end: u64,
    /// Written as itself.
    pub(crate) literal: bool,
}

/// What an unfinished escape has turned out to be.
enum Verdict {
    /// More bytes decide.
    Open,
    /// Its first byte is itself; the others are looked at again.
    Literal,
    /// Its first byte stands for nothing; the others are looked at again.
    Nothing,
    /// All of it stands for these bytes.
    Bytes([u8; 4], usize),
    /// All but its last byte does, which is looked at again.
    Before([u8; 4], usize),
}

/// The state of one reading of a stream.
#[derive(Clone)]
pub(crate) struct Unescape {
    undo: Undo,
    open: Vec<Seen>,
}

/// Whether `byte` may begin an escape in some reading and, before `next`, begins none in any of them. (Not every
/// one of which that is true.)
#[inline]
pub(crate) fn stands_for_itself(byte: u8, next: u8) -> bool {
    match byte {
        b'%' => !next.is_ascii_hexdigit(),
        b'\\' => !next.is_ascii() || (next.is_ascii_control() && !next.is_ascii_whitespace()),
        _ => false,
    }
}

// === impl Unescape ===

impl Unescape {
    pub(crate) fn new(undo: Undo) -> Self {
        Self {
            undo,
            open: Vec::new(),
        }
    }

    /// Whether `byte`, with no escape open, is anything but itself in this reading.
    #[inline]
    pub(crate) fn is_special(&self, byte: u8) -> bool {
        match self.undo {
            Undo::Percent => byte == b'%',
            Undo::Json => byte == b'\\',
            Undo::QuotedPrintable => byte == b'=',
            Undo::Lenient => matches!(byte, b'%' | b'\\' | b'&' | 0xc2..=0xf4),
            Undo::Unwrapped => matches!(byte, b'%' | b'\\' | b'&' | b' ' | b'\t' | b'\r' | b'\n'),
            Undo::Case => byte.is_ascii_uppercase() && byte.is_ascii_hexdigit(),
        }
    }

    /// Offset of the first raw byte of the unfinished escape.
    pub(crate) fn open_since(&self) -> Option<u64> {
        self.open.first().map(|seen| seen.start)
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// Takes the next byte and hands out what it settles.
    #[inline]
    pub(crate) fn push(&mut self, seen: Seen, mut out: impl FnMut(Seen)) {
        if self.open.is_empty() && !self.is_special(seen.byte) {
            out(seen);
            return;
        }
        self.open.push(seen);
        self.settle(&mut out);
    }

    /// The stream is over: an unfinished escape was none.
    pub(crate) fn finish(&mut self, mut out: impl FnMut(Seen)) {
        while !self.open.is_empty() {
            if let Verdict::Before(bytes, count) = self.verdict_at_end() {
                self.tell(bytes, count, None, &mut out);
                self.open.clear();
                return;
            }
            out(self.open.remove(0));
            self.settle(&mut out);
        }
    }

    fn settle(&mut self, out: &mut impl FnMut(Seen)) {
        while let (Some(&first), Some(&last)) = (self.open.first(), self.open.last()) {
            match self.verdict() {
                Verdict::Open => return,
                Verdict::Literal => {
                    self.open.remove(0);
                    out(first);
                }
                Verdict::Nothing => {
                    self.open.remove(0);
                }
                Verdict::Bytes(bytes, count) => {
                    self.tell(bytes, count, None, out);
                    self.open.clear();
                }
                Verdict::Before(bytes, count) => {
                    self.tell(bytes, count, Some(last), out);
                    self.open.clear();
                    self.open.push(last);
                }
            }
        }
    }

    /// Hands out what the open escape stands for, which ends before `next` if that is there.
    #[inline]
    fn tell(&self, bytes: [u8; 4], count: usize, next: Option<Seen>, out: &mut impl FnMut(Seen)) {
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else {
            return;
        };
        for &byte in bytes.iter().take(count) {
            out(Seen {
                byte,
                start: first.start,
                end: next.map_or(last.end, |next| next.start),
                literal: false,
            });
        }
    }

    /// As if a space had come.
    fn verdict_at_end(&self) -> Verdict {
        let mut ended = self.clone();
        if let Some(&last) = self.open.last() {
            ended.open.push(Seen { byte: b' ', ..last });
        }
        ended.verdict()
    }

    fn verdict(&self) -> Verdict {
        let mut text = [0u8; LONGEST];
        for (slot, seen) in text.iter_mut().zip(&self.open) {
            *slot = seen.byte;
        }
        let text = text.get(..self.open.len()).unwrap_or(&text);
        let Some(&first) = text.first() else {
            return Verdict::Literal;
        };
        let collapse = matches!(self.undo, Undo::Lenient | Undo::Unwrapped);
        match first {
            _ if !self.is_special(first) => Verdict::Literal,
            b'%' => self.but_white_space(percent(text)),
            // Quoting a quoted text doubles its backslashes; however many there are, the last one counts.
            b'\\' if collapse && text.get(1) == Some(&b'\\') => Verdict::Nothing,
            b'\\' if self.undo == Undo::Lenient && matches!(text.get(1), Some(b'2'..=b'7')) => {
                style_sheet(text).unwrap_or_else(|| backslash(text))
            }
            b'\\' => self.but_white_space(backslash(text)),
            b'=' => quoted_printable(text),
            b'&' => self.but_white_space(character_reference(text)),
            0x80.. => look_alike(text),
            b'A'..=b'F' => Verdict::Bytes([first.to_ascii_lowercase(), 0, 0, 0], 1),
            _ => Verdict::Nothing,
        }
    }

    /// White space is dropped however it is written, if it is dropped at all.
    fn but_white_space(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Bytes([b' ' | b'\t' | b'\r' | b'\n', ..], 1) if self.undo == Undo::Unwrapped => {
                Verdict::Bytes([0; 4], 0)
            }
            Verdict::Before([b' ' | b'\t' | b'\r' | b'\n', ..], 1) if self.undo == Undo::Unwrapped => {
                Verdict::Before([0; 4], 0)
            }
            other => other,
        }
    }
}

fn one(byte: u8) -> Verdict {
    Verdict::Bytes([byte, 0, 0, 0], 1)
}

fn character(code: u32) -> Verdict {
    let mut bytes = [0; 4];
    char::from_u32(code).map_or(Verdict::Literal, |c| {
        let count = c.encode_utf8(&mut bytes).len();
        Verdict::Bytes(bytes, count)
    })
}

/// The number that `digits` write, if they are all digits of `radix`.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits.iter().try_fold(0u32, |sum, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        sum.checked_mul(radix)?.checked_add(digit)
    })
}

/// A character outside ASCII that is read as one within it, or as none.
fn look_alike(text: &[u8]) -> Verdict {
    match std::str::from_utf8(text) {
        Ok(text) => match text.chars().next().and_then(normalise::ascii) {
            Some((bytes, count)) => Verdict::Bytes(bytes, count),
            None => Verdict::Literal,
        },
        Err(error) if error.error_len().is_none() => Verdict::Open,
        Err(_) => Verdict::Literal,
    }
}

fn percent(text: &[u8]) -> Verdict {
    hexadecimal(text.get(1..).unwrap_or_default(), 2, |code| {
        one(u8::try_from(code).unwrap_or_default())
    })
}

/// `=5F`, or nothing where a line ends in an `=`.
fn quoted_printable(text: &[u8]) -> Verdict {
    let nothing = Verdict::Bytes([0; 4], 0);
    match text.get(1..).unwrap_or_default() {
        b"\n" | b"\r\n" | b"\\n" | b"\\r\\n" => nothing,
        b"" | b"\r" | b"\\" | b"\\r" | b"\\r\\" => Verdict::Open,
        digits if digits.iter().any(u8::is_ascii_lowercase) => Verdict::Literal,
        digits => hexadecimal(digits, 2, |code| one(u8::try_from(code).unwrap_or_default())),
    }
}

/// `count` hexadecimal digits, which may not all be there yet.
fn hexadecimal(digits: &[u8], count: usize, then: impl Fn(u32) -> Verdict) -> Verdict {
    match number(digits, 16) {
        None => Verdict::Literal,
        Some(_) if digits.len() < count => Verdict::Open,
        Some(code) => then(code),
    }
}

/// JSON's escapes and those of C, Python, JavaScript and Rust.
fn backslash(text: &[u8]) -> Verdict {
    let Some((&kind, rest)) = text.get(1..).and_then(<[u8]>::split_first) else {
        return Verdict::Open;
    };
    match kind {
        b'"' | b'\\' | b'/' | b'\'' => one(kind),
        b'n' => one(b'\n'),
        b'r' => one(b'\r'),
        b't' => one(b'\t'),
        b'x' => hexadecimal(rest, 2, character),
        b'U' => hexadecimal(rest, 8, character),
        b'0'..=b'3' => octal(text.get(1..).unwrap_or_default()),
        b'u' if rest.first() == Some(&b'{') => braced(rest.get(1..).unwrap_or_default()),
        b'u' => {
            let high = rest.get(..4).and_then(|digits| number(digits, 16));
            match high {
                Some(high @ 0xd800..0xdc00) => low_surrogate(high, rest.get(4..).unwrap_or_default()),
                _ => hexadecimal(rest, 4, character),
            }
        }
        _ => Verdict::Literal,
    }
}

/// The escape of a style sheet: two hexadecimal digits of an ASCII character, ended by a space or by the next escape. (There are others,
/// with more digits.)
fn style_sheet(text: &[u8]) -> Option<Verdict> {
    match *text {
        [_, b'2'..=b'7'] => Some(Verdict::Open),
        [_, b'2'..=b'7', digit] if digit.is_ascii_hexdigit() => Some(Verdict::Open),
        [_, high @ b'2'..=b'7', low, end] => {
            let code = number(&[high, low], 16)?;
            let byte = [u8::try_from(code).ok()?, 0, 0, 0];
            match end {
                b' ' => Some(Verdict::Bytes(byte, 1)),
                b'\\' => Some(Verdict::Before(byte, 1)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Three octal digits, the first of which is there. Fewer would be as often a reference to a group.
fn octal(digits: &[u8]) -> Verdict {
    match number(digits, 8) {
        None => Verdict::Literal,
        Some(_) if digits.len() < 3 => Verdict::Open,
        Some(code) => u8::try_from(code).map_or(Verdict::Literal, one),
    }
}

/// What follows `\u{`.
fn braced(text: &[u8]) -> Verdict {
    const MOST: usize = 6;
    match text.split_last() {
        Some((b'}', digits)) if !digits.is_empty() => number(digits, 16).map_or(Verdict::Literal, character),
        _ if text.len() <= MOST && number(text, 16).is_some() => Verdict::Open,
        _ => Verdict::Literal,
    }
}

fn low_surrogate(high: u32, text: &[u8]) -> Verdict {
    let (lead, digits) = text.split_at(text.len().min(2));
    if !b"\\u".starts_with(lead) {
        return Verdict::Literal;
    }
    hexadecimal(digits, 4, |low| match low {
        0xdc00..0xe000 => character(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
        _ => Verdict::Literal,
    })
}

/// `&amp;`, `&#43;`, `&#x2B;`: the references that HTML and XML writers use for characters of a credential.
fn character_reference(text: &[u8]) -> Verdict {
    let name = text.get(1..).unwrap_or_default();
    let Some((b';', name)) = name.split_last() else {
        let goes_on = name
            .iter()
            .all(|&byte| byte == b'#' || byte.is_ascii_alphanumeric());
        // Readers of HTML take a number without its semicolon.
        if let Some((_, [b'#', digits @ ..])) = name.split_last()
            && !goes_on
            && let Some(Verdict::Bytes(bytes, count)) = numbered(digits)
        {
            return Verdict::Before(bytes, count);
        }
        return if goes_on && text.len() < LONGEST - 2 {
            Verdict::Open
        } else {
            Verdict::Literal
        };
    };
    match name {
        b"amp" => one(b'&'),
        b"lt" => one(b'<'),
        b"gt" => one(b'>'),
        b"quot" => one(b'"'),
        b"apos" => one(b'\''),
        [b'#', digits @ ..] => numbered(digits).unwrap_or(Verdict::Literal),
        _ => Verdict::Literal,
    }
}

/// The character of a number, in hexadecimal behind an `x`.
fn numbered(digits: &[u8]) -> Option<Verdict> {
    match digits {
        [] | [b'x' | b'X'] => None,
        [b'x' | b'X', digits @ ..] => number(digits, 16).map(character),
        digits => number(digits, 10).map(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(undo: Undo, text: &[u8]) -> Vec<u8> {
        let mut state = Unescape::new(undo);
        let mut out = Vec::new();
        for (at, &byte) in (0u64..).zip(text) {
            state.push(
                Seen {
                    byte,
                    start: at,
                    end: at + 1,
                    literal: true,
                },
                |seen| out.push(seen.byte),
            );
        }
        state.finish(|seen| out.push(seen.byte));
        out
    }

    #[test]
    fn percent_encoding_is_undone_once_and_broken_escapes_stay() {
        assert_eq!(
            read(Undo::Percent, b"a%2Fb%2fc%252f%zz%%41%4"),
            b"a/b/c%2f%zz%A%4"
        );
    }

    #[test]
    fn what_stands_for_itself_does_so_in_every_reading() {
        let readings = [
            Undo::Percent,
            Undo::Json,
            Undo::Lenient,
            Undo::Unwrapped,
            Undo::Case,
        ];
        for byte in [b'%', b'\\'] {
            for next in (0..=u8::MAX).filter(|&next| stands_for_itself(byte, next)) {
                for reading in readings {
                    for after in [b'4', b'n', b' ', 0x9f] {
                        let alone = read(reading, &[next, after]);
                        assert_eq!(read(reading, &[byte, next, after]), [&[byte], &*alone].concat());
                    }
                }
            }
        }
    }

    #[test]
    fn json_escapes_are_undone() {
        assert_eq!(
            read(Undo::Json, br#"\"a\/\u002b\\n\n\q\u00g0\x41"#),
            b"\"a/+\\n\n\\q\\u00g0A"
        );
        assert_eq!(read(Undo::Json, br"\ud83d\ude00\u00e9"), "😀é".as_bytes());
        assert_eq!(read(Undo::Json, br"\ud83dx"), br"\ud83dx");
        assert_eq!(
            read(Undo::Json, br"\147\u{68}\U00000070\1 \18 \u{} \u{1234567} \0"),
            br"ghp\1 \18 \u{} \u{1234567} \0"
        );
    }

    #[test]
    fn the_unwrapped_reading_drops_white_space_in_every_writing_and_resolves_references() {
        assert_eq!(
            read(
                Undo::Unwrapped,
                b"a \r\n\tb\\nc%0D%0a&#10;\\\\\\nd\\\\/e&#43;&#x2b;&amp;&x;%41&nope"
            ),
            b"abcd/e++&&x;A&nope"
        );
    }

    #[test]
    fn the_lenient_reading_takes_what_browsers_take() {
        assert_eq!(
            read(
                Undo::Lenient,
                br"&#103&#104;&#x70&#95-&#x;&#-\67 \68\70 \5f \d2 \7"
            ),
            br"ghp_-&#x;&#-ghp_\d2 \7".map(|byte| byte).as_slice()
        );
        assert_eq!(read(Undo::Lenient, b"&#103"), b"g");
    }

    #[test]
    fn the_lenient_reading_sees_through_look_alikes_and_keeps_white_space() {
        let text = "g\u{200b}h\u{ff50}\u{43e} caf\u{e9} \u{1d5ba}\u{ad}";
        assert_eq!(
            read(Undo::Lenient, text.as_bytes()),
            "ghpo caf\u{e9} a".as_bytes()
        );
        assert_eq!(
            read(Undo::Lenient, b"\xd0\xff\xe2\x80A\xf4"),
            b"\xd0\xff\xe2\x80A\xf4"
        );
    }

    proptest! {
        #[test]
        fn no_reading_panics_or_reports_a_span_that_goes_backwards(
            text in prop::collection::vec(prop::sample::select(b"%\\&#ux;2dDc8n \nA\xe2\x80\x8b\xd0\xb0\xf0".to_vec()), 0..60)
        ) {
            for undo in [Undo::Lenient, Undo::Percent, Undo::Json, Undo::Unwrapped, Undo::Case] {
                let mut state = Unescape::new(undo);
                let mut last = 0;
                let mut spans = Vec::new();
                for (at, &byte) in (0u64..).zip(&text) {
                    state.push(Seen { byte, start: at, end: at + 1, literal: true }, |seen| spans.push(seen));
                    prop_assert!(state.open.len() < LONGEST);
                }
                state.finish(|seen| spans.push(seen));
                for seen in spans {
                    prop_assert!(seen.start >= last && seen.end > seen.start && seen.end <= text.len() as u64);
                    last = seen.start;
                }
            }
        }
    }
}
