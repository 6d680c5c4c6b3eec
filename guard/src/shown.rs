//! What of a request may stand in an access event or in an operator's sight.
//!
//! Paths lose their query, and segments that may be secret come as `‹redacted:N›`, N being their length. What a guard
//! knows and nobody may read takes the whole path with it, since its encoded forms may hold slashes.

use std::sync::Arc;

use contract::text::{harmless, harmless_up_to};

/// The longest path or sentence that is shown, in characters.
const SHOWN: usize = 2048;

/// The longest method of the registry, `UPDATEREDIRECTREF`, has 17 characters; the shortest key that a rule knows has 20.
const LONGEST_METHOD: usize = 19;

/// What must not be shown.
pub trait Hides {
    /// Whether `text` holds a value that nobody may read, in any form.
    fn hides(&self, text: &[u8]) -> bool;

    /// Whether a host is not shown: a value may stand in its labels.
    fn hides_host(&self, host: &str) -> bool {
        self.hides(host.as_bytes())
    }
}

impl<T: Hides> Hides for Arc<T> {
    fn hides(&self, text: &[u8]) -> bool {
        T::hides(self, text)
    }

    fn hides_host(&self, host: &str) -> bool {
        T::hides_host(self, host)
    }
}

/// A target.
pub fn path(target: &[u8], hidden: &impl Hides) -> String {
    let path = path_of(target);
    if hidden.hides(target) {
        return format!("/{}", redacted(path.len()));
    }
    harmless_up_to(SHOWN, &secrets::redact::path(&String::from_utf8_lossy(path)))
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

/// A method.
pub fn method(method: &str, hidden: &impl Hides) -> String {
    if method.len() > LONGEST_METHOD || hidden.hides(method.as_bytes()) {
        return redacted(method.len());
    }
    harmless(method)
}

/// A host.
pub fn host(host: &str, hidden: &impl Hides) -> String {
    if hidden.hides_host(host) {
        redacted(host.len())
    } else {
        host.to_owned()
    }
}

/// A sentence, which may quote the agent: one that quotes what must not be shown is not repeated.
pub fn sentence(text: &str, hidden: &impl Hides) -> String {
    if hidden.hides(text.as_bytes()) {
        return "the request cannot be forwarded as it is".to_owned();
    }
    harmless_up_to(SHOWN, text)
}

fn redacted(length: usize) -> String {
    format!("‹redacted:{length}›")
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::text::is_deceptive;
    use proptest::prelude::*;

    struct Value(&'static [u8]);

    impl Hides for Value {
        fn hides(&self, text: &[u8]) -> bool {
            !self.0.is_empty() && text.windows(self.0.len()).any(|here| here == self.0)
        }
    }

    fn none() -> Value {
        Value(b"")
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
        let known = Value(b"sk-live-0123456789");
        assert_eq!(path(b"/a/sk-live-0123456789", &known), "/‹redacted:21›");
        assert_eq!(path(b"/a?x=sk-live-0123456789", &known), "/‹redacted:2›");
        assert_eq!(method("sk-live-0123456789", &known), "‹redacted:18›");
        assert_eq!(host("sk-live-0123456789.evil.example", &known), "‹redacted:31›");
        assert!(!sentence("Host names sk-live-0123456789", &known).contains("sk-live"));
    }

    proptest! {
        #[test]
        fn nothing_that_acts_on_a_terminal_is_shown(target: Vec<u8>) {
            let shown = path(&target, &none());
            prop_assert!(!shown.chars().any(is_deceptive));
            prop_assert!(shown.chars().count() <= 10 * SHOWN + 1);
        }
    }
}
