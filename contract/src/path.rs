//! Path prefixes as a route lists them.

use crate::reading;
use crate::text::harmless;
use std::fmt;
use std::str::FromStr;

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

/// An absolute path on segment boundaries: `/repos/acme/` admits what is below it, `/repos/acme` also
/// itself, neither `/repos/acmeevil`. At most 2048 bytes of printable ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix {
    text: String,
    /// The text percent-decoded, which is what a reading is compared with: decoded here once, not per request.
    decoded: Box<[u8]>,
}

impl FromStr for PathPrefix {
    type Err = PathPrefixError;
    fn from_str(text: &str) -> Result<Self, PathPrefixError> {
        check(text)?;
        Ok(Self {
            text: text.to_owned(),
            decoded: reading::percent_decode(text.as_bytes()).into_boxed_slice(),
        })
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = PathPrefixError;
    fn try_from(text: String) -> Result<Self, PathPrefixError> {
        text.parse()
    }
}

impl From<PathPrefix> for String {
    fn from(prefix: PathPrefix) -> Self {
        prefix.text
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl AsRef<str> for PathPrefix {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

fn check(text: &str) -> Result<(), PathPrefixError> {
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
    Ok(())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

impl PathPrefix {
    /// The prefix as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether one reading of a path (already percent-decoded) falls under this prefix.
    pub fn covers(&self, reading: &[u8]) -> bool {
        let Some(rest) = reading.strip_prefix(&*self.decoded) else {
            return false;
        };
        self.decoded.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/")
    }

    /// Whether everything under the other one falls under this one.
    pub fn includes(&self, other: &Self) -> bool {
        self.covers(&other.decoded)
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
    fn a_prefix_includes_what_lies_below_it() {
        for (all, some) in [
            ("/a", "/a"),
            ("/a", "/a/"),
            ("/a/", "/a/b"),
            ("/", "/a"),
            ("/%61/", "/a/b/"),
        ] {
            assert!(prefix(all).includes(&prefix(some)), "{all} {some}");
        }
        for (all, other) in [("/a/", "/a"), ("/a/b/", "/a/"), ("/a", "/ab")] {
            assert!(!prefix(all).includes(&prefix(other)), "{all} {other}");
        }
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
