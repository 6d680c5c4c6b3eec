//! What of a request may stand in a log line or in an operator's sight.
//!
//! Paths lose their query, and segments that may be secret come as `‹redacted:N›`, N being their length. A credential of
//! egress takes the whole path with it, since its encoded forms may hold slashes.

use contract::text::is_deceptive;

use crate::tripwire::Tripwire;

/// The longest path that a log line shows, in characters.
const SHOWN: usize = 2048;

/// A target as a log line may show it.
pub fn path(target: &[u8], tripwire: &Tripwire) -> String {
    let path = path_of(target);
    if tripwire.hides(target) {
        return format!("/{}", redacted(path.len()));
    }
    let mut shown = harmless(&secrets::redact::path(&String::from_utf8_lossy(path)));
    if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// The path in a target of any form, well-formed or not: user information in an absolute form is none of it.
fn path_of(target: &[u8]) -> &[u8] {
    let before_query = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if before_query.first() == Some(&b'/') || before_query == b"*" {
        return before_query;
    }
    let after_scheme = before_query.windows(3).position(|window| window == b"://");
    let authority = after_scheme
        .and_then(|at| before_query.get(at + 3..))
        .unwrap_or_default();
    let slash = authority.iter().position(|byte| *byte == b'/');
    slash.and_then(|at| authority.get(at..)).unwrap_or_default()
}

/// A method as a log line may show it.
pub fn method(method: &str, tripwire: &Tripwire) -> String {
    if method.len() > 32 || tripwire.hides(method.as_bytes()) {
        return redacted(method.len());
    }
    contract::text::harmless(method)
}

/// A host as it may be shown: a credential may stand in its labels.
pub fn host(host: &str, tripwire: &Tripwire) -> String {
    if tripwire.hides(host.as_bytes()) {
        redacted(host.len())
    } else {
        host.to_owned()
    }
}

/// Whether a path segment may be a secret.
pub fn looks_secret(segment: &[u8]) -> bool {
    secrets::redact::is_secret_like(&String::from_utf8_lossy(segment))
}

fn redacted(length: usize) -> String {
    format!("‹redacted:{length}›")
}

/// A sentence of the core's, which may quote the agent: nothing in it acts on a terminal, and one that quotes a credential
/// is not repeated.
pub fn sentence(text: &str, tripwire: &Tripwire) -> String {
    if tripwire.hides(text.as_bytes()) {
        return "the request cannot be forwarded as it is".to_owned();
    }
    harmless(text)
}

/// Text with nothing in it that acts on a terminal.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn none() -> Tripwire {
        Tripwire::of([])
    }

    #[test]
    fn a_path_is_shown_without_its_query_and_what_may_be_secret() {
        assert_eq!(path(b"/repos/acme/app?token=x", &none()), "/repos/acme/app");
        assert_eq!(
            path(b"/hooks/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b/raw", &none()),
            "/hooks/‹redacted:40›/raw"
        );
        assert_eq!(
            path(b"/--------------------------------------------/x", &none()),
            "/--------------------------------------------/x"
        );
    }

    #[test]
    fn of_a_target_that_is_no_path_only_the_path_is_shown() {
        for (target, shown) in [
            ("http://me:hush@a.example/x?y", "/x"),
            ("http://me:hush@a.example", ""),
            ("me:hush@a.example:443", ""),
            ("http://me:hush@a.example?/x", ""),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(path(target.as_bytes(), &none()), shown, "{target}");
        }
    }

    #[test]
    fn a_credential_in_path_or_query_hides_the_whole_path() {
        let tripwire = Tripwire::of([b"sk-live-0123456789".as_slice()]);
        assert_eq!(path(b"/a/sk-live-0123456789", &tripwire), "/‹redacted:21›");
        assert_eq!(path(b"/a?x=sk-live-0123456789", &tripwire), "/‹redacted:2›");
        assert_eq!(method("sk-live-0123456789", &tripwire), "‹redacted:18›");
        assert_eq!(
            host("sk-live-0123456789.evil.example", &tripwire),
            "‹redacted:31›"
        );
        assert!(!sentence("Host names sk-live-0123456789", &tripwire).contains("sk-live"));
    }

    proptest! {
        #[test]
        fn nothing_that_acts_on_a_terminal_is_shown(target: Vec<u8>) {
            let shown = path(&target, &none());
            prop_assert!(!shown.chars().any(is_deceptive));
            prop_assert!(shown.chars().count() <= SHOWN + 1);
        }
    }
}
