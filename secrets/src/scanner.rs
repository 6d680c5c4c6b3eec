//! The rule scanner's face: a [`Scanner`] is made once from a [`RuleSet`] and shared. It scans whole buffers
//! ([`Scanner::scan`]), streams chunk by chunk ([`Scanner::stream`]), or the many parts of one message
//! ([`Scanner::parts`]).

use crate::finding::{Finding, without_repeats};
use crate::known::KnownValues;
use crate::pattern::Anchor;
use crate::rule::{RuleError, RuleSet, Setting};
use crate::scan::{Compiled, Engine, Keywords, Names, PREFIX, Prefixes};
use crate::stream::{Parts, Stream};
use std::hash::RandomState;
use std::sync::{Arc, OnceLock};

/// How to scan.
#[derive(Debug, Clone)]
pub struct Options {
    /// what is looked at
    pub setting: Setting,
    /// The key of findings' fingerprints; without one they have none.
    pub fingerprint_key: Option<Arc<[u8]>>,
    /// the file's path, for rules that are for some files only
    pub path: Option<Arc<str>>,
    /// Bytes that may come out of decoders, however little is scanned. Default: 64 MiB.
    pub decoded_base: u64,
    /// Bytes that may come out of decoders for each byte that is scanned, besides. Default: 64. Ordinary archives
    /// stay below 20; a bomb is at 1000.
    pub decoded_per_byte: u64,
    /// Values that are looked for in what is decoded, besides: findings of them are of the rule [`KNOWN_VALUE`]. In
    /// the text itself they are not: that is [`crate::known::KnownValues::stream`]'s to do. Default: none.
    pub known: Option<KnownValues>,
}

/// The rule that findings of [`Options::known`] name.
pub const KNOWN_VALUE: &str = "known-value";

/// Decoding what was scanned would take more than is allowed; what is inside is not known. The caller must treat
/// it as if a secret had been found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "budget exceeded: decoding the content would take more work than is allowed, so it was not scanned whole"
)]
pub struct BudgetExceeded;

/// Why a scanner could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScannerError {
    /// more rules or keywords than fit one automaton
    #[error("the rules cannot be made into a scanner: {0}")]
    TooMany(String),
    /// the rules themselves
    #[error(transparent)]
    Rules(#[from] RuleError),
}

/// A rule set, ready to scan. Cheap to clone.
#[derive(Clone)]
pub struct Scanner {
    engine: Arc<Engine>,
}

// === impl Options ===

impl Options {
    /// The defaults for a setting.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            fingerprint_key: None,
            path: None,
            decoded_base: 64 << 20,
            decoded_per_byte: 64,
            known: None,
        }
    }
}

// === impl Scanner ===

impl Scanner {
    /// A scanner for `rules`. Patterns are compiled when they are first needed.
    ///
    /// # Errors
    /// There are more rules or keywords than fit one automaton.
    pub fn new(rules: RuleSet) -> Result<Self, ScannerError> {
        let too_many = || ScannerError::TooMany("there are more than 65535".to_owned());
        let keywords = Keywords::new(&rules).map_err(ScannerError::TooMany)?;
        let (mut detectors, mut at_runs, mut at_hidden_runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut compiled = Vec::new();
        for (index, rule) in rules.rules.into_iter().enumerate() {
            let index = u16::try_from(index).map_err(|_| too_many())?;
            detectors.extend(rule.detector.map(|detector| (detector, index)));
            at_runs.extend(rule.at_runs.then_some(index));
            at_hidden_runs.extend(rule.at_hidden_runs.then_some(index));
            compiled.push(Compiled {
                names: Names {
                    id: rule.id.as_str().into(),
                    description: rule.description.as_str().into(),
                    prefixes: (0..rule.keywords.len())
                        .map(|keyword| rule.public_prefix(keyword).into())
                        .collect(),
                },
                strict: Anchor::new(&rule.regex),
                loose: rule.loose.as_deref().map(Anchor::new),
                around: OnceLock::new(),
                rule,
            });
        }
        let prefixes = compiled
            .iter()
            .filter(|compiled| compiled.rule.begins_with_keyword())
            .flat_map(|compiled| &compiled.rule.keywords)
            .filter_map(|keyword| keyword.as_bytes().first_chunk::<PREFIX>().copied());
        let prefixes = Prefixes::new(prefixes);
        let engine = Engine {
            keywords,
            rules: compiled,
            detectors,
            at_runs,
            at_hidden_runs,
            prefixes,
            allowed: rules.allowed,
            hasher: RandomState::new(),
        };
        Ok(Self {
            engine: Arc::new(engine),
        })
    }

    /// A scanner for the rules of this crate.
    ///
    /// # Errors
    /// None, in a build whose tests pass.
    pub fn built_in() -> Result<Self, ScannerError> {
        Self::new(RuleSet::built_in()?)
    }

    /// Scans all of `text`. Repeats are dropped.
    ///
    /// # Errors
    /// The budget was exceeded.
    pub fn scan(&self, text: &[u8], options: &Options) -> Result<Vec<Finding>, BudgetExceeded> {
        let mut stream = self.stream(options);
        let mut findings = Vec::new();
        stream.push_all(text, &mut findings)?;
        without_repeats(&mut findings);
        Ok(findings)
    }

    /// The scan of a stream.
    #[must_use]
    pub fn stream(&self, options: &Options) -> Stream {
        Stream::new(&self.engine, options, "")
    }

    /// The scan of a stream that is the value of something called `name`: a field, a header, a key. See
    /// [`Parts::scan_value`].
    #[must_use]
    pub fn stream_of(&self, name: &str, options: &Options) -> Stream {
        Stream::new(&self.engine, options, name)
    }

    /// The scan of the parts of one message, each by itself.
    #[must_use]
    pub fn parts(&self, options: &Options) -> Parts {
        Parts::new(&self.engine, options)
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.engine.rules.len()
    }
}
