//! What each byte can be part of, asked with one look-up: detectors pass over every byte of a text.

use crate::byte_table::ByteTable;

pub(crate) const BASE64: u8 = 1;
pub(crate) const BASE32: u8 = 2;
pub(crate) const HEX: u8 = 4;
/// Hexadecimal digits and what stands between groups of them.
pub(crate) const HEX_PAIRS: u8 = 8;
/// Decimal digits and what stands between numbers in a list.
pub(crate) const LIST: u8 = 128;
/// Numbers that are written in groups.
pub(crate) const NUMBER: u8 = 16;
/// Letters, and what stands between the words of a list.
pub(crate) const WORDS: u8 = 32;
/// Tokens with dots.
pub(crate) const BARE: u8 = 64;

static CLASSES: ByteTable<u8> = {
    let mut table = ByteTable::new(0);
    let mut byte = 0u8;
    loop {
        let mut class = 0;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_') {
            class |= BASE64;
        }
        if matches!(byte, b'A'..=b'Z' | b'2'..=b'7') {
            class |= BASE32;
        }
        if byte.is_ascii_hexdigit() {
            class |= HEX | HEX_PAIRS;
        }
        if matches!(
            byte,
            b'-' | b':' | b' ' | b'\t' | b'\r' | b'\n' | b',' | b'.' | b'x' | b'X'
        ) {
            class |= HEX_PAIRS;
        }
        if class & HEX_PAIRS != 0 && !byte.is_ascii_alphabetic() {
            class |= LIST;
        }
        if byte.is_ascii_digit() || matches!(byte, b' ' | b'-') {
            class |= NUMBER;
        }
        if byte.is_ascii_alphabetic()
            || matches!(
                byte,
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b';' | b'"' | b'\'' | b'+' | b'_' | b'-'
            )
        {
            class |= WORDS;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') {
            class |= BARE;
        }
        table.set(byte, class);
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// Whether `byte` is of a class.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(byte) & class != 0
}
