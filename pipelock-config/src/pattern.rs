//! A host as pipelock's lists write it: one exact name, or `*.x` for everything under `x`.
//!
//! pipelock lower-cases an entry and drops a trailing dot; `*.x` in the allowlist also matches `x` itself, and in
//! `passthrough_domains` it does not.

use std::fmt;
use std::str::FromStr;

use contract::HostName;

/// One entry of a list of hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This name.
    Exact(HostName),
    /// Every name that ends in `.` and this one.
    Under(HostName),
}

/// A text that no engine reads as a host in exactly one way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAHost(String);

// === impl HostPattern ===

impl HostPattern {
    /// Whether `host` is named; `apex`: whether `*.x` names `x`, too.
    pub fn matches(&self, host: &str, apex: bool) -> bool {
        match self {
            Self::Exact(name) => name.as_str() == host,
            Self::Under(name) => {
                let under = host.strip_suffix(name.as_str());
                under.is_some_and(|rest| rest.ends_with('.') || (apex && rest.is_empty()))
            }
        }
    }
}

impl FromStr for HostPattern {
    type Err = NotAHost;
    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let name = |text: &str| text.parse().map_err(|error| NotAHost(format!("{error}")));
        match text.strip_prefix("*.") {
            Some(rest) => name(rest).map(Self::Under),
            None => name(text).map(Self::Exact),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Under(name) => write!(f, "*.{name}"),
        }
    }
}

/// Those entries of a list that name hosts, and a note for each that does not.
pub fn readable<'a>(
    list: &str,
    entries: impl IntoIterator<Item = &'a str>,
) -> (Vec<HostPattern>, Vec<String>) {
    let (mut patterns, mut notes) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => notes.push(format!("{list}: {why}; it names nothing here")),
        }
    }
    (patterns, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_names_what_is_under_it_on_label_boundaries() {
        let under: HostPattern = "*.Example.COM.".parse().unwrap();
        assert!(under.matches("a.example.com", false) && under.matches("b.a.example.com", true));
        assert!(under.matches("example.com", true) && !under.matches("example.com", false));
        assert!(!under.matches("notexample.com", true) && !under.matches("example.com.evil", true));
        let exact: HostPattern = "docs.rs".parse().unwrap();
        assert!(exact.matches("docs.rs", false) && !exact.matches("a.docs.rs", true));
    }

    #[test]
    fn what_is_no_host_names_nothing_and_is_told() {
        let (patterns, notes) = readable(
            "api_allowlist",
            ["docs.rs", "b\u{fc}cher.example", "*", "1.2.3.4"],
        );
        assert_eq!(patterns.len(), 1);
        assert_eq!(notes.len(), 3);
        assert!(notes.iter().all(|note| note.starts_with("api_allowlist: ")));
    }
}
