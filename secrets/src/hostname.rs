//! Data smuggled out in the name of a host.
//!
//! A request to `4b6579.c0ffee00….evil.example` tells its subject to whoever runs the name server, whatever the
//! answer. Names of real hosts are words, short numbers and now and then one identifier; carried data is long,
//! unlike words, and fills several labels. [`score`] says how much of a name looks like carried data.

use crate::rarity;
use crate::scan::radix::{Digits, Radix};

/// How much of a host name looks like data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Score {
    /// characters in labels that look like data, the registered domain's two labels left out
    pub data: usize,
    /// how many labels look like data
    pub labels: usize,
    /// characters of the longest label
    pub longest: usize,
    /// characters of the longest label, or of all together, that decode to readable text
    pub encoded: usize,
}

/// More than this in one name is suspicious: a random identifier of a host in a cloud has 8 to 20 characters.
const SUSPICIOUS_DATA: usize = 32;
/// So many labels of data are suspicious however short they are, from this sum on.
const SUSPICIOUS_LABELS: usize = 3;
const SUSPICIOUS_SUM: usize = 20;
/// The longest label that DNS allows is 63; names that people choose stay below this.
const SUSPICIOUS_LABEL: usize = 52;
/// So many characters that decode to text are no chance: ten bytes or more, of which chance makes one in three
/// readable.
const SUSPICIOUS_ENCODED: usize = 20;
/// Shorter labels cannot be judged.
const SHORTEST: usize = 6;
/// Between words and random characters; see [`rarity`].
const RANDOM_BITS: f32 = 5.9;

/// Judges `host`, a name in ASCII.
#[must_use]
pub fn score(host: &str) -> Score {
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    let own = labels.len().saturating_sub(2);
    let mut score = Score::default();
    for label in labels.iter().take(own) {
        score.longest = score.longest.max(label.len());
        if looks_like_data(label) {
            score.labels += 1;
            score.data += label.len();
        }
        score.encoded = score.encoded.max(readable(label));
    }
    let joined: String = labels.iter().take(own).copied().collect();
    score.encoded = score.encoded.max(readable(&joined));
    score
}

impl Score {
    /// Whether a name of this score is more likely data than a name.
    #[must_use]
    pub fn is_suspicious(self) -> bool {
        self.data >= SUSPICIOUS_DATA
            || self.encoded >= SUSPICIOUS_ENCODED
            || (self.labels >= SUSPICIOUS_LABELS && self.data >= SUSPICIOUS_SUM)
            || (self.longest >= SUSPICIOUS_LABEL && self.data > 0)
            || self.labels >= 2 && self.data >= SUSPICIOUS_SUM
    }
}

fn looks_like_data(label: &str) -> bool {
    let squeezed: Vec<u8> = label.bytes().filter(|byte| !b"-_".contains(byte)).collect();
    let digits = squeezed.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hexadecimal =
        squeezed.iter().all(u8::is_ascii_hexdigit) && digits > 0 && squeezed.len().is_multiple_of(2);
    squeezed.len() >= SHORTEST && (hexadecimal || rarity::bits_per_character(&squeezed) >= RANDOM_BITS)
}

/// The characters of `label` if it decodes to readable text, else 0. Names are told without regard to case, so a
/// label in small letters is read as base32, too.
fn readable(label: &str) -> usize {
    let upper = label.to_ascii_uppercase();
    let readings = [
        (Radix::Base64, label),
        (Radix::Hex, label),
        (Radix::Base32, upper.as_str()),
    ];
    let reads = readings.iter().any(|(radix, text)| {
        let mut decoded = Vec::new();
        let whole = text.bytes().all(|byte| radix.has(byte));
        if whole {
            Digits::new(*radix).push(text.as_bytes(), &mut decoded);
        }
        decoded.len() >= 8 && decoded.iter().all(|byte| matches!(byte, b' '..=b'~'))
    });
    if reads { label.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_not_suspicious() {
        for host in [
            "api.github.com",
            "objects.githubusercontent.com",
            "d3a8xk29fj3lq0.cloudfront.net",
            "ec2-203-0-113-25.compute-1.amazonaws.com",
            "my-service-prod-eu-west-1.s3.dualstack.eu-west-1.amazonaws.com",
            "a1b2c3d4.execute-api.us-east-1.amazonaws.com",
            "registry-1.docker.io",
            "localhost",
            "internationalization-of-documentation.readthedocs.io",
            "acme-frontend-production-deployment.pages.dev",
            "",
        ] {
            assert!(!score(host).is_suspicious(), "{host}: {:?}", score(host));
        }
    }

    #[test]
    fn names_that_carry_data_are() {
        for host in [
            "676870305f6162636465.66676869303132333435.evil.example",
            "q7zt0kxv2mb9rlwe4nycu6shj3pdaf8g.evil.example",
            "mzxw6ytboi2gk3tboj2ww5dfon2a.mzxw6ytboi2gk3tboj2ww5df.c.evil.example",
            "c2VjcmV0X3Rva2VuXzEyMzQ1Njc4OTA.exfil.evil.example",
            "onswg4tforpxi33lmvxa.evil.example",
            "a1f2c3.b4d5e6.c7f809.d1e2f3.x.evil.example",
        ] {
            assert!(score(host).is_suspicious(), "{host}: {:?}", score(host));
        }
    }
}
