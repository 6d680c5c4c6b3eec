//! Whether a value is a value: masks, templates, documentation examples and ordinary words are not.

use crate::rarity;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Likeness {
    /// Stands for a value that somebody is to put there: `xxxx`, `<token>`, `${TOKEN}`, `your-key`.
    Mask,
    /// Has the form and is made up: `EXAMPLE`, `0123456789abcdef`, words.
    Example,
    /// Cannot be told from the real thing.
    Real,
}

const MASKS: [&str; 23] = [
    "xxxx",
    "your",
    "****",
    "....",
    "${",
    "{{",
    "}}",
    "$(",
    "<",
    "#{",
    "redacted",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "replace",
    "insert",
    "____",
    "----",
    "todo",
    "undefined",
    "hunter2",
    "hunter42",
];
const EXAMPLES: [&str; 18] = [
    "example", "sample", "dummy", "fake", "test", "demo", "foobar", "secret", "password", "passwd",
    "notreal", "not-real", "invalid", "abcdef", "012345", "123456", "987654", "qwerty",
];
/// As many equal characters in a row are not random in anything that is worth finding.
const REPEATS: usize = 6;
/// As many characters each one above the last are not random either.
const ASCENDING: usize = 6;

/// What `value` looks like; of a format with a fixed beginning, without it.
pub(crate) fn of(value: &[u8]) -> Likeness {
    let lower = String::from_utf8_lossy(value).to_ascii_lowercase();
    let distinct = (0..=u8::MAX).filter(|byte| value.contains(byte)).count();
    if MASKS.iter().any(|mask| lower.contains(mask)) || distinct <= 3.min(value.len() / 3) {
        return Likeness::Mask;
    }
    let pairs = || value.iter().zip(value.iter().skip(1));
    let longest = |holds: fn(u8, u8) -> bool| {
        pairs().fold((0, 0), |(run, best): (usize, usize), (&a, &b)| {
            let run = if holds(a, b) { run + 1 } else { 0 };
            (run, best.max(run + 1))
        })
    };
    if EXAMPLES.iter().any(|example| lower.contains(example))
        || longest(|a, b| a == b).1 >= REPEATS
        || longest(|a, b| a.checked_add(1) == Some(b)).1 >= ASCENDING
        || is_wordy(value)
    {
        return Likeness::Example;
    }
    Likeness::Real
}

/// Whether `value` reads like words or an identifier.
pub(crate) fn is_wordy(value: &[u8]) -> bool {
    let hexadecimal = value.iter().all(u8::is_ascii_hexdigit) && value.iter().any(u8::is_ascii_digit);
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    // Digits are cheap beside digits; a value of many is no word.
    !hexadecimal && digits * 4 < value.len() && rarity::bits_per_character(value) < WORDY_BITS
}

/// Whether `value` is a name of the kind that programs are made of: words, abbreviations and numbers, told apart by their
/// case. Of what is random, hardly two characters in a row go together.
pub(crate) fn is_name(value: &[u8]) -> bool {
    let kind = |byte: &u8| match byte {
        b'a'..=b'z' => Some(Kind::Small),
        b'A'..=b'Z' => Some(Kind::Capital),
        b'0'..=b'9' => Some(Kind::Digit),
        b'_' => Some(Kind::Between),
        _ => None,
    };
    let (mut words, mut letters) = (0, 0);
    let (mut before, mut length) = (Kind::Between, 0);
    for byte in value {
        let Some(kind) = kind(byte) else {
            return false;
        };
        // A word may begin with one capital letter.
        let goes_on = kind == before || (before, kind, length) == (Kind::Capital, Kind::Small, 1);
        length = if goes_on { length + 1 } else { 1 };
        if kind != Kind::Between {
            words += usize::from(!goes_on);
            letters += 1;
        }
        before = kind;
    }
    value.iter().any(u8::is_ascii_lowercase)
        && value.iter().any(u8::is_ascii_uppercase)
        && letters * 2 >= words * NAME_HALVES
        && rarity::bits_per_character(value) < NAME_BITS
}

/// What a character of a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Small,
    Capital,
    Digit,
    Between,
}

/// The words of a name have at least half so many characters on average, and cost less than so many bits: of 16 random letters
/// and digits one in 20,000 does.
const NAME_HALVES: usize = 7;
const NAME_BITS: f32 = 6.6;

/// Identifiers stay below 5.6 bits a character; a random value of 16 characters in one case is at 8 or more.
const WORDY_BITS: f32 = 5.8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_templates_are_no_values() {
        for mask in [
            "xxxxxxxxxxxxxxxxxxxx",
            "<your-token>",
            "${API_TOKEN}",
            "{{ token }}",
            "your_api_key_here",
            "00000000000000000000",
        ] {
            assert_eq!(of(mask.as_bytes()), Likeness::Mask, "{mask}");
        }
    }

    #[test]
    fn what_documentation_shows_is_an_example() {
        for example in [
            "IOSFODNN7EXAMPLE",
            "abcdefghijklmnop1234",
            "FAKE83hd72hf8s9dh2",
            "aaaaaaaa8dh3jd82hd",
            "getElementsByClassName",
        ] {
            assert_eq!(of(example.as_bytes()), Likeness::Example, "{example}");
        }
    }

    #[test]
    fn names_of_types_are_names_and_random_values_are_none() {
        for name in ["Tls12CipherSuite", "EcPrivateKeyRfc5915Der", "Curve25519SeedBin"] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for random in [
            "q7Zt0KxV2mB9rLwE4nYc",
            "9f86d081884c7d659a2feaa0c55ad015",
            "wvjxkqzpbtmgrdhs",
        ] {
            assert!(!is_name(random.as_bytes()), "{random}");
        }
    }

    #[test]
    fn random_values_are_real() {
        for real in [
            "q7Zt0KxV2mB9rLwE4nYc",
            "9f86d081884c7d659a2feaa0c55ad015",
            "wvjxkqzpbtmgrdhs",
        ] {
            assert_eq!(of(real.as_bytes()), Likeness::Real, "{real}");
        }
    }
}
