//! The credentials that egress injects: read once from the environment, by slot.
//!
//! A value lives here and in the header values made from it, and nowhere else: it is zeroised when dropped, no
//! `Debug` shows it, no error quotes it. What cannot be done here: take it out of the environment that the process was
//! started with. `docker inspect` of the egress container, by whoever may talk to the engine, shows it; the agent may not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use contract::{AuthScheme, RouteAuth, TokenSlot};
use http::HeaderValue;
use zeroize::Zeroizing;

/// The longest credential, in bytes; servers commonly refuse a longer header line.
pub const MAX_CREDENTIAL: usize = 8 * 1024;

/// One credential's value.
#[derive(Clone)]
pub struct Credential(Zeroizing<Vec<u8>>);

/// What the environment held for every slot, good or bad: a bad value matters only once a route names it.
#[derive(Default)]
pub struct CredentialStore {
    by_slot: BTreeMap<TokenSlot, Result<Credential, Unusable>>,
}

/// Why a value cannot be a credential. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// no value
    #[error("is empty")]
    Empty,
    /// over [`MAX_CREDENTIAL`]
    #[error("is longer than {MAX_CREDENTIAL} bytes")]
    TooLong,
    /// a line end or another control byte
    #[error("holds a control byte (a line end, most often)")]
    ControlByte,
    /// a header value is trimmed on the way
    #[error("starts or ends with a space")]
    OuterSpace,
    /// not ASCII
    #[error("holds a byte outside ASCII")]
    NotAscii,
}

/// A route's credential is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// the variable is not there
    #[error(
        "the credential {token_ref} is missing: {slot} is not in this guard's environment. Start egress with {slot} set \
         to the value of {token_ref}"
    )]
    Missing {
        /// The guard's variable.
        slot: TokenSlot,
        /// The operator's own name.
        token_ref: contract::EnvName,
    },
    /// the variable holds something else
    #[error(
        "the credential {token_ref} ({slot}) {why}. Set {token_ref} to the bare value and start egress again"
    )]
    Unusable {
        /// The guard's variable.
        slot: TokenSlot,
        /// The operator's own name.
        token_ref: contract::EnvName,
        /// What is wrong with it.
        why: Unusable,
    },
    /// Basic without a user
    #[error(
        "the credential {token_ref} ({slot}) has no `:`; the value for the scheme Basic is `user:password`. Set \
         {token_ref} so and start egress again"
    )]
    NotUserPassword {
        /// The guard's variable.
        slot: TokenSlot,
        /// The operator's own name.
        token_ref: contract::EnvName,
    },
}

// === impl Credential ===

impl Credential {
    /// Checks a value that is to go into a header.
    pub fn new(value: Vec<u8>) -> Result<Self, Unusable> {
        let value = Zeroizing::new(value);
        let outer_space = value.first() == Some(&b' ') || value.last() == Some(&b' ');
        if value.is_empty() {
            Err(Unusable::Empty)
        } else if value.len() > MAX_CREDENTIAL {
            Err(Unusable::TooLong)
        } else if value.iter().any(u8::is_ascii_control) {
            Err(Unusable::ControlByte)
        } else if !value.is_ascii() {
            Err(Unusable::NotAscii)
        } else if outer_space {
            Err(Unusable::OuterSpace)
        } else {
            Ok(Self(value))
        }
    }

    /// The value. Do not log it, do not answer with it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The half after the first `:`, which in the scheme Basic is a secret by itself.
    pub fn password(&self) -> Option<&[u8]> {
        let colon = self.0.iter().position(|byte| *byte == b':')?;
        self.0.get(colon + 1..)
    }

