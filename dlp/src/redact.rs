//! What of a request may stand in a log line or in an operator's sight.
//!
//! Paths lose their query, and segments that may be secret come as `‹redacted:N›`, N being their length. A value of the agent's
//! environment takes the whole path with it, since its encoded forms may hold slashes.

use contract::text::is_deceptive;

use crate::policy::CompiledPolicy;

/// The longest path that a log line shows, in characters.
const SHOWN: usize = 2048;

/// A target as a log line may show it.
pub fn path(target: &[u8], policy: &CompiledPolicy) -> String {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = match path.first() {
        Some(b'/' | b'*') => path,
        _ => b"",
    };
    if hides(target, policy) {
        return format!("/{}", redacted(path.len()));
    }
    let mut shown = harmless(&secrets::redact::path(&String::from_utf8_lossy(path)));
    if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// The longest method of the registry, `UPDATEREDIRECTREF`, has 17 characters; the shortest key that a rule knows has 20.
const LONGEST_METHOD: usize = 19;

/// A method as a log line may show it.
pub fn method(method: &str, policy: &CompiledPolicy) -> String {
    if method.len() > LONGEST_METHOD || hides(method.as_bytes(), policy) {
        return redacted(method.len());
    }
    contract::text::harmless(method)
}

/// A host as it may be shown: a secret may stand in its labels.
pub fn host(host: &str, policy: &CompiledPolicy) -> String {
    if crate::head::carries_data(host) || hides(host.as_bytes(), policy) {
        redacted(host.len())
    } else {
        host.to_owned()
    }
}

/// A sentence of the core's, which may quote the agent.
pub fn sentence(text: &str, policy: &CompiledPolicy) -> String {
    if hides(text.as_bytes(), policy) {
        return "the request cannot be forwarded as it is".to_owned();
    }
    harmless(text)
}

fn hides(text: &[u8], policy: &CompiledPolicy) -> bool {
    policy.known().find(text).is_some()
}

fn redacted(length: usize) -> String {
    format!("‹redacted:{length}›")
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
