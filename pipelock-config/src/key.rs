//! A private key as pipelock reads it: SEC1 (`BEGIN EC PRIVATE KEY`).
//!
//! A PKCS#8 key passes `pipelock check`, and then `run` fails; most Rust libraries write nothing else.

use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// Why a key cannot be written as SEC1. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// no PKCS#8 PEM block
    #[error("the key is not one PEM block `PRIVATE KEY`")]
    NotPem,
    /// not an ECDSA key on P-256
    #[error("the key is not an ECDSA key on the curve P-256")]
    NotP256,
}

/// The P-256 key in `pkcs8_pem` as a SEC1 PEM block with its curve named.
///
/// # Errors
/// The text is no such key.
pub fn sec1_key(pkcs8_pem: &str) -> Result<Zeroizing<String>, KeyError> {
    let body = pkcs8_pem
        .trim()
        .strip_prefix("-----BEGIN PRIVATE KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PRIVATE KEY-----"))
        .ok_or(KeyError::NotPem)?;
    let compact: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    let der = Zeroizing::new(BASE64.decode(&*compact).map_err(|_| KeyError::NotPem)?);
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).map_err(|_| KeyError::NotP256)?;
    let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().map_err(|_| KeyError::NotP256)?;
    let encoded = Zeroizing::new(BASE64.encode(sec1.as_ref()));
    let mut pem = Zeroizing::new(String::from("-----BEGIN EC PRIVATE KEY-----\n"));
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).map_err(|_| KeyError::NotPem)?);
        pem.push('\n');
    }
    pem.push_str("-----END EC PRIVATE KEY-----\n");
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_same_one_with_its_curve_named() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = sec1_key(&key.serialize_pem()).unwrap();
        assert!(pem.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64.decode(body).unwrap();
        // Object identifier of prime256v1, which Go's parser insists on.
        let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        assert!(der.windows(curve.len()).any(|window| window == curve));
        let public = key.public_key_raw();
        assert!(der.windows(public.len()).any(|window| window == public));
    }

    #[test]
    fn what_is_no_p_256_key_is_refused() {
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert_eq!(sec1_key(&other.serialize_pem()).unwrap_err(), KeyError::NotP256);
        assert_eq!(sec1_key("nonsense").unwrap_err(), KeyError::NotPem);
    }
}
