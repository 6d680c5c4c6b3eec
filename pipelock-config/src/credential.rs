//! Recognising an injected credential without knowing it: a keyed digest of the header's value, for one host and header.
//!
//! The seat must let through what egress put into a request, and must not be able to say what that is. Under a key that is
//! drawn anew for every bottle a digest tells nothing to whoever reads the file, and the same credential has another digest for
//! another host or header.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use contract::text::harmless;
use contract::{AuthScheme, HostName};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// The key of a bottle's digests: 32 random bytes, 64 lower-case hex digits in a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialKey([u8; 32]);

/// What an injected credential is recognised by: HMAC-SHA-256 over host, header name and header value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialDigest([u8; 32]);

/// A text is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 32 bytes in lower-case hex")]
pub struct NotHex(String);

/// The header value that egress writes for a credential; none when the scheme is Basic and the value has no `:`.
///
/// The bytes are those of the request: `Bearer <value>`, `token <value>`, `Basic <base64>`, or the value alone.
pub fn header_value(scheme: &AuthScheme, credential: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let written = |prefix: &str, value: &[u8]| Zeroizing::new([prefix.as_bytes(), value].concat());
    Some(match scheme {
        AuthScheme::Bearer => written("Bearer ", credential),
        AuthScheme::Token => written("token ", credential),
        AuthScheme::Basic => {
            if !credential.contains(&b':') {
                return None;
            }
            let encoded = Zeroizing::new(BASE64.encode(credential));
            written("Basic ", encoded.as_bytes())
        }
        AuthScheme::Header(_) => written("", credential),
    })
}

// === impl CredentialKey ===

impl CredentialKey {
    /// A key of these bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of a header's whole value, as it is sent to `host` in `header` (compared without regard to case).
    pub fn digest(&self, host: &str, header: &str, value: &[u8]) -> CredentialDigest {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return CredentialDigest([0; 32]);
        };
        for part in [host.as_bytes(), header.to_ascii_lowercase().as_bytes(), value] {
            // A length before each part: no two requests share what is hashed.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        CredentialDigest(mac.finalize().into_bytes().into())
    }

    /// The digest of what egress injects on a route.
    pub fn of_injected(
        &self,
        host: &HostName,
        scheme: &AuthScheme,
        credential: &[u8],
    ) -> Option<CredentialDigest> {
        let value = header_value(scheme, credential)?;
        Some(self.digest(host.as_str(), scheme.header(), &value))
    }
}

impl Drop for CredentialKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialKey(…)")
    }
}

impl fmt::Debug for CredentialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

fn bytes(text: &str) -> Result<[u8; 32], NotHex> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut out = [0; 32];
    if lower && hex::decode_to_slice(text, &mut out).is_ok() {
        Ok(out)
    } else {
        Err(NotHex(harmless(&text.chars().take(8).collect::<String>())))
    }
}

macro_rules! hex_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = NotHex;
            fn try_from(text: String) -> Result<Self, NotHex> {
                bytes(&text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                hex::encode(value.0)
            }
        }
    };
}

hex_text!(CredentialKey);
hex_text!(CredentialDigest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_host_one_header_and_one_value() {
        let key = CredentialKey::new([7; 32]);
        let digest = key.digest("api.example.com", "Authorization", b"Bearer x");
        assert_eq!(
            digest,
            key.digest("api.example.com", "authorization", b"Bearer x")
        );
        for other in [
            key.digest("api.example.org", "authorization", b"Bearer x"),
            key.digest("api.example.com", "x-api-key", b"Bearer x"),
            key.digest("api.example.com", "authorization", b"Bearer y"),
            key.digest("api.example.comauthorization", "", b"Bearer x"),
            CredentialKey::new([8; 32]).digest("api.example.com", "authorization", b"Bearer x"),
        ] {
            assert_ne!(digest, other);
        }
    }

    #[test]
    fn a_header_value_is_written_as_egress_writes_it() {
        let written = |scheme: &str, value: &[u8]| {
            let scheme: AuthScheme = scheme.parse().unwrap();
            header_value(&scheme, value).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        assert_eq!(written("Bearer", b"v").unwrap(), "Bearer v");
        assert_eq!(written("token", b"v").unwrap(), "token v");
        assert_eq!(written("header:X-Api-Key", b"v").unwrap(), "v");
        assert_eq!(written("Basic", b"user:pass").unwrap(), "Basic dXNlcjpwYXNz");
        assert_eq!(written("Basic", b"pass"), None);
    }

    #[test]
    fn a_key_is_shown_to_nobody() {
        let key = CredentialKey::new([0xab; 32]);
        assert!(!format!("{key:?}").contains("ab"));
        let text: String = key.clone().into();
        assert_eq!(CredentialKey::try_from(text).unwrap(), key);
        assert!(CredentialKey::try_from("AB".repeat(32)).is_err());
    }
}
