//! Bytes that are written as a list of numbers, or as lines of a dump.
//!
//! `67 68 70`, `0x67, 0x68`, `[103, 104, 112]`, `147 150 160`, and what xxd, hexdump and od make of a file. What a group of
//! digits says is known at its end: seven or eight digits in front of a line of a dump are its offset and stand for nothing, as
//! does what such a line shows of its bytes behind them.

use super::radix::{self, BROKEN, Radix};

/// The longest group that is read as one number: an offset.
const LONGEST: usize = 8;

/// The state of one list.
#[derive(Clone)]
pub(crate) struct Groups {
    radix: Radix,
    digits: [u8; LONGEST],
    count: usize,
    /// Where the group's first digit is.
    since: u64,
    /// The group is longer than a number; of hexadecimal, pairs are told as they come.
    long: bool,
    /// A group of eight digits has ended at a space: at a second one it was an offset.
    eight: bool,
    /// An offset ended with a colon: behind two spaces the line shows its bytes.
    colon: bool,
    /// There was an offset. Without one, words and octal numbers say nothing: they are what tools write that number lines.
    numbered: bool,
    /// The last character was a space.
    space: bool,
    /// What comes up to the line's end is shown, not said.
    shown: bool,
}

// === impl Groups ===

impl Groups {
    pub(crate) fn new(radix: Radix) -> Self {
        Self {
            radix,
            digits: [0; LONGEST],
            count: 0,
            since: 0,
            long: false,
            eight: false,
            colon: false,
            numbered: false,
            space: false,
            shown: false,
        }
    }

    /// Where the digits begin of which nothing was told yet.
    pub(crate) fn open_since(&self) -> Option<u64> {
        (self.count > 0).then_some(self.since)
    }

    /// Reads `text`, which stands at `at`.
    pub(crate) fn push(&mut self, text: &[u8], at: u64, tell: &mut impl FnMut(u8, u64)) {
        for (&byte, at) in text.iter().zip(at..) {
            match radix::hex_digit(byte) {
                _ if self.shown && byte != b'\n' => {}
                Some(digit) => self.digit(digit, at, tell),
                None if matches!(byte, b'x' | b'X') => self.mark(at, tell),
                None => self.between(byte, tell),
            }
        }
    }

    /// The list is over, or its line.
    pub(crate) fn end(&mut self, tell: &mut impl FnMut(u8, u64)) {
        self.settle(tell);
        *self = Self::new(self.radix);
    }

    #[inline]
    fn digit(&mut self, digit: u8, at: u64, tell: &mut impl FnMut(u8, u64)) {
        if self.eight {
            self.settle(tell);
        }
        self.space = false;
        if self.count == LONGEST {
            if self.is_pairs() {
                self.pairs(tell);
            }
            self.long = true;
            self.count = 0;
        }
        if self.count == 0 {
            self.since = at;
        }
        if let Some(slot) = self.digits.get_mut(self.count) {
            *slot = digit;
            self.count += 1;
        }
        if self.long && self.count == 2 && self.is_pairs() {
            self.pairs(tell);
            self.count = 0;
        }
    }

    /// The `x` of `0x`.
    fn mark(&mut self, at: u64, tell: &mut impl FnMut(u8, u64)) {
        if self.count == 1 && self.digits.first() == Some(&0) && !self.long {
            self.count = 0;
        } else {
            self.settle(tell);
            tell(BROKEN, at);
        }
    }

    fn between(&mut self, byte: u8, tell: &mut impl FnMut(u8, u64)) {
        let eight = self.count == LONGEST && !self.long;
        match byte {
            b':' if eight => {
                self.forget();
                (self.colon, self.numbered) = (true, true);
            }
            b' ' if eight && self.eight => {
                self.forget();
                self.numbered = true;
            }
            b' ' if eight => self.eight = true,
            _ => self.settle(tell),
        }
        self.shown = self.colon && self.space && byte == b' ';
        self.space = byte == b' ';
        if byte == b'\n' {
            (self.colon, self.shown) = (false, false);
        }
    }

