//! Credentials by name: where egress finds one and how it is written into a request. Never a value.

use crate::EnvName;
use crate::text::{harmless, validated_text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A credential by name: where egress finds it and how it is written into a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteAuth {
    /// How it is written into the request.
    pub scheme: AuthScheme,
    /// The operator's own name for it: a variable of the host environment.
    pub token_ref: EnvName,
    /// The variable that holds it in the guard.
    pub token_env: TokenSlot,
}

/// How a credential is written into a request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AuthScheme {
    /// `Authorization: Bearer <value>`
    Bearer,
    /// `Authorization: token <value>`
    Token,
    /// `Authorization: Basic <base64 of the value>`; the value is `user:password`.
    Basic,
    /// `<name>: <value>`
    Header(HeaderName),
}

/// Why a text is not an auth scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthSchemeError {
    /// none of the four
    #[error("`{0}` is not an auth scheme; write Bearer, token, Basic or header:<Name>")]
    Unknown(String),
    /// `header:` with a name that cannot carry a credential
    #[error(transparent)]
    Header(#[from] HeaderNameError),
}

impl FromStr for AuthScheme {
    type Err = AuthSchemeError;
    fn from_str(text: &str) -> Result<Self, AuthSchemeError> {
        match text {
            "Bearer" => Ok(Self::Bearer),
            "token" => Ok(Self::Token),
            "Basic" => Ok(Self::Basic),
            other => match other.strip_prefix("header:") {
                Some(name) => Ok(Self::Header(name.trim().parse()?)),
                None => Err(AuthSchemeError::Unknown(harmless(other))),
            },
        }
    }
}

impl TryFrom<String> for AuthScheme {
    type Error = AuthSchemeError;
    fn try_from(text: String) -> Result<Self, AuthSchemeError> {
        text.parse()
    }
}

impl From<AuthScheme> for String {
    fn from(scheme: AuthScheme) -> Self {
        scheme.to_string()
    }
}

impl fmt::Display for AuthScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("Bearer"),
            Self::Token => f.write_str("token"),
            Self::Basic => f.write_str("Basic"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl fmt::Debug for AuthScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl AuthScheme {
    /// The header that carries the credential, lower case.
    pub fn header(&self) -> &str {
        match self {
            Self::Bearer | Self::Token | Self::Basic => "authorization",
            Self::Header(name) => name.as_str(),
        }
    }
}

/// Why a text is not the name of a header that can carry a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderNameError {
    /// not an HTTP token
    #[error("`{0}` is not a header name")]
    NotAToken(String),
    /// a header that frames or routes the message
    #[error("`{0}` frames or routes the request; a credential cannot be carried in it")]
    Framing(String),
}

validated_text!(
    /// A header that may carry a credential: an HTTP token of 1–64 characters, kept in lower case, that
    /// neither frames nor routes the message.
    HeaderName,
    HeaderNameError,
    header_name
);

fn header_name(text: &str) -> Result<String, HeaderNameError> {
    let name = text.to_ascii_lowercase();
    let token = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !token {
        return Err(HeaderNameError::NotAToken(harmless(text)));
    }
    let framing = matches!(
        name.as_str(),
        "host"
            | "connection"
            | "content-length"
            | "content-encoding"
            | "content-type"
            | "expect"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "accept-encoding"
    );
    if framing {
        Err(HeaderNameError::Framing(name))
    } else {
        Ok(name)
    }
}

/// The text is not a token slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a token slot; slots are EGRESS_TOKEN_0, EGRESS_TOKEN_1, …")]
pub struct TokenSlotError(String);

/// The guard's variable for one distinct credential: `EGRESS_TOKEN_<n>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenSlot(u16);

impl TokenSlot {
    const PREFIX: &'static str = "EGRESS_TOKEN_";

    /// The slot with this number.
    pub fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number after the prefix.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for TokenSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

impl fmt::Debug for TokenSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenSlot {
    type Err = TokenSlotError;
    fn from_str(text: &str) -> Result<Self, TokenSlotError> {
        let slot = text
            .strip_prefix(Self::PREFIX)
            .and_then(|digits| digits.parse().ok())
            .map(Self);
        match slot {
            Some(slot) if slot.to_string() == text => Ok(slot),
            _ => Err(TokenSlotError(harmless(text))),
        }
    }
}

impl TryFrom<String> for TokenSlot {
    type Error = TokenSlotError;
    fn try_from(text: String) -> Result<Self, TokenSlotError> {
        text.parse()
    }
}

impl From<TokenSlot> for String {
    fn from(slot: TokenSlot) -> Self {
        slot.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_read_and_written_alike() {
        for text in ["Bearer", "token", "Basic", "header:x-api-key"] {
            assert_eq!(text.parse::<AuthScheme>().unwrap().to_string(), text);
        }
        assert_eq!(
            "header: X-Api-Key".parse::<AuthScheme>().unwrap().header(),
            "x-api-key"
        );
        for bad in [
            "bearer",
            "Digest",
            "header:",
            "header:Host",
            "header:a b",
            "header:Transfer-Encoding",
            "",
        ] {
            assert!(bad.parse::<AuthScheme>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slot_has_one_spelling() {
        assert_eq!("EGRESS_TOKEN_7".parse::<TokenSlot>().unwrap(), TokenSlot::new(7));
        for bad in [
            "EGRESS_TOKEN_",
            "EGRESS_TOKEN_07",
            "EGRESS_TOKEN_+7",
            "EGRESS_TOKEN_99999",
            "TOKEN_1",
        ] {
            assert!(bad.parse::<TokenSlot>().is_err(), "{bad}");
        }
    }
}
