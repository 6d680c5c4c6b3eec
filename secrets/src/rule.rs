//! What the scanner looks for: rules, as data.
//!
//! A [`RuleSet`] is read from TOML in this crate's own form ([`RuleSet::parse`]); the built-in one is
//! `rules/*.toml`. Each rule says why it is there and where its format is published. Rules that others wrote for
//! gitleaks come in through [`crate::gitleaks`].
//!
//! In a rule of our own the pattern begins with the keyword: the scanner looks for keywords alone and tries the
//! pattern where one stands. Abbreviations that keep patterns readable: `<name>` is the rest of an identifier,
//! `<assign>` what stands between a name and its value in code, configuration, JSON and XML, `<end>` is where a
//! value ends.

use crate::checksum::Checksum;
use serde::Deserialize;
use std::collections::HashSet;

/// The rules that every bottle has.
const BUILT_IN: [&str; 5] = [
    include_str!("../rules/source-hosts.toml"),
    include_str!("../rules/models.toml"),
    include_str!("../rules/clouds.toml"),
    include_str!("../rules/services.toml"),
    include_str!("../rules/general.toml"),
];

/// How sure a finding is. Only [`Confidence::High`] is reason to block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// has the form of a documentation example
    Low,
    /// worth a warning
    Medium,
    /// is a credential as far as anyone can tell
    High,
}

/// What is looked at. The same text means different things in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting {
    /// What a program sends: there is no reason to send an example, and a name before a value is a field's.
    Traffic,
    /// Files that people write: full of examples, tests and placeholders.
    Source,
}

/// A rule's confidence, by setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ByConfidence {
    /// the same everywhere
    Same(Confidence),
    /// one for each setting
    Each {
        /// in traffic
        traffic: Confidence,
        /// in source files
        source: Confidence,
    },
}

/// Detectors that are code, because no pattern can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detector {
    /// a card number
    Card,
    /// an account number
    Iban,
    /// a US social security number
    SocialSecurity,
    /// words of a recovery phrase (BIP-39)
    RecoveryPhrase,
}

/// What the matched value is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// The form speaks for itself.
    #[default]
    Form,
    /// A name and a value: both must be like a token's.
    Token,
    /// A name and a value: the name is a password's, and the value may be anything that people choose.
    Password,
    /// A URL with a password.
    UrlPassword,
    /// What follows the head must be a key's text, not prose about keys.
    PrivateKey,
    /// All of a run, random.
    Hidden,
}

/// One kind of secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// unique, kebab-case; what a finding is called
    pub id: String,
    /// what the secret is, in a few words
    pub description: String,
    /// where the format is published
    #[serde(default)]
    pub source: String,
    /// why it is looked for: what it opens
    #[serde(default)]
    pub reason: String,
    /// Looked for without regard to case; the pattern is tried where one stands.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// the pattern, in the syntax of the `regex` crate, over bytes
    #[serde(default)]
    pub regex: String,
    /// Tried when the pattern does not fit: counts only where the text around says that it is a credential.
    #[serde(default)]
    pub loose: Option<String>,
    /// no pattern, but code
    #[serde(default)]
    pub detector: Option<Detector>,
    /// what is asked of the value besides
    #[serde(default)]
    pub judge: Judge,
    /// One of these is between the keyword and the value: the value is a token or a key, not something else that
    /// the vendor's name stands before.
    #[serde(default)]
    pub named: Vec<String>,
    /// the least Shannon entropy of the secret, in bits per character
    #[serde(default)]
    pub entropy: Option<f32>,
    /// a check that is part of the format
    #[serde(default)]
    pub checksum: Option<Checksum>,
    /// how sure a match is
    pub confidence: ByConfidence,
    /// Instead of keywords: the pattern is tried at the start of every run of 34 or more letters, digits, `_`,
    /// `.` and `-`. For tokens whose beginning is too common to be looked for.
    #[serde(default)]
    pub at_runs: bool,
    /// Instead of keywords: the pattern is tried at the start of every run of 40 or more characters of base64, in
    /// what was written in hexadecimal.
    #[serde(default)]
    pub at_hidden_runs: bool,
    /// Whether the keyword may stand inside a word: a letter before it costs whoever wants to hide it nothing.
    /// For keywords that nothing but tokens has. There a match must be of the strict pattern, with the right
    /// checksum if there is one, and read unlike words.
    #[serde(default)]
    pub inside_words: bool,
    /// templates of texts that must be found
    #[serde(default)]
    pub examples: Vec<String>,
    /// templates of texts that must not be found
    #[serde(default)]
    pub counterexamples: Vec<String>,
    /// The pattern may begin before the keyword, and is tried on the lines around it.
    #[serde(skip)]
    pub(crate) around: bool,
    /// the capture group that is the secret; without one the first that matched, or all
    #[serde(skip)]
    pub(crate) secret_group: Option<usize>,
    /// what is no finding after all
    #[serde(skip)]
    pub(crate) allowed: Vec<crate::allow::AllowList>,
    /// the files that the rule is for
    #[serde(skip)]
    pub(crate) path: Option<crate::allow::Pattern>,
}