    fn is_pairs(&self) -> bool {
        self.radix == Radix::HexPairs
    }

    fn forget(&mut self) {
        (self.count, self.long, self.eight) = (0, false, false);
    }

    /// Tells what the group that has ended says.
    fn settle(&mut self, tell: &mut impl FnMut(u8, u64)) {
        let digits = self.digits;
        let digits = digits.get(..self.count).unwrap_or_default();
        let word = |low: u32, high: u32| [low, high].map(|byte| u8::try_from(byte).unwrap_or(BROKEN));
        match (self.radix, digits) {
            (_, []) if !self.long => {}
            (_, [_, _, _, _, _, _, _]) if !self.long => self.numbered = true,
            (Radix::HexWords | Radix::Octal, _) if !self.numbered => {}
            (Radix::HexPairs, _) => self.pairs(tell),
            _ if self.long => tell(BROKEN, self.since),
            (Radix::HexWords, [a, b, c, d]) => {
                tell(c << 4 | d, self.since);
                tell(a << 4 | b, self.since);
            }
            (Radix::HexWords, &[a, b, c, d, e, f, g, h]) => {
                for (high, low) in [(g, h), (e, f), (c, d), (a, b)] {
                    tell(high << 4 | low, self.since);
                }
            }
            (Radix::Decimal, [_] | [_, _] | [_, _, _]) => {
                tell(number(digits, 10).map_or(BROKEN, |[byte, _]| byte), self.since);
            }
            (Radix::Decimal, [_, _, _, _, _, _, _, _]) => {
                tell(number(digits, 2).map_or(BROKEN, |[byte, _]| byte), self.since);
            }
            (Radix::Octal, [_, _, _]) => {
                tell(number(digits, 8).map_or(BROKEN, |[byte, _]| byte), self.since);
            }
            (Radix::Octal, [_, _, _, _, _, _]) => {
                let value = digits.iter().try_fold(0u32, |sum, &digit| {
                    (digit < 8).then_some(sum << 3 | u32::from(digit))
                });
                let value = value.unwrap_or(u32::MAX);
                for byte in word(value & 0xff, value >> 8) {
                    tell(byte, self.since);
                }
            }
            _ => tell(BROKEN, self.since),
        }
        self.forget();
    }

    /// Tells the digits two by two; one that is left fits nothing.
    fn pairs(&mut self, tell: &mut impl FnMut(u8, u64)) {
        let digits = self.digits;
        let (pairs, rest) = digits.get(..self.count).unwrap_or_default().as_chunks::<2>();
        for ([high, low], at) in pairs.iter().zip((self.since..).step_by(2)) {
            tell(high << 4 | low, at);
        }
        if !rest.is_empty() {
            tell(BROKEN, self.since + (self.count - 1) as u64);
        }
    }
}

/// Whether `list` has so many numbers in a row that are characters of text: most lists are of other numbers.
pub(super) fn says_text(list: &[u8]) -> bool {
    /// The shortest secret has as many.
    const ROW: u32 = 12;
    let (mut row, mut value, mut digits, mut binary) = (0, 0u32, 0u32, true);
    for &byte in list {
        if byte.is_ascii_digit() {
            value = value.wrapping_mul(10).wrapping_add(u32::from(byte & 15));
            binary &= byte <= b'1';
            digits += 1;
        } else if digits > 0 {
            let is_text = (digits <= 3 && (32..127).contains(&value)) || (digits == 8 && binary);
            // An offset is no number.
            row = if is_text {
                row + 1
            } else if digits == 7 {
                row
            } else {
                0
            };
            if row == ROW - 1 {
                return true;
            }
            (value, digits, binary) = (0, 0, true);
        }
    }
    false
}

