//! Path prefixes as a route lists them.

use crate::reading;
use crate::text::{harmless, validated_text};

/// Why a text is not a path prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathPrefixError {
    /// does not start with a slash
    #[error("the path `{0}` does not start with `/`")]
    NotAbsolute(String),
    /// a query or fragment came along
    #[error("the path `{0}` holds a `?` or `#`; a route matches the path alone")]
    Query(String),
    /// a wildcard
    #[error(
        "the path `{0}` holds a `*`; a path is a prefix already: `/repos/acme/` admits everything below it"
    )]
    Wildcard(String),
    /// an upstream could read it in more than one way
    #[error("the path `{0}` could be read in more than one way ({1}); write it plainly")]
    Ambiguous(String, &'static str),
    /// not printable ASCII, or a broken percent-encoding
    #[error("the path `{0}` {1}")]
    Malformed(String, String),
    /// longer than 2048 bytes
    #[error("a path prefix has at most 2048 bytes, this one {0}")]
    TooLong(usize),
}

validated_text!(
    /// An absolute path on segment boundaries: `/repos/acme/` admits what is below it, `/repos/acme` also
    /// itself, neither `/repos/acmeevil`. At most 2048 bytes of printable ASCII.
    PathPrefix,
    PathPrefixError,
    check
);

fn check(text: &str) -> Result<String, PathPrefixError> {
    let shown = || harmless(text);
    if text.len() > 2048 {
        return Err(PathPrefixError::TooLong(text.len()));
    }
    if !text.starts_with('/') {
        return Err(PathPrefixError::NotAbsolute(shown()));
    }
    if text.contains(['?', '#']) {
        return Err(PathPrefixError::Query(shown()));
    }
    if text.contains('*') {
        return Err(PathPrefixError::Wildcard(shown()));
    }
    let readings = reading::readings(text.as_bytes())
        .map_err(|problem| PathPrefixError::Malformed(shown(), problem.to_string()))?;
    for (found, what) in [
        ("\\", "a backslash"),
        (";", "a `;` parameter"),
        ("//", "an empty segment"),
    ] {
        if readings.iter().any(|one| contains(one, found.as_bytes())) {
            return Err(PathPrefixError::Ambiguous(shown(), what));
        }
    }
    if readings.len() > 1 {
        return Err(PathPrefixError::Ambiguous(
            shown(),
            "dot segments or an encoding inside an encoding",
        ));
    }
    Ok(text.to_owned())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

impl PathPrefix {
    /// Whether one reading of a path (already percent-decoded) falls under this prefix.
    pub fn covers(&self, reading: &[u8]) -> bool {
        let decoded = reading::percent_decode(self.as_str().as_bytes());
        let Some(rest) = reading.strip_prefix(decoded.as_slice()) else {
            return false;
        };
        decoded.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> PathPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_ends_on_a_segment_boundary() {
        assert!(prefix("/repos/acme").covers(b"/repos/acme"));
        assert!(prefix("/repos/acme").covers(b"/repos/acme/app"));
        assert!(!prefix("/repos/acme").covers(b"/repos/acmeevil"));
        assert!(prefix("/repos/acme/").covers(b"/repos/acme/app"));
        assert!(!prefix("/repos/acme/").covers(b"/repos/acme"));
        assert!(prefix("/").covers(b"/anything"));
    }

    #[test]
    fn an_encoded_slash_in_a_prefix_means_a_slash() {
        assert!(prefix("/projects/acme%2Fapp").covers(b"/projects/acme/app/issues"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            "", "repos", "/a?x", "/a#x", "/a/*", "/a/../b", "/a/./b", "/a//b", "/a\\b", "/a;x=1", "/a%",
            "/a%zz", "/a%00", "/a\nb", "/ä", "/a%252e", "/%2e%2e/", "/a%5cb", "/a%3bx",
        ] {
            assert!(bad.parse::<PathPrefix>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,60}|/[ -~]{0,60}") {
            if let Ok(prefix) = text.parse::<PathPrefix>() {
                prop_assert!(prefix.covers(&reading::percent_decode(text.as_bytes())));
            }
        }
    }
}
