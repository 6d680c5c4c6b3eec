//! Letters moved by thirteen, which moves them back as well.

/// ASCII letters move; everything else stays.
#[inline]
pub(crate) fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'm' | b'A'..=b'M' => byte + 13,
        b'n'..=b'z' | b'N'..=b'Z' => byte - 13,
        other => other,
    }
}