/// Rules, in the order in which they are told.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    /// what is no finding of any rule
    pub(crate) allowed: Vec<crate::allow::AllowList>,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// not the form
    #[error("the rules are not valid TOML of the expected form: {0}")]
    Form(String),
    /// two of one name
    #[error("two rules are called `{0}`")]
    Twice(String),
    /// nothing to look for
    #[error("the rule `{0}` has no keyword; name a text that each match contains")]
    NoKeyword(String),
    /// the pattern is broken
    #[error("the pattern of the rule `{id}` is not valid: {why}")]
    Pattern {
        /// the rule
        id: String,
        /// what the parser says
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    rule: Vec<Rule>,
}

// === impl ByConfidence ===

impl ByConfidence {
    pub(crate) fn of(self, setting: Setting) -> Confidence {
        match (self, setting) {
            (Self::Same(confidence), _) => confidence,
            (Self::Each { traffic, .. }, Setting::Traffic) => traffic,
            (Self::Each { source, .. }, Setting::Source) => source,
        }
    }
}

// === impl Rule ===

impl Rule {
    /// The part of a match that is public: at most the first four characters of its keyword.
    pub(crate) fn public_prefix(&self, keyword: usize) -> &str {
        let literal = self.keywords.get(keyword).map_or("", String::as_str);
        let known = self.judge == Judge::Form && !self.around && self.regex.starts_with(&escaped(literal));
        literal
            .get(..literal.len().min(4))
            .filter(|_| known)
            .unwrap_or("")
    }

    /// Whether a match begins with a keyword, and its form speaks for itself: all begin with one, or with one of several.
    pub(crate) fn begins_with_keyword(&self) -> bool {
        let starts = |keyword: &String| self.regex.starts_with(&escaped(keyword));
        let alone = self.judge == Judge::Form && !self.around;
        alone && (self.regex.starts_with("(?:") || self.keywords.iter().any(starts))
    }

    fn expand(&mut self) {
        for pattern in std::iter::once(&mut self.regex).chain(&mut self.loose) {
            *pattern = pattern
                .replace("<name>", r"[\w.\x20-]{0,32}")
                .replace("<assign>", ASSIGN)
                .replace("<end>", r#"(?:[^A-Za-z0-9+/=_~-]|\z)"#);
        }
    }
}

/// Quotes and brackets that close a name, an operator, quotes that open a value; backslashes before quotes come
/// from quoting the whole. `>` closes an XML name.
const ASSIGN: &str =
    r#"["'`\\\])]{0,6}[\t\x20]{0,8}(?:=>|:=|={1,3}|:|,|>)[\t\x20]{0,8}(?:[rbuf]?\\{0,3}["'`]{1,3})?"#;

fn escaped(literal: &str) -> String {
    literal
        .chars()
        .flat_map(|c| matches!(c, '.' | '$').then_some('\\').into_iter().chain([c]))
        .collect()
}

// === impl RuleSet ===

impl RuleSet {
    /// The rules of this crate.
    ///
    /// # Errors
    /// None, in a build whose tests pass.
    pub fn built_in() -> Result<Self, RuleError> {
        let mut all = Self::default();
        for file in BUILT_IN {
            all.rules.extend(Self::read(file, false)?.rules);
        }
        Ok(all)
    }

    /// Rules in the form of `rules/*.toml`.
    ///
    /// # Errors
    /// Unknown fields, a broken pattern, a rule without keyword and detector.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let all = Self::read(text, true)?;
        all.no_repeats()?;
        Ok(all)
    }

    /// Checking the patterns takes longer than all else; those of the built-in rules were checked by tests.
    fn read(text: &str, check: bool) -> Result<Self, RuleError> {
        let file: RuleFile = toml::from_str(text).map_err(|error| RuleError::Form(error.to_string()))?;
        let mut all = Self::default();
        for mut rule in file.rule {
            rule.expand();
            if rule.keywords.is_empty() && rule.detector.is_none() && !rule.at_runs && !rule.at_hidden_runs {
                return Err(RuleError::NoKeyword(rule.id));
            }
            for pattern in std::iter::once(&rule.regex).chain(&rule.loose).filter(|_| check) {
                crate::pattern::check(pattern).map_err(|why| RuleError::Pattern {
                    id: rule.id.clone(),
                    why,
                })?;
            }
            all.rules.push(rule);
        }
        Ok(all)
    }

    /// Adds the rules of `other`.
    ///
    /// # Errors
    /// Both have a rule of one name.
    pub fn extend(&mut self, other: Self) -> Result<(), RuleError> {
        self.rules.extend(other.rules);
        self.allowed.extend(other.allowed);
        self.no_repeats()
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn no_repeats(&self) -> Result<(), RuleError> {
        let mut seen = HashSet::new();
        match self.rules.iter().find(|rule| !seen.insert(&rule.id)) {
            Some(rule) => Err(RuleError::Twice(rule.id.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_well_formed_and_each_has_its_own_name() {
        let mut all = RuleSet::default();
        for file in BUILT_IN {
            all.extend(RuleSet::parse(file).unwrap()).unwrap();
        }
        assert_eq!(all.rules.len(), RuleSet::built_in().unwrap().rules.len());
    }
}
