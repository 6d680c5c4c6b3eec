//! Request methods as a route lists them.

use crate::text::{harmless, validated_text};

/// Why a text is not a request method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// not a method token
    #[error("`{0}` is not a request method; write one like GET or POST")]
    NotAToken(String),
    /// a method that a forward proxy handles itself
    #[error(
        "`{0}` cannot be allowed on a route: CONNECT only opens the tunnel, and TRACE echoes credentials"
    )]
    NeverForwarded(String),
}

validated_text!(
    /// A request method: 1–32 upper-case letters, digits, `-` or `_` (a subset of RFC 9110's token; methods are
    /// case-sensitive, so a manifest's `get` is read as GET and a request's `get` matches nothing).
    Method,
    MethodError,
    check
);

fn check(text: &str) -> Result<String, MethodError> {
    let method = text.to_ascii_uppercase();
    let token = !method.is_empty()
        && method.len() <= 32
        && method
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if !token {
        return Err(MethodError::NotAToken(harmless(text)));
    }
    if matches!(method.as_str(), "CONNECT" | "TRACE") {
        return Err(MethodError::NeverForwarded(method));
    }
    Ok(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_upper_case_tokens() {
        assert_eq!("get".parse::<Method>().unwrap().as_str(), "GET");
        assert_eq!("M-SEARCH".parse::<Method>().unwrap().as_str(), "M-SEARCH");
        for bad in ["", "GE T", "GET\r\n", "GÉT", "CONNECT", "trace", &"A".repeat(33)] {
            assert!(bad.parse::<Method>().is_err(), "{bad}");
        }
    }
}
