//! What an agent asks for: the arguments of the three asking tools.
//!
//! The same values are an MCP call's arguments, the body of a proposal and the remedy of a denial, so a denial's remedy can be
//! called as it stands. Texts of an agent are kept as they are; whoever shows them makes them harmless.

use std::fmt::Write as _;

use crate::merge::AskedAuth;
use crate::{EventId, HostName, Method, PathPrefix, RouteAsk, Sha256Hex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest justification, in bytes.
pub const MAX_JUSTIFICATION: usize = 8 * 1024;
/// The longest Dockerfile of a `capability-block`, in bytes.
pub const MAX_DOCKERFILE: usize = 64 * 1024;
/// The most path prefixes, and the most methods, of one ask.
pub const MAX_LISTED: usize = 64;
/// The longest name of a rule, in bytes.
pub const MAX_RULE: usize = 128;

/// An ask, as a call of the tool that makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "tool",
    content = "arguments",
    rename_all = "kebab-case",
    deny_unknown_fields
)]
pub enum Ask {
    /// Reach a host, or more of it.
    EgressBlock(JustifiedAsk),
    /// Have the pipelock seat let a host, or one finding at a host, pass.
    PipelockBlock(PipelockAsk),
    /// Have another Dockerfile for the agent image.
    CapabilityBlock(CapabilityAsk),
}

/// A route ask with the justification that the tool wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatAsk")]
pub struct JustifiedAsk {
    /// What is asked for.
    #[serde(flatten)]
    pub ask: RouteAsk,
    /// Why; the agent should put its own reason here.
    pub justification: String,
    /// The access event of the denial that this follows. An agent's word: whoever joins by it looks whether there is such a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial_id: Option<EventId>,
}

/// [`JustifiedAsk`] as it is read: flattened fields cannot be refused when they are unknown, these can.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlatAsk {
    host: HostName,
    #[serde(default)]
    path_allowlist: Vec<PathPrefix>,
    #[serde(default)]
    methods: Vec<Method>,
    #[serde(default)]
    auth: Option<AskedAuth>,
    justification: String,
    #[serde(default)]
    denial_id: Option<EventId>,
}

/// An ask to the pipelock seat: a host, or an exemption from one rule at one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelockAsk {
    /// The exact host.
    pub host: HostName,
    /// The rule that is not to block at that host, as a denial names it; absent: the host itself is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why.
    pub justification: String,
    /// The access event of the denial that this follows; see [`JustifiedAsk::denial_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial_id: Option<EventId>,
}

/// An ask for another agent image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilityAsk {
    /// The whole Dockerfile that is to take the place of the present one.
    pub dockerfile: String,
    /// Why.
    pub justification: String,
}

/// An ask that is well-formed and still not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// no reason given
    #[error("justification is empty; say in one or two sentences what you are doing and why it needs this")]
    NoJustification,
    /// a reason too long to read
    #[error("justification has {0} bytes, at most {MAX_JUSTIFICATION} are taken; say it shorter")]
    LongJustification(usize),
    /// a list too long to judge
    #[error("{0} has {1} entries, at most {MAX_LISTED} are taken; ask for a shorter prefix, or in parts")]
    LongList(&'static str, usize),
    /// an empty Dockerfile
    #[error("dockerfile is empty; send the whole Dockerfile")]
    NoDockerfile,
    /// a Dockerfile too long
    #[error("dockerfile has {0} bytes, at most {MAX_DOCKERFILE} are taken")]
    LongDockerfile(usize),
    /// an impossible rule name
    #[error("rule must be 1 to {MAX_RULE} printable ASCII characters, as the denial names it")]
    Rule,
}

// === impl Ask ===

