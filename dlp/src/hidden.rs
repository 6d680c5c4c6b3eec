//! A token that was written in hexadecimal, whatever kind it is of.
//!
//! Programs write bytes in hexadecimal, not text. A run of hexadecimal digits that decodes to a long unbroken run of random letters
//! and digits of both cases was made to carry it past a reader. Random bytes decode to such a run by chance less than once in
//! 2^60.

use secrets::rarity;

/// Of a token so many characters are asked for: the shortest secret without a form of its own that is in wide use has 40, and it may
/// have been cut.
const SHORTEST: usize = 32;
/// A longer one is an alphabet, a table or a text, not a token.
const LONGEST: usize = 256;
/// Between words and random characters; see [`rarity`].
const RANDOM_BITS: f32 = 5.5;

/// Where hexadecimal digits in `text` hide a token; the offset of the first digit of their run.
pub fn token(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| rest.len() >= 2 * SHORTEST) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        // Either digit may be a byte's first: something may stand before it.
        if digits >= 2 * SHORTEST && (0..2).any(|skip| rest.get(skip..digits).is_some_and(hides_token)) {
            return Some(at);
        }
        at += digits + 1;
    }
    None
}

fn hides_token(digits: &[u8]) -> bool {
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes
        .split(|byte| !(byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte)))
        .any(is_token)
}

fn is_token(run: &[u8]) -> bool {
    let small = run.to_ascii_lowercase();
    // Names that programs are made of are words, whatever their capitals; an alphabet is as random as can be.
    let alphabet = memchr::memmem::find(&small, b"abcdefgh").is_some();
    !alphabet
        && (SHORTEST..=LONGEST).contains(&run.len())
        && run.iter().any(u8::is_ascii_uppercase)
        && run.iter().any(u8::is_ascii_lowercase)
        && run.iter().any(u8::is_ascii_digit)
        && rarity::bits_per_character(&small) >= RANDOM_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_in_hexadecimal_is_found_wherever_its_bytes_begin() {
        let token_text = b"q7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXoQ5vT";
        for (before, after) in [("", ""), ("deadbeef00", "0a00ff"), ("f", "")] {
            let text = format!("x={before}{}{after};", hex::encode(token_text));
            assert_eq!(token(text.as_bytes()), Some(2), "{text}");
            assert_eq!(token(text.to_ascii_uppercase().as_bytes()), Some(2));
        }
    }

    #[test]
    fn ordinary_text_and_ordinary_bytes_in_hexadecimal_are_not_tokens() {
        for bytes in [
            b"The quick brown fox jumps over the lazy dog 12345".as_slice(),
            b"/usr/share/doc/python3/examples/README-files",
            b"aHashOfLowRarityThatIsAVeryLongIdentifierName2",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            &[0xab; 64],
        ] {
            assert_eq!(token(hex::encode(bytes).as_bytes()), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_are_no_token(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(token(hex::encode(&bytes).as_bytes()), None);
            let _ = token(&bytes);
        }
    }
}