    /// The value of the header that carries it, marked sensitive.
    fn header_value(&self, scheme: &AuthScheme) -> Option<HeaderValue> {
        let text = |prefix: &str, value: &[u8]| {
            let mut text = Zeroizing::new(Vec::with_capacity(prefix.len() + value.len()));
            text.extend_from_slice(prefix.as_bytes());
            text.extend_from_slice(value);
            text
        };
        let text = match scheme {
            AuthScheme::Bearer => text("Bearer ", &self.0),
            AuthScheme::Token => text("token ", &self.0),
            AuthScheme::Basic => {
                self.password()?;
                let encoded = Zeroizing::new(BASE64.encode(&*self.0));
                text("Basic ", encoded.as_bytes())
            }
            AuthScheme::Header(_) => text("", &self.0),
        };
        let mut value = HeaderValue::from_bytes(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

// === impl CredentialStore ===

impl CredentialStore {
    /// Takes every `EGRESS_TOKEN_<n>` out of these variables. The guard calls it once, at its start.
    pub fn from_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let by_slot = variables
            .into_iter()
            .filter_map(|(name, value)| {
                let slot: TokenSlot = name.to_str()?.parse().ok()?;
                Some((slot, Credential::new(value.into_vec())))
            })
            .collect();
        Self { by_slot }
    }

    /// The credential that a route names.
    pub fn get(&self, auth: &RouteAuth) -> Result<&Credential, CredentialError> {
        let (slot, token_ref) = (auth.token_env, auth.token_ref.clone());
        match self.by_slot.get(&slot) {
            None => Err(CredentialError::Missing { slot, token_ref }),
            Some(Err(why)) => Err(CredentialError::Unusable {
                slot,
                token_ref,
                why: *why,
            }),
            Some(Ok(credential)) => Ok(credential),
        }
    }

    /// The header value that a route injects.
    pub fn header_value(&self, auth: &RouteAuth) -> Result<HeaderValue, CredentialError> {
        self.get(auth)?
            .header_value(&auth.scheme)
            .ok_or_else(|| CredentialError::NotUserPassword {
                slot: auth.token_env,
                token_ref: auth.token_ref.clone(),
            })
    }

    /// Every usable value, whether or not a route names it now: one that a route named before is still a secret.
    pub fn values(&self) -> impl Iterator<Item = &Credential> {
        self.by_slot.values().filter_map(|value| value.as_ref().ok())
    }
}

impl fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_slot.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(value: &str) -> CredentialStore {
        CredentialStore::from_variables([
            ("EGRESS_TOKEN_0".into(), value.into()),
            ("EGRESS_TOKEN_00".into(), "not a slot".into()),
            ("PATH".into(), "/bin".into()),
        ])
    }

    fn auth(scheme: &str, slot: u16) -> RouteAuth {
        RouteAuth {
            scheme: scheme.parse().unwrap(),
            token_ref: "GITHUB_TOKEN".parse().unwrap(),
            token_env: TokenSlot::new(slot),
        }
    }

    #[test]
    fn every_scheme_writes_its_header_and_marks_it_sensitive() {
        for (scheme, value, header) in [
            ("Bearer", "abc", "Bearer abc"),
            ("token", "abc", "token abc"),
            // RFC 7617 §2
            (
                "Basic",
                "Aladdin:open sesame",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("header:x-api-key", "abc", "abc"),
        ] {
            let made = store(value).header_value(&auth(scheme, 0)).unwrap();
            assert_eq!(made.to_str().unwrap(), header);
            assert!(made.is_sensitive());
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_an_error_that_names_slot_and_reference_and_not_the_value() {
        for value in ["", "hush\n", "hush\thush", " hush", "hush ", "hüsh"] {
            let error = store(value)
                .header_value(&auth("Bearer", 0))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("EGRESS_TOKEN_0") && error.contains("GITHUB_TOKEN"),
                "{error}"
            );
            assert!(!error.contains("sh"), "{error}");
        }
        let error = store("hush").header_value(&auth("Bearer", 1)).unwrap_err();
        assert!(
            matches!(error, CredentialError::Missing { slot, .. } if slot == TokenSlot::new(1)),
            "{error}"
        );
        let error = store("hush").header_value(&auth("Basic", 0)).unwrap_err();
        assert!(
            matches!(error, CredentialError::NotUserPassword { .. }),
            "{error}"
        );
    }

    #[test]
    fn nothing_prints_a_value() {
        let store = store("hush-hush-hush");
        let header = store.header_value(&auth("Bearer", 0)).unwrap();
        let credential = store.get(&auth("Bearer", 0)).unwrap();
        let shown = format!("{store:?} {header:?} {credential:?}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}
