//! The forms that a program turns a value into before it sends it on, as byte patterns.
//!
//! An encoder sees more than the value: in base64 its first byte lands on one of three positions of a group, in
//! base32 on one of five. A pattern holds only the characters that the value alone determines, so it is found
//! whatever stands before and after. Percent-encoding, escapes and line breaks are no patterns: any byte may or
//! may not be written so, and [`crate::unescape`] undoes them instead.

mod arithmetic;

use super::form::Encoding;
use crate::rot13::rot13;
use zeroize::Zeroizing;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE32_LOWER: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const HEX: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// One form of a value, to be found byte for byte.
pub(super) struct Pattern {
    pub(super) encoding: Encoding,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// Which forms are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Forms {
    /// Also those of whoever wants to get past a reader.
    #[default]
    All,
    /// What encoders write.
    Usual,
}

/// Every form of `value`. Two may be equal; the automaton keeps the first.
pub(super) fn patterns(value: &[u8], forms: Forms) -> Vec<Pattern> {
    let mut all = vec![Pattern {
        encoding: Encoding::Raw,
        bytes: Zeroizing::new(value.to_vec()),
    }];
    if value.contains(&b' ') {
        // A form field writes a space as `+` and leaves the rest to percent-encoding.
        let plus = value
            .iter()
            .map(|&byte| if byte == b' ' { b'+' } else { byte })
            .collect();
        all.push(Pattern {
            encoding: Encoding::Raw,
            bytes: Zeroizing::new(plus),
        });
    }
    let squeezed: Zeroizing<Vec<u8>> = value
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect::<Vec<_>>()
        .into();
    if squeezed.len() < value.len() && squeezed.len() >= super::SHORTEST {
        // Its own white space may be written as any other: the reading without white space finds it then.
        all.push(Pattern {
            encoding: Encoding::Raw,
            bytes: squeezed,
        });
    }
    let mut aligned = |encoding, alphabet: &[u8], bits: usize, positions: usize| {
        for position in 0..positions {
            all.push(Pattern {
                encoding,
                bytes: characters(value, alphabet, bits, position),
            });
        }
    };
    aligned(Encoding::Base64, BASE64, 6, 3);
    aligned(Encoding::Base64Url, BASE64_URL, 6, 3);
    aligned(Encoding::Hex, HEX, 4, 1);
    aligned(Encoding::Hex, HEX_UPPER, 4, 1);
    aligned(Encoding::Base32, BASE32, 5, 5);
    aligned(Encoding::Base32, BASE32_LOWER, 5, 5);
    if forms == Forms::All {
        let turned: Vec<Pattern> = all.iter().flat_map(turned).collect();
        all.extend(turned);
        all.extend(arithmetic::patterns(value));
    }
    all
}

/// What whoever wants to get past a reader does with a form that the reader knows: turns it round, or moves its letters.
fn turned(pattern: &Pattern) -> Vec<Pattern> {
    let reversed = |encoding| Pattern {
        encoding,
        bytes: Zeroizing::new(pattern.bytes.iter().rev().copied().collect()),
    };
    let moved = |encoding| Pattern {
        encoding,
        bytes: Zeroizing::new(pattern.bytes.iter().map(|&byte| rot13(byte)).collect()),
    };
    match pattern.encoding {
        Encoding::Raw | Encoding::Base64 => vec![reversed(Encoding::Reversed), moved(Encoding::Rot13)],
        Encoding::Hex => vec![reversed(Encoding::Reversed)],
        _ => Vec::new(),
    }
}

/// The characters of `bits` bits each that `value` determines alone when `position` bytes precede it.
fn characters(value: &[u8], alphabet: &[u8], bits: usize, position: usize) -> Zeroizing<Vec<u8>> {
    let first = (8 * position).div_ceil(bits);
    let end = 8 * (position + value.len()) / bits;
    let mut text = Zeroizing::new(Vec::with_capacity(end.saturating_sub(first)));
    for character in first..end {
        let mut index = 0usize;
        for bit in character * bits..(character + 1) * bits {
            let bit = bit - 8 * position;
            let set = value
                .get(bit / 8)
                .is_some_and(|byte| byte >> (7 - bit % 8) & 1 == 1);
            index = index << 1 | usize::from(set);
        }
        text.extend(alphabet.get(index));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    fn holds(text: &str, value: &[u8], encoding: Encoding) -> bool {
        patterns(value, Forms::Usual).iter().any(|pattern| {
            pattern.encoding == encoding && text.contains(std::str::from_utf8(&pattern.bytes).unwrap())
        })
    }

    proptest! {
        #[test]
        fn an_encoder_s_output_holds_a_pattern_at_every_alignment(
            value in prop::collection::vec(any::<u8>(), 12..40),
            before in prop::collection::vec(any::<u8>(), 0..9),
            after in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let all = [before, value.clone(), after].concat();
            prop_assert!(holds(&STANDARD.encode(&all), &value, Encoding::Base64));
            prop_assert!(holds(&URL_SAFE.encode(&all), &value, Encoding::Base64Url));
            prop_assert!(holds(&hex::encode(&all), &value, Encoding::Hex));
            prop_assert!(holds(&hex::encode_upper(&all), &value, Encoding::Hex));
        }
    }

    #[test]
    fn base32_agrees_with_rfc_4648() {
        assert_eq!(characters(b"foobar", BASE32, 5, 0).as_slice(), b"MZXW6YTBO"); // MZXW6YTBOI======
    }
}
