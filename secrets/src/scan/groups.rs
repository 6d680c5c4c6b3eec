//! Bytes that are written as a list of numbers, or as lines of a dump.
//!
//! `67 68 70`, `0x67, 0x68`, `[103, 104, 112]`, `147 150 160`, and what xxd, hexdump and od make of a file. What a group of
//! digits says is known at its end: seven or eight digits in front of a line of a dump are its offset and stand for nothing, as
//! does what such a line shows of its bytes behind them.

use super::radix::{BROKEN, Radix};

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
    /// The last character was a space.
    space: bool,
    /// What comes up to the line's end is shown, not said.
    shown: bool,
}

/// Bytes, each with where in the text it begins.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) bytes: Vec<u8>,
    pub(crate) points: Vec<(u64, u64)>,
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
            space: false,
            shown: false,
        }
    }

    /// Where the digits begin of which nothing was told yet.
    pub(crate) fn open_since(&self) -> Option<u64> {
        (self.count > 0).then_some(self.since)
    }

    /// Reads `text`, which stands at `at`.
    pub(crate) fn push(&mut self, text: &[u8], at: u64, told: &mut Told) {
        for (&byte, at) in text.iter().zip(at..) {
            match char::from(byte).to_digit(16) {
                _ if self.shown && byte != b'\n' => {}
                Some(digit) => self.digit(digit as u8, at, told),
                None if matches!(byte, b'x' | b'X') => self.mark(told),
                None => self.between(byte, told),
            }
        }
    }

    /// The list is over, or its line.
    pub(crate) fn end(&mut self, told: &mut Told) {
        self.tell(told);
        *self = Self::new(self.radix);
    }

    fn digit(&mut self, digit: u8, at: u64, told: &mut Told) {
        if self.eight {
            self.tell(told);
        }
        self.space = false;
        if self.count == LONGEST {
            if self.is_pairs() {
                self.pairs(told);
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
            self.pairs(told);
            self.count = 0;
        }
    }

    /// The `x` of `0x`.
    fn mark(&mut self, told: &mut Told) {
        if self.count == 1 && self.digits.first() == Some(&0) && !self.long {
            self.count = 0;
        } else {
            self.tell(told);
            told.push(BROKEN, self.since);
        }
    }

    fn between(&mut self, byte: u8, told: &mut Told) {
        let eight = self.count == LONGEST && !self.long;
        match byte {
            b':' if eight => {
                self.forget();
                self.colon = true;
            }
            b' ' if eight && self.eight => self.forget(),
            b' ' if eight => self.eight = true,
            _ => self.tell(told),
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
    fn tell(&mut self, told: &mut Told) {
        let digits = self.digits;
        let digits = digits.get(..self.count).unwrap_or_default();
        let word = |low: u32, high: u32| [low, high].map(|byte| u8::try_from(byte).unwrap_or(BROKEN));
        match (self.radix, digits) {
            (_, []) if !self.long => {}
            (_, [_, _, _, _, _, _, _]) if !self.long => {}
            (Radix::HexPairs, _) => self.pairs(told),
            _ if self.long => told.push(BROKEN, self.since),
            (Radix::HexWords, [a, b, c, d]) => {
                told.push(c << 4 | d, self.since);
                told.push(a << 4 | b, self.since);
            }
            (Radix::HexWords, &[a, b, c, d, e, f, g, h]) => {
                for (high, low) in [(g, h), (e, f), (c, d), (a, b)] {
                    told.push(high << 4 | low, self.since);
                }
            }
            (Radix::Decimal, [_] | [_, _] | [_, _, _]) => {
                told.push(number(digits, 10).map_or(BROKEN, |[byte, _]| byte), self.since);
            }
            (Radix::Decimal, [_, _, _, _, _, _, _, _]) => {
                told.push(number(digits, 2).map_or(BROKEN, |[byte, _]| byte), self.since);
            }
            (Radix::Octal, [_, _, _] | [0, _, _, _]) => {
                told.push(number(digits, 8).map_or(BROKEN, |[byte, _]| byte), self.since);
            }
            (Radix::Octal, [_, _, _, _, _, _]) => {
                let value = digits.iter().try_fold(0u32, |sum, &digit| {
                    (digit < 8).then_some(sum << 3 | u32::from(digit))
                });
                let value = value.unwrap_or(u32::MAX);
                for byte in word(value & 0xff, value >> 8) {
                    told.push(byte, self.since);
                }
            }
            _ => told.push(BROKEN, self.since),
        }
        self.forget();
    }

    /// Tells the digits two by two; one that is left fits nothing.
    fn pairs(&mut self, told: &mut Told) {
        let digits = self.digits;
        let (pairs, rest) = digits.get(..self.count).unwrap_or_default().as_chunks::<2>();
        for ([high, low], at) in pairs.iter().zip((self.since..).step_by(2)) {
            told.push(high << 4 | low, at);
        }
        if !rest.is_empty() {
            told.push(BROKEN, self.since);
        }
    }
}

/// The byte that digits of `radix` write, if one does.
fn number(digits: &[u8], radix: u32) -> Option<[u8; 2]> {
    let value = digits.iter().try_fold(0u32, |sum, &digit| {
        (u32::from(digit) < radix).then(|| sum * radix + u32::from(digit))
    })?;
    u8::try_from(value).ok().map(|byte| [byte, 0])
}

// === impl Told ===

impl Told {
    fn push(&mut self, byte: u8, at: u64) {
        self.points.push((self.bytes.len() as u64, at));
        self.bytes.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(radix: Radix, text: &str, size: usize) -> Vec<u8> {
        let (mut groups, mut told) = (Groups::new(radix), Told::default());
        for (chunk, at) in text.as_bytes().chunks(size).zip((0..).step_by(size)) {
            groups.push(chunk, at, &mut told);
        }
        groups.end(&mut told);
        told.bytes
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
                (Radix::Octal, join(&bytes, " ", |b| format!("{b:03o}"))),
                (Radix::Octal, join(&bytes, ", ", |b| format!("{b:04o}"))),
            ] {
                prop_assert_eq!(&read(radix, &text, size), &bytes, "{}", text);
            }
        }

        #[test]
        fn each_byte_begins_where_it_was_read_and_none_goes_back(text in "[0-9a-fx:,. \n-]{0,80}", size in 1usize..20) {
            for radix in [Radix::HexPairs, Radix::HexWords, Radix::Decimal, Radix::Octal] {
                let (mut groups, mut told) = (Groups::new(radix), Told::default());
                for (chunk, at) in text.as_bytes().chunks(size).zip((0..).step_by(size)) {
                    groups.push(chunk, at, &mut told);
                }
                groups.end(&mut told);
                prop_assert!(told.points.is_sorted());
                prop_assert!(told.points.iter().all(|&(_, at)| at < text.len().max(1) as u64));
                prop_assert_eq!(told.points.len(), told.bytes.len());
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
        assert_eq!(read(Radix::Octal, "141 800 14", 9), [97, BROKEN, BROKEN]);
    }
}
