//! Forms that are numbers to a base that is no power of two.
//!
//! Of base85 each group of four bytes is a number of its own, so at each of four alignments the whole groups of a value are found
//! whatever is around it. base58 makes one number of all bytes: it is found only where the value is encoded by itself.

use super::Pattern;
use crate::known::form::Encoding;
use zeroize::Zeroizing;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// RFC 1924, as Python, git and Mercurial write it.
const BASE85: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
/// ZeroMQ's.
const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
/// Adobe's and btoa's: the characters from `!` on.
const ASCII85: &[u8; 85] =
    b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstu";

/// base58 takes time in proportion to the square of the length; nobody writes longer values so.
const LONGEST: usize = 256;

pub(super) fn patterns(value: &[u8]) -> Vec<Pattern> {
    let base85 = [ASCII85, BASE85, Z85]
        .into_iter()
        .flat_map(|alphabet| (0..4).map(move |skipped| (alphabet, skipped)))
        .map(|(alphabet, skipped)| Pattern {
            encoding: Encoding::Base85,
            bytes: groups(value.get(skipped..).unwrap_or_default(), alphabet),
        });
    let base58 = [&b""[..], b"\n"]
        .into_iter()
        .filter(|_| value.len() <= LONGEST)
        .map(|end| Pattern {
            encoding: Encoding::Base58,
            bytes: base58(&Zeroizing::new([value, end].concat())),
        });
    base85.chain(base58).collect()
}

/// The whole groups of `value`.
fn groups(value: &[u8], alphabet: &[u8; 85]) -> Zeroizing<Vec<u8>> {
    let (groups, _) = value.as_chunks::<4>();
    let mut text = Zeroizing::new(Vec::with_capacity(5 * groups.len()));
    for group in groups {
        let number = u32::from_be_bytes(*group);
        for power in [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1] {
            text.extend(alphabet.get((number / power % 85) as usize));
        }
    }
    text
}

fn base58(value: &[u8]) -> Zeroizing<Vec<u8>> {
    // Two characters a byte are more than enough; a vector that grows leaves copies behind, unwiped.
    let mut digits: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(2 * value.len()));
    for &byte in value {
        let mut carry = u32::from(byte);
        for digit in digits.iter_mut() {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    let zeros = value.iter().take_while(|&&byte| byte == 0).count();
    let mut text = Zeroizing::new(Vec::with_capacity(2 * value.len()));
    text.extend(std::iter::repeat_n(b'1', zeros));
    text.extend(
        digits
            .iter()
            .rev()
            .filter_map(|&digit| BASE58.get(usize::from(digit))),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_are_written_as_others_write_them() {
        // RFC 32/Z85: the specification's own example.
        let hello = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b];
        assert_eq!(groups(&hello, Z85).as_slice(), b"HelloWorld");
        assert_eq!(groups(b"Man sure", ASCII85).as_slice(), b"9jqo^F*2M7");
        assert_eq!(groups(b"Man sure", BASE85).as_slice(), b"O<`^zb9HiM");
        assert_eq!(base58(b"Hello World!").as_slice(), b"2NEpo7TZRRrLZSi2U");
        assert_eq!(base58(&[0, 0, 1]).as_slice(), b"112");
    }
}