impl Ask {
    /// The tool's name.
    pub fn tool(&self) -> &'static str {
        match self {
            Self::EgressBlock(_) => "egress-block",
            Self::PipelockBlock(_) => "pipelock-block",
            Self::CapabilityBlock(_) => "capability-block",
        }
    }

    /// The agent's own words. Untrusted: show them through [`crate::text::harmless`].
    pub fn justification(&self) -> &str {
        match self {
            Self::EgressBlock(ask) => &ask.justification,
            Self::PipelockBlock(ask) => &ask.justification,
            Self::CapabilityBlock(ask) => &ask.justification,
        }
    }

    /// The denial that this follows, as the agent says.
    pub fn denial_id(&self) -> Option<&EventId> {
        match self {
            Self::EgressBlock(ask) => ask.denial_id.as_ref(),
            Self::PipelockBlock(ask) => ask.denial_id.as_ref(),
            Self::CapabilityBlock(_) => None,
        }
    }

    /// Names the denial that this follows.
    #[must_use]
    pub fn after_denial(mut self, denial: EventId) -> Self {
        match &mut self {
            Self::EgressBlock(ask) => ask.denial_id = Some(denial),
            Self::PipelockBlock(ask) => ask.denial_id = Some(denial),
            Self::CapabilityBlock(_) => {}
        }
        self
    }

    /// Checks the sizes. Supervise asks before it writes a proposal, the launcher when it has read one.
    pub fn check(&self) -> Result<(), AskError> {
        let justification = self.justification();
        if justification.trim().is_empty() {
            return Err(AskError::NoJustification);
        }
        if justification.len() > MAX_JUSTIFICATION {
            return Err(AskError::LongJustification(justification.len()));
        }
        match self {
            Self::EgressBlock(asked) => {
                within("path_allowlist", asked.ask.path_allowlist.len())?;
                within("methods", asked.ask.methods.len())
            }
            Self::PipelockBlock(asked) => {
                let well_formed = |rule: &String| {
                    (1..=MAX_RULE).contains(&rule.len())
                        && rule.bytes().all(|byte| matches!(byte, b' '..=b'~'))
                };
                if asked.rule.as_ref().is_none_or(well_formed) {
                    Ok(())
                } else {
                    Err(AskError::Rule)
                }
            }
            Self::CapabilityBlock(asked) if asked.dockerfile.trim().is_empty() => Err(AskError::NoDockerfile),
            Self::CapabilityBlock(asked) if asked.dockerfile.len() > MAX_DOCKERFILE => {
                Err(AskError::LongDockerfile(asked.dockerfile.len()))
            }
            Self::CapabilityBlock(_) => Ok(()),
        }
    }

    /// By which the same ask is known again: SHA-256 of the RFC 8785 JSON of `{tool, arguments}` without the justification and without the
    /// denial that it follows: the same request refused again is the same ask.
    pub fn dedup_key(&self) -> Sha256Hex {
        // The types here hold strings, lists and maps with string keys alone: there is nothing that JSON cannot hold.
        let mut value = serde_json::to_value(self).unwrap_or(Value::Null);
        if let Some(Value::Object(arguments)) = value.get_mut("arguments") {
            arguments.remove("justification");
            arguments.remove("denial_id");
        }
        let mut canonical = String::new();
        write_canonical(&value, &mut canonical);
        Sha256Hex::of(canonical.as_bytes())
    }
}

fn within(what: &'static str, count: usize) -> Result<(), AskError> {
    if count > MAX_LISTED {
        return Err(AskError::LongList(what, count));
    }
    Ok(())
}

/// RFC 8785 for values without fractions: members sorted by UTF-16 code units, no blanks, shortest escapes.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|one, other| one.0.encode_utf16().cmp(other.0.encode_utf16()));
            out.push('{');
            for (number, (name, member)) in members.into_iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write_canonical(&Value::String(name.clone()), out);
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        // serde_json escapes strings just as RFC 8785 says.
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

