//! How unlike words and identifiers a run of characters is.
//!
//! Shannon entropy alone calls `getElementsByClassName` as random as a token. The mean cost of a run's character
//! pairs, counted over public source code and documentation, does not: words cost 3 to 5 bits a character,
//! random base62 8 to 9, random hexadecimal 7.

/// Counted by `examples/bigrams.rs`: 63 lines of 63 characters.
static BIGRAMS: &[u8] = include_bytes!("../data/bigrams.txt");
const LINE: usize = 64;

fn symbol(byte: u8) -> usize {
    usize::from(match byte {
        b'a'..=b'z' => byte - b'a' + 1,
        b'A'..=b'Z' => byte - b'A' + 27,
        b'0'..=b'9' => byte - b'0' + 53,
        _ => 0,
    })
}

/// The mean cost of a character of `run` after the one before, in bits. Characters other than ASCII letters and
/// digits count as word edges, and 0 for an empty run.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a mean over a short text")]
pub fn bits_per_character(run: &[u8]) -> f32 {
    let mut before = 0;
    let mut quarters = 0u64;
    for &byte in run {
        let next = symbol(byte);
        let cost = BIGRAMS
            .get(before * LINE + next)
            .map_or(0, |cost| cost.saturating_sub(b'!'));
        quarters += u64::from(cost);
        before = next;
    }
    if run.is_empty() {
        0.0
    } else {
        quarters as f32 / 4.0 / run.len() as f32
    }
}

/// Shannon entropy of the bytes of `run`, in bits per byte; 0 for an empty run.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts of a short text")]
pub fn shannon(run: &[u8]) -> f32 {
    let mut counts = crate::byte_table::ByteTable::new(0u32);
    for &byte in run {
        counts.set(byte, counts.get(byte) + 1);
    }
    let total = run.len() as f32;
    (0..=u8::MAX)
        .map(|byte| counts.get(byte))
        .filter(|&count| count > 0)
        .map(|count| {
            let share = count as f32 / total;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_its_shape() {
        assert_eq!(BIGRAMS.len(), 63 * LINE);
        assert!(
            BIGRAMS
                .chunks(LINE)
                .all(|line| line[63] == b'\n' && line[..63].iter().all(|&c| c >= b'!'))
        );
    }

    #[test]
    fn words_are_cheap_and_random_characters_dear() {
        let words = [
            "getElementsByClassName",
            "authentication",
            "HTTP_PROXY_HOST",
            "webpack-dev-middleware",
        ];
        for word in words {
            assert!(bits_per_character(word.as_bytes()) < 5.5, "{word}");
        }
        let tokens = [
            "q7Zt0KxV2mB9rLwE4nYc",
            "9f86d081884c7d659a2feaa0c55ad015",
            "kQzXvJwPbLmTgRdH",
            "xkqzvjwpblmtgrdh",
        ];
        for token in tokens {
            assert!(bits_per_character(token.as_bytes()) > 6.0, "{token}");
        }
        assert_eq!(bits_per_character(b""), 0.0);
    }

    #[test]
    fn shannon_entropy_is_that_of_its_definition() {
        assert_eq!(shannon(b""), 0.0);
        assert_eq!(shannon(b"aaaa"), 0.0);
        assert_eq!(shannon(b"abab"), 1.0);
        assert_eq!(shannon(b"abcdefgh"), 3.0);
    }
}
