//! SHA-256 of a file's bytes, in hex: how launcher and guards agree on what is in force.

use crate::text::{harmless, validated_text};
use sha2::Digest as _;

/// The text is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 in lower-case hex")]
pub struct DigestError(String);

validated_text!(
    /// A SHA-256, 64 lower-case hex digits.
    Sha256Hex,
    DigestError,
    check
);

fn check(text: &str) -> Result<String, DigestError> {
    let hex = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex {
        Ok(text.to_owned())
    } else {
        Err(DigestError(harmless(text)))
    }
}

impl Sha256Hex {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(sha2::Sha256::digest(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-2, appendix B.1
        assert_eq!(
            Sha256Hex::of(b"abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!("BA78".parse::<Sha256Hex>().is_err());
    }
}
