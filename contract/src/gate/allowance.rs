//! The operator's yes to one value: by its fingerprint, with a reason, until a time.

use crate::Timestamp;
use crate::text::{harmless, validated_text};
use serde::{Deserialize, Serialize};

/// The text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fingerprint; copy it from the refusal: fp- and 24 hex digits")]
pub struct GateFingerprintError(String);

validated_text!(
    /// What a refusal calls a value by: `fp-` and the first 96 bits of its keyed digest in hex.
    GateFingerprint,
    GateFingerprintError,
    check
);

fn check(text: &str) -> Result<String, GateFingerprintError> {
    let good = text.strip_prefix("fp-").is_some_and(|hex| {
        hex.len() == 24 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err(GateFingerprintError(harmless(text)))
    }
}

impl GateFingerprint {
    /// Of a keyed digest.
    pub fn of_digest(digest: &[u8; 32]) -> Self {
        let hex = hex::encode(digest);
        Self(format!("fp-{}", hex.get(..24).unwrap_or_default()))
    }
}

/// One value that may be pushed although it looks like a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// Which value.
    pub fingerprint: GateFingerprint,
    /// Why, in the operator's words.
    pub reason: String,
    /// Until when.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_has_one_form() {
        let made = GateFingerprint::of_digest(&[0xab; 32]);
        assert_eq!(made.as_str().parse::<GateFingerprint>().unwrap(), made);
        for bad in [
            "",
            "fp-",
            "abababababababababababab",
            "fp-ABABABABABABABABABABABAB",
            "fp-../../../../../../../../../x",
        ] {
            assert!(bad.parse::<GateFingerprint>().is_err(), "{bad}");
        }
    }
}