impl From<FlatAsk> for JustifiedAsk {
    fn from(flat: FlatAsk) -> Self {
        let FlatAsk {
            host,
            path_allowlist,
            methods,
            auth,
            justification,
            denial_id,
        } = flat;
        Self {
            ask: RouteAsk {
                host,
                path_allowlist,
                methods,
                auth,
            },
            justification,
            denial_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn ask(value: Value) -> Ask {
        serde_json::from_value(value).unwrap()
    }

    fn egress(justification: &str) -> Ask {
        ask(
            json!({"tool": "egress-block", "arguments": {"host": "PyPI.org", "justification": justification}}),
        )
    }

    #[test]
    fn the_same_ask_in_other_words_has_the_same_key() {
        let spelled =
            json!({"arguments": {"justification": "b", "host": "pypi.org"}, "tool": "egress-block"});
        assert_eq!(egress("a").dedup_key(), ask(spelled).dedup_key());
        let more = json!({"tool": "egress-block", "arguments": {"host": "pypi.org", "methods": ["GET"], "justification": "a"}});
        assert_ne!(egress("a").dedup_key(), ask(more).dedup_key());
        let denial: EventId = "e-00000001".parse().unwrap();
        let after = egress("a").after_denial(denial.clone());
        assert_eq!(after.denial_id(), Some(&denial));
        assert_eq!(egress("a").dedup_key(), after.dedup_key());
        let seat = json!({"tool": "pipelock-block", "arguments": {"host": "pypi.org", "justification": "a"}});
        assert_ne!(egress("a").dedup_key(), ask(seat).dedup_key());
    }

    #[test]
    fn the_key_is_of_canonical_json() {
        assert_eq!(
            egress("a").dedup_key(),
            Sha256Hex::of(br#"{"arguments":{"host":"pypi.org"},"tool":"egress-block"}"#)
        );
        let mut text = String::new();
        write_canonical(
            &json!({"b": [1, true, null], "a": "\u{20ac}$\u{f}\nA'B\"\\\\\"/"}),
            &mut text,
        );
        // The string of RFC 8785, section 3.2.2
        assert_eq!(
            text,
            "{\"a\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\",\"b\":[1,true,null]}"
        );
    }

    #[test]
    fn what_no_tool_takes_is_refused() {
        for bad in [
            json!({"tool": "egress-block", "arguments": {"host": "a.example", "justification": "x", "path": "/"}}),
            json!({"tool": "egress-block", "arguments": {"host": "a.example"}}),
            json!({"tool": "egress-block", "arguments": {"host": "*.example", "justification": "x"}}),
            json!({"tool": "allow-all", "arguments": {}}),
            json!({"tool": "pipelock-block", "arguments": {"rule": "aws", "justification": "x"}}),
            json!({"tool": "capability-block", "arguments": {"dockerfile": "FROM a", "justification": "x", "run": 1}}),
        ] {
            assert!(serde_json::from_value::<Ask>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bounded_and_the_error_says_by_what() {
        assert_eq!(egress("why").check(), Ok(()));
        assert_eq!(egress(" \n").check(), Err(AskError::NoJustification));
        let long = egress(&"x".repeat(MAX_JUSTIFICATION + 1))
            .check()
            .unwrap_err()
            .to_string();
        assert!(long.contains("8193") && long.contains("8192"), "{long}");
        let mut listed = egress("why");
        if let Ask::EgressBlock(asked) = &mut listed {
            asked.ask.methods = vec!["GET".parse().unwrap(); MAX_LISTED + 1];
        }
        assert_eq!(listed.check(), Err(AskError::LongList("methods", MAX_LISTED + 1)));
        for (rule, well) in [("aws-access-key-id", true), ("", false), ("a\u{202e}", false)] {
            let seat = json!({"tool": "pipelock-block", "arguments": {"host": "a.example", "rule": rule, "justification": "x"}});
            assert_eq!(ask(seat).check().is_ok(), well, "{rule:?}");
        }
    }

    proptest! {
        #[test]
        fn an_ask_is_read_as_it_was_written(route in crate::testing::ask(), justification in ".{1,40}") {
            let ask = Ask::EgressBlock(JustifiedAsk { ask: route, justification, denial_id: None });
            let text = serde_json::to_string(&ask).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
        }
    }
}
