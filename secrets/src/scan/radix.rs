//! Texts that write bytes as digits: base64, base32, hexadecimal.
//!
//! A [`Digits`] is fed characters and appends the bytes that are complete. Characters outside the alphabet do
//! not come here; an `=` ends a text.

use crate::byte_class;
use crate::byte_table::ByteTable;

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Radix {
    /// six bits a character, `+` and `-`, `/` and `_` being the same
    Base64,
    /// five bits a character
    Base32,
    /// four bits a character
    Hex,
    /// four bits a character, in pairs with something between them, or between several
    HexPairs,
    /// four bits a character, in groups of two or four bytes, the lowest first
    HexWords,
    /// bytes as decimal numbers, or as eight binary digits
    Decimal,
    /// bytes as three octal digits, or two as six, the lower first
    Octal,
}

/// No digit.
const NONE: u8 = 0xff;
/// What digits that are no byte decode to: it fits no secret.
pub(super) const BROKEN: u8 = 0xff;

const fn table(ranges: &[(u8, u8, u8)]) -> ByteTable<u8> {
    let mut table = ByteTable::new(NONE);
    let mut rest = ranges;
    while let [(first, last, value), tail @ ..] = rest {
        let mut byte = *first;
        while byte <= *last {
            table.set(byte, *value + (byte - *first));
            byte += 1;
        }
        rest = tail;
    }
    table
}

static BASE64: ByteTable<u8> = table(&[
    (b'A', b'Z', 0),
    (b'a', b'z', 26),
    (b'0', b'9', 52),
    (b'+', b'+', 62),
    (b'-', b'-', 62),
    (b'/', b'/', 63),
    (b'_', b'_', 63),
]);
static BASE32: ByteTable<u8> = table(&[(b'A', b'Z', 0), (b'2', b'7', 26)]);
static HEX: ByteTable<u8> = table(&[(b'0', b'9', 0), (b'a', b'f', 10), (b'A', b'F', 10)]);
// === impl Radix ===

impl Radix {
    fn digits(self) -> &'static ByteTable<u8> {
        match self {
            Self::Base64 => &BASE64,
            Self::Base32 => &BASE32,
            // Those in groups are read elsewhere.
            _ => &HEX,
        }
    }

    /// Whether `byte` can be part of such a text.
    #[inline]
    pub(crate) fn has(self, byte: u8) -> bool {
        let class = match self {
            Self::Base64 => byte_class::BASE64,
            Self::Base32 => byte_class::BASE32,
            Self::Hex => byte_class::HEX,
            Self::HexPairs | Self::HexWords => byte_class::HEX_PAIRS,
            Self::Decimal | Self::Octal => byte_class::LIST,
        };
        byte_class::is(byte, class)
    }

    /// The shortest run of such characters that is decoded: 12 to 15 bytes.
    pub(crate) fn shortest(self) -> usize {
        match self {
            Self::Base64 => 20,
            Self::Base32 | Self::Hex => 24,
            Self::HexPairs | Self::HexWords | Self::Decimal | Self::Octal => 35,
        }
    }

    /// Characters and the bytes that they make.
    pub(crate) fn ratio(self) -> (u64, u64) {
        match self {
            Self::Base64 => (4, 3),
            Self::Base32 => (8, 5),
            Self::Hex => (2, 1),
            // Each byte is told where it begins.
            Self::HexPairs | Self::HexWords | Self::Decimal | Self::Octal => (2, 1),
        }
    }

    /// Whether bytes are in groups of digits ([`super::groups`]).
    pub(crate) fn is_grouped(self) -> bool {
        matches!(
            self,
            Self::HexPairs | Self::HexWords | Self::Decimal | Self::Octal
        )
    }
}

/// The state of one text.
#[derive(Clone)]
pub(crate) struct Digits {
    radix: Radix,
    bits: u32,
    count: u32,
}

// === impl Digits ===

impl Digits {
    pub(crate) fn new(radix: Radix) -> Self {
        Self {
            radix,
            bits: 0,
            count: 0,
        }
    }

    /// In base64, the bytes and the characters since the last whole group. `bytes_so_far` came out.
    pub(crate) fn in_group(&self, bytes_so_far: u64) -> (u64, u64) {
        let bytes = bytes_so_far % 3;
        (bytes, (bytes * 8 + u64::from(self.count)) / 6)
    }

    /// Appends the bytes that `text` completes to `out`.
    pub(crate) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        match self.radix {
            Radix::Base64 => self.base64(text, out),
            Radix::Base32 => self.each(text, 5, out),
            Radix::Hex => self.each(text, 4, out),
            _ => {}
        }
    }

    fn base64(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        // Up to a group's start, then whole groups, then the rest.
        while self.count != 0
            && let Some((first, rest)) = text.split_first()
        {
            self.each(std::slice::from_ref(first), 6, out);
            text = rest;
        }
        let (groups, rest) = text.as_chunks::<4>();
        out.reserve(groups.len() * 3);
        for &[a, b, c, d] in groups {
            let [a, b, c, d] = [a, b, c, d].map(|byte| u32::from(BASE64.get(byte)));
            let [_, first, second, third] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
            out.extend_from_slice(&[first, second, third]);
        }
        self.each(rest, 6, out);
    }

    fn each(&mut self, text: &[u8], width: u32, out: &mut Vec<u8>) {
        let digits = self.radix.digits();
        for &byte in text {
            self.bits = self.bits << width | u32::from(digits.get(byte));
            self.count += width;
            if self.count >= 8 {
                self.count -= 8;
                out.push((self.bits >> self.count & 0xff) as u8);
            }
        }
    }
}

/// What a hexadecimal digit says.
#[inline]
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    Some(HEX.get(byte)).filter(|&digit| digit != NONE)
}

/// The bytes of a whole base32 text.
pub(crate) fn base32(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    text.iter()
        .all(|&byte| Radix::Base32.has(byte))
        .then(|| Digits::new(Radix::Base32).push(text, &mut out))?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;

    fn decode(radix: Radix, text: &[u8], size: usize) -> Vec<u8> {
        let (mut digits, mut out) = (Digits::new(radix), Vec::new());
        for chunk in text.chunks(size) {
            digits.push(chunk, &mut out);
        }
        out
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_whatever_the_chunks(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            size in 1usize..20,
        ) {
            let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes);
            prop_assert_eq!(&decode(Radix::Base64, base64.as_bytes(), size), &bytes);
            let url = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
            prop_assert_eq!(&decode(Radix::Base64, url.as_bytes(), size), &bytes);
            prop_assert_eq!(&decode(Radix::Hex, hex::encode(&bytes).as_bytes(), size), &bytes);
        }
    }

    #[test]
    fn what_belongs_to_a_text_is_a_digit() {
        for radix in [Radix::Base64, Radix::Base32, Radix::Hex] {
            for byte in 0..=u8::MAX {
                assert_eq!(
                    radix.has(byte),
                    radix.digits().get(byte) != NONE,
                    "{radix:?} {byte}"
                );
            }
        }
    }

    #[test]
    fn base32_is_rfc_4648_s() {
        assert_eq!(base32(b"MZXW6YTBOI").as_deref(), Some(&b"foobar"[..]));
        assert_eq!(base32(b"mz"), None);
    }
}
