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

/// Of what may be a token so many characters leave at most before its end was seen.
const LEAVES: usize = 8;

/// The search in one text that comes in pieces.
#[derive(Debug, Default)]
pub struct Hidden {
    position: u64,
    /// Where the run of digits began that goes on, if one does.
    run: Option<u64>,
    /// Either digit may be a byte's first: something may stand before it.
    readings: [Reading; 2],
}

/// What digits decode to, as far as it may be one token.
#[derive(Debug, Default)]
struct Reading {
    /// The first digit of a byte.
    half: Option<u8>,
    token: Vec<u8>,
    /// The run of characters is longer than a token.
    too_long: bool,
}

/// Where hexadecimal digits in `text` hide a token; the offset of the first digit of their run.
pub fn token(text: &[u8]) -> Option<u64> {
    let mut hidden = Hidden::default();
    let (found, _) = hidden.push(text);
    found.or_else(|| hidden.finish())
}

// === impl Hidden ===

impl Hidden {
    /// Reads the next bytes. Gives where the digits begin that hide a token, if some do, and how many of the bytes so far,
    /// counted from the last, must not leave yet.
    pub fn push(&mut self, bytes: &[u8]) -> (Option<u64>, usize) {
        let mut found = None;
        let mut at = 0;
        while at < bytes.len() {
            if self.run.is_none() {
                at = next_run(bytes, at);
                if at == bytes.len() {
                    break;
                }
                self.begin(self.position + at as u64);
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            for digit in rest.iter().take(digits) {
                for reading in &mut self.readings {
                    if reading.push(*digit) {
                        found = found.or(self.run);
                    }
                }
            }
            at += digits;
            if at < bytes.len() {
                let ended = self.finish();
                found = found.or(ended);
            }
        }
        self.position += bytes.len() as u64;
        let hold = self.readings.iter().map(Reading::hold).max().unwrap_or(0);
        (found, hold)
    }

    /// The digits are over.
    pub fn finish(&mut self) -> Option<u64> {
        let run = self.run.take();
        let [first, second] = &mut self.readings;
        let (first, second) = (first.finish(), second.finish());
        run.filter(|_| first || second)
    }

    fn begin(&mut self, at: u64) {
        self.run = Some(at);
        self.readings = [Reading::default(), Reading::default()];
        // Its first byte begins before the run.
        let [_, second] = &mut self.readings;
        second.half = Some(0);
    }
}

/// Where the next run of digits begins that is long enough or reaches the end; the length of `bytes` when there is none.
fn next_run(bytes: &[u8], mut from: usize) -> usize {
    const LONG: usize = 2 * SHORTEST;
    while let Some(window) = bytes.get(from..).and_then(|rest| rest.get(..LONG)) {
        match window.iter().rposition(|byte| !byte.is_ascii_hexdigit()) {
            Some(at) => from += at + 1,
            None => return from,
        }
    }
    let rest = bytes.get(from..).unwrap_or_default();
    let tail = rest
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    bytes.len() - tail
}

// === impl Reading ===

impl Reading {
    /// Whether a token ended before this digit.
    fn push(&mut self, digit: u8) -> bool {
        let value = char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok());
        let value = value.unwrap_or_default();
        let Some(half) = self.half.take() else {
            self.half = Some(value);
            return false;
        };
        let byte = half << 4 | value;
        if !(byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)) {
            return self.end();
        }
        if self.token.len() < LONGEST {
            self.token.push(byte);
        } else {
            self.too_long = true;
        }
        false
    }

    fn end(&mut self) -> bool {
        let is_token = !self.too_long && is_token(&self.token);
        self.token.clear();
        self.too_long = false;
        is_token
    }

    fn finish(&mut self) -> bool {
        self.half = None;
        self.end()
    }

    fn hold(&self) -> usize {
        if self.too_long || self.token.len() < LEAVES {
            return 0;
        }
        2 * self.token.len() + usize::from(self.half.is_some())
    }
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

        #[test]
        fn pieces_are_read_as_the_whole_and_the_end_of_a_token_never_leaves(
            before in "[0-9a-fx]{0,80}", after in "[0-9a-fx ]{0,80}", step in 1..100usize
        ) {
            let token_text = b"q7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXoQ5vT";
            let text = format!("{before}{}{after}", hex::encode(token_text));
            let mut hidden = Hidden::default();
            let (mut left, mut found) = (0, None);
            for (at, piece) in text.as_bytes().chunks(step).enumerate() {
                let (one, hold) = hidden.push(piece);
                found = found.or(one);
                if found.is_none() {
                    left = at * step + piece.len() - hold;
                }
            }
            prop_assert_eq!(found.or_else(|| hidden.finish()), token(text.as_bytes()));
            if found.is_some() {
                prop_assert!(left < before.len() + 2 * token_text.len());
            }
        }
    }
}
