//! What of a request may stand in a log line or in an operator's sight.
//!
//! Paths lose their query, and segments that may be secret come as `‹redacted:N›`, N being their length. A credential of
//! egress takes the whole path with it, since its encoded forms may hold slashes.

use contract::reading;
use contract::text::is_deceptive;

use crate::tripwire::Tripwire;

/// The longest path that a log line shows, in characters.
const SHOWN: usize = 2048;

/// A target as a log line may show it.
pub fn path(target: &[u8], tripwire: &Tripwire) -> String {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if tripwire.hides(target) {
        return format!("/{}", redacted(path.len()));
    }
    let mut shown = String::with_capacity(path.len().min(SHOWN));
    for (at, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if at > 0 {
            shown.push('/');
        }
        if looks_secret(segment) {
            shown.push_str(&redacted(segment.len()));
        } else {
            push_harmless(&mut shown, &String::from_utf8_lossy(segment));
        }
        if shown.len() > SHOWN {
            shown.push('…');
            break;
        }
    }
    shown
}

/// A method as a log line may show it.
pub fn method(method: &str, tripwire: &Tripwire) -> String {
    if method.len() > 32 || tripwire.hides(method.as_bytes()) {
        return redacted(method.len());
    }
    contract::text::harmless(method)
}

/// Whether a path segment may be a secret.
pub fn looks_secret(segment: &[u8]) -> bool {
    let decoded = reading::percent_decode(segment);
    decoded.len() >= 32 && bits_per_byte(&decoded) >= 3.0
}

fn bits_per_byte(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / total;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(share)
        .map(|share| -share * share.log2())
        .sum()
}

fn redacted(length: usize) -> String {
    format!("‹redacted:{length}›")
}

/// A sentence of the core's, which may quote the agent, as it may be answered and logged.
pub fn sentence(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    push_harmless(&mut shown, text);
    shown
}

fn push_harmless(shown: &mut String, text: &str) {
    for character in text.chars() {
        if is_deceptive(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
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
            path(b"/blobs/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b/raw", &none()),
            "/blobs/‹redacted:40›/raw"
        );
        assert_eq!(
            path(b"/--------------------------------------------/x", &none()),
            "/--------------------------------------------/x"
        );
    }

    #[test]
    fn a_credential_in_path_or_query_hides_the_whole_path() {
        let tripwire = Tripwire::of([b"sk-live-0123456789".as_slice()]);
        assert_eq!(path(b"/a/sk-live-0123456789", &tripwire), "/‹redacted:21›");
        assert_eq!(path(b"/a?x=sk-live-0123456789", &tripwire), "/‹redacted:2›");
        assert_eq!(method("sk-live-0123456789", &tripwire), "‹redacted:18›");
    }

    proptest! {
        #[test]
        fn nothing_that_acts_on_a_terminal_is_shown(target: Vec<u8>) {
            let shown = path(&target, &none());
            prop_assert!(!shown.chars().any(is_deceptive));
            prop_assert!(shown.chars().count() <= SHOWN * 10);
        }
    }
}