/// The byte that digits of `radix` write, if one does.
fn number(digits: &[u8], radix: u32) -> Option<[u8; 2]> {
    let value = digits.iter().try_fold(0u32, |sum, &digit| {
        (u32::from(digit) < radix).then(|| sum * radix + u32::from(digit))
    })?;
    u8::try_from(value).ok().map(|byte| [byte, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(radix: Radix, text: &str, size: usize) -> Vec<u8> {
        let (mut groups, mut bytes) = (Groups::new(radix), Vec::new());
        let mut tell = |byte, _| bytes.push(byte);
        for (chunk, at) in text.as_bytes().chunks(size).zip((0..).step_by(size)) {
            groups.push(chunk, at, &mut tell);
        }
        groups.end(&mut tell);
        bytes
    }

    fn join(bytes: &[u8], between: &str, write: impl Fn(&u8) -> String) -> String {
        bytes.iter().map(write).collect::<Vec<_>>().join(between)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_whatever_the_chunks(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            size in 1usize..20,
        ) {
            for (radix, text) in [
                (Radix::HexPairs, join(&bytes, ", ", |b| format!("0x{b:02X}"))),
                (Radix::HexPairs, join(&bytes, "-", |b| format!("{b:02x}"))),
                (Radix::Decimal, join(&bytes, ",\n", u8::to_string)),
                (Radix::Decimal, join(&bytes, " ", |b| format!("{b:08b}"))),
                (Radix::Octal, format!("0000000 {}", join(&bytes, " ", |b| format!("{b:03o}")))),
            ] {
                prop_assert_eq!(&read(radix, &text, size), &bytes, "{}", text);
            }
        }

        #[test]
        fn each_byte_begins_where_it_was_read_and_none_goes_back(text in "[0-9a-fx:,. \n-]{0,80}", size in 1usize..20) {
            for radix in [Radix::HexPairs, Radix::HexWords, Radix::Decimal, Radix::Octal] {
                let (mut groups, mut points) = (Groups::new(radix), Vec::new());
                let mut tell = |_, at| points.push(at);
                for (chunk, at) in text.as_bytes().chunks(size).zip((0..).step_by(size)) {
                    groups.push(chunk, at, &mut tell);
                }
                groups.end(&mut tell);
                prop_assert!(points.is_sorted(), "{:?} {:?}", radix, points);
                prop_assert!(points.iter().all(|&at| at < text.len().max(1) as u64));
            }
        }
    }

    #[test]
    fn the_lines_of_a_dump_are_read_without_offsets_and_what_they_show() {
        let xxd = "00000000: 6162 6364 6566  ab cd ef\n00000006: 67";
        let hexdump = "00000000  61 62 63 64  65 66\n00000006  67";
        let od = "0000000 61 62 63 64 65 66\n0000006 67";
        for text in [xxd, hexdump, od] {
            for size in [1, 5, 100] {
                assert_eq!(read(Radix::HexPairs, text, size), b"abcdefg", "{text}");
            }
        }
        assert_eq!(
            read(Radix::HexWords, "0000000 6261 6463 0a65\n0000006", 9),
            b"abcde\n"
        );
        assert_eq!(
            read(Radix::HexWords, "00000000: 64636261 68676665", 9),
            b"abcdefgh"
        );
        assert_eq!(read(Radix::Octal, "0000000 061141 062143\n0000004", 9), b"abcd");
        assert_eq!(read(Radix::Octal, "0000000 141 142\n0000002", 9), b"ab");
        assert_eq!(read(Radix::Decimal, "0000000  97  98\n0000002", 9), b"ab");
    }

    #[test]
    fn digits_that_are_no_byte_decode_to_what_fits_nothing() {
        assert_eq!(read(Radix::HexPairs, "41:4:42", 9), [0x41, BROKEN, 0x42]);
        assert_eq!(read(Radix::HexPairs, "411:42", 9), [0x41, BROKEN, 0x42]);
        assert_eq!(
            read(Radix::HexPairs, "41414141424242424", 9),
            [&b"AAAABBBB"[..], &[BROKEN]].concat()
        );
        assert_eq!(read(Radix::Decimal, "97, 1000, 98", 9), [97, BROKEN, 98]);
        assert_eq!(
            read(Radix::Decimal, "97, 256, 123456789", 9),
            [97, BROKEN, BROKEN]
        );
        assert_eq!(
            read(Radix::Octal, "141 0000000 141 800 14", 9),
            [97, BROKEN, BROKEN]
        );
    }
}
