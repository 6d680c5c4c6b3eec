//! The values of the agent's own secrets ([`guard::agent_secrets`]): what no format gives away, and no push may hold.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use guard::agent_secrets::{self, SLOT};
use secrets::known::KnownValues;
use secrets::{RuleSet, gitleaks, known};
use zeroize::Zeroizing;

use crate::push::findings;

/// What a finding of such a value is called, whatever form it was in.
pub const RULE: &str = "environment-secret";

/// So many bytes of a value make its keyword.
const KEYWORD: usize = 12;

/// So many of a longer value are looked for in what is packed.
const PATTERN: usize = 128;

/// What was found in the environment.
#[derive(Debug)]
pub struct AgentSecrets {
    /// Finds the values in any encoding.
    pub values: KnownValues,
    /// Finds them in what the scanner unpacks, too: archives, other character sets, encodings in encodings.
    pub rules: RuleSet,
    /// Slots whose value is too short to be looked for, and why.
    pub too_short: Vec<String>,
    all: Vec<(Arc<str>, Value)>,
}

struct Value(Zeroizing<Vec<u8>>);

// === impl AgentSecrets ===

impl AgentSecrets {
    /// Takes every slot out of these variables.
    ///
    /// # Errors
    /// A rule could not be made of a value. The message does not hold it.
    pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> std::io::Result<Self> {
        let mut builder = KnownValues::builder();
        let (mut all, mut too_short, mut rules) = (Vec::new(), Vec::new(), String::new());
        for (name, value) in agent_secrets::read(variables) {
            match builder.add(name.as_str(), value.clone()) {
                Ok(()) => {
                    append_rule(&mut rules, &name, &value);
                    all.push((Arc::from(name), Value(value)));
                }
                Err(error) => too_short.push(error.to_string()),
            }
        }
        too_short.sort();
        // What is wrong with one would be told with the value.
        let rules = gitleaks::parse(&rules)
            .ok()
            .filter(|read| read.refused.is_empty())
            .map(|read| read.rules)
            .ok_or_else(|| std::io::Error::other("a value of the agent's environment makes no rule"))?;
        Ok(Self {
            values: builder.build(),
            rules,
            too_short,
            all,
        })
    }

    /// The value of a slot.
    pub fn value(&self, slot: &str) -> Option<&[u8]> {
        let (_, value) = self.all.iter().find(|(name, _)| &**name == slot)?;
        Some(&value.0)
    }

    /// A name that the agent chose, as it may be shown and logged: without these values.
    pub fn shown(&self, name: &[u8]) -> String {
        shown(&self.values, name)
    }

    /// The value that this rule of the scanner's finds, if it is one of these.
    pub fn value_of_rule(&self, id: &str) -> Option<&[u8]> {
        let number = id.strip_prefix(RULE)?.strip_prefix('-')?;
        self.value(&format!("{SLOT}{number}"))
    }
}

/// No value is ever shown.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "‹redacted:{}›", self.0.len())
    }
}

/// A name that the agent chose, as it may be shown and logged: without these values, in whatever form.
pub fn shown(values: &KnownValues, name: &[u8]) -> String {
    if values.find(name).is_some() {
        format!("‹redacted:{}›", name.len())
    } else {
        findings::shown(&String::from_utf8_lossy(name))
    }
}

/// A rule as people bring them: whatever the value looks like, it is meant. A value whose beginning is no plain text has none, and
/// is found where nothing is packed.
fn append_rule(rules: &mut String, slot: &str, value: &[u8]) {
    let Some(keyword) = value
        .get(..KEYWORD.min(known::SHORTEST))
        .filter(|head| head.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
        .and_then(|head| std::str::from_utf8(head).ok())
    else {
        return;
    };
    let number = slot.strip_prefix(SLOT).unwrap_or_default();
    let mut pattern = String::new();
    for byte in value.get(..PATTERN).unwrap_or(value) {
        if byte.is_ascii_alphanumeric() {
            pattern.push(char::from(*byte));
        } else {
            let _ = write!(pattern, "\\\\x{byte:02x}");
        }
    }
    let keyword = serde_json::Value::from(keyword.to_ascii_lowercase());
    let _ = write!(
        rules,
        "[[rules]]\nid = \"{RULE}-{number}\"\ndescription = \"a value of the agent's own environment\"\nkeywords = [{keyword}]\n\
         regex = \"{pattern}\"\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_short_values_are_named_and_no_value_is_shown() {
        let variables = [
            ("BOTTLE_ENV_SECRET_0", "correct horse \"battery\" <end>"),
            ("BOTTLE_ENV_SECRET_1", "short"),
            ("BOTTLE_ENV_SECRET_2", "Grüße aus dem Süden"),
            ("BOTTLE_ENV_SECRET_3", "viele herzliche Grüße"),
            ("BOTTLE_ENV_SECRET_X", "another long enough value"),
            ("PATH", "/usr/bin:/usr/local/bin"),
        ];
        let read = AgentSecrets::read(variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
        assert!(read.values.find(b"x correct horse \"battery\" <end> y").is_some());
        assert!(
            read.values
                .find(b"another long enough value /usr/bin:/usr/local/bin")
                .is_none()
        );
        assert_eq!(read.rules.rules().len(), 2);
        assert!(
            read.value_of_rule(&read.rules.rules()[0].id)
                .unwrap()
                .starts_with(b"correct")
        );
        assert_eq!(read.too_short.len(), 1);
        assert!(read.too_short[0].contains("BOTTLE_ENV_SECRET_1"));
        assert!(read.value("BOTTLE_ENV_SECRET_2").is_some() && read.value("BOTTLE_ENV_SECRET_1").is_none());
        assert!(!format!("{:?}", read.all).contains("horse"));
        assert_eq!(read.shown(b"a/correct horse \"battery\" <end>"), "‹redacted:31›");
        assert_eq!(read.shown(b"src/main.rs"), "src/main.rs");
    }
}
