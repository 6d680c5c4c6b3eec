//! What an operator's own rules declare harmless: patterns and words of values that are no findings, and the
//! files that a rule is or is not for. The form is gitleaks'.

use crate::pattern;
use regex_automata::meta;
use std::sync::Arc;

/// A compiled pattern that shows its text alone.
#[derive(Clone)]
pub(crate) struct Pattern {
    text: Arc<str>,
    regex: meta::Regex,
}

/// What the patterns of an [`AllowList`] are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Target {
    #[default]
    Secret,
    Match,
    Line,
}

/// One list: any entry allows, or (with `all`) one of every kind that the list has.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowList {
    pub(crate) all: bool,
    pub(crate) target: Target,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) paths: Vec<Pattern>,
    /// In lower case.
    pub(crate) stop_words: Vec<String>,
    /// The rules that it is for; none means all.
    pub(crate) rules: Vec<String>,
}

/// A match, as far as lists look at it.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) rule: &'a str,
    pub(crate) secret: &'a [u8],
    pub(crate) whole: &'a [u8],
    pub(crate) line: &'a [u8],
    pub(crate) path: Option<&'a str>,
}

// === impl Pattern ===

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        Ok(Self {
            regex: pattern::searcher(text)?,
            text: text.into(),
        })
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

// === impl AllowList ===

impl AllowList {
    pub(crate) fn allows(&self, candidate: Candidate<'_>) -> bool {
        if !self.rules.is_empty() && !self.rules.iter().any(|rule| rule == candidate.rule) {
            return false;
        }
        let target = match self.target {
            Target::Secret => candidate.secret,
            Target::Match => candidate.whole,
            Target::Line => candidate.line,
        };
        let lower = candidate.secret.to_ascii_lowercase();
        let has = |word: &str| {
            lower
                .windows(word.len().max(1))
                .any(|part| part == word.as_bytes())
        };
        let kinds = [
            (
                self.patterns.is_empty(),
                self.patterns.iter().any(|pattern| pattern.is_match(target)),
            ),
            (
                self.paths.is_empty(),
                candidate
                    .path
                    .is_some_and(|path| self.paths.iter().any(|wanted| wanted.is_match(path.as_bytes()))),
            ),
            (
                self.stop_words.is_empty(),
                self.stop_words.iter().any(|word| has(word)),
            ),
        ];
        let mut present = kinds.iter().filter(|(empty, _)| !empty).map(|&(_, holds)| holds);
        match self.all {
            true => kinds.iter().any(|(empty, _)| !empty) && present.all(|holds| holds),
            false => present.any(|holds| holds),
        }
    }
}
