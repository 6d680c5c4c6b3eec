//! The rule scanner's face: a [`Scanner`] is made once from a [`RuleSet`] and shared; it scans buffers, or streams
//! chunk by chunk.
//!
//! Scanning a stream, a caller releases bytes as they come, except those that the scanner says must wait: they may
//! be part of a secret whose end has not arrived. When a finding is told, its last byte is still held.

use crate::finding::{Finding, without_repeats};
use crate::pattern::Anchor;
use crate::rule::{RuleSet, Setting};
use crate::scan::{Budget, Compiled, Engine, Keywords, Layer, Manner, Names, Raw, Session};
use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::{Arc, OnceLock};

/// So many findings are remembered, to tell none twice.
const REMEMBERED: usize = 256;

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
}

/// Decoding what was scanned would take more than is allowed; what is inside is not known. The caller must treat
/// it as if a secret had been found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decoding the content would take more work than is allowed, so it was not scanned whole")]
pub struct BudgetExceeded;

/// Why a scanner could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rules cannot be made into a scanner: {0}")]
pub struct ScannerError(String);

/// A rule set, ready to scan. Cheap to clone.
#[derive(Clone)]
pub struct Scanner {
    engine: Arc<Engine>,
}

/// The scan of one stream.
pub struct Stream {
    engine: Arc<Engine>,
    manner: Manner,
    budget: Budget,
    layer: Layer,
    raw: Vec<Raw>,
    /// The latest findings, to tell none twice.
    told: VecDeque<Raw>,
    scratch: Vec<u8>,
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
        let too_many = || ScannerError("there are more than 65535".to_owned());
        let keywords = Keywords::new(&rules).map_err(ScannerError)?;
        let (mut detectors, mut at_runs) = (Vec::new(), Vec::new());
        let mut compiled = Vec::new();
        for (index, rule) in rules.rules.into_iter().enumerate() {
            let index = u16::try_from(index).map_err(|_| too_many())?;
            detectors.extend(rule.detector.map(|detector| (detector, index)));
            at_runs.extend(rule.at_runs.then_some(index));
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
        let engine = Engine {
            keywords,
            rules: compiled,
            detectors,
            at_runs,
            allowed: rules.allowed,
            hasher: RandomState::new(),
        };
        Ok(Self {
            engine: Arc::new(engine),
        })
    }

    /// Scans all of `text`. Repeats are dropped.
    ///
    /// # Errors
    /// The budget was exceeded.
    pub fn scan(&self, text: &[u8], options: &Options) -> Result<Vec<Finding>, BudgetExceeded> {
        let mut stream = self.stream(options);
        let mut findings = Vec::new();
        stream.work(text, true, &mut findings)?;
        without_repeats(&mut findings);
        Ok(findings)
    }

    /// The scan of a stream.
    #[must_use]
    pub fn stream(&self, options: &Options) -> Stream {
        Stream {
            manner: Manner {
                setting: options.setting,
                key: options.fingerprint_key.clone(),
                path: options.path.clone(),
            },
            budget: Budget::new(options.decoded_base, options.decoded_per_byte),
            layer: Layer::new(&self.engine, crate::DecodePath::default()),
            raw: Vec::new(),
            told: VecDeque::new(),
            scratch: Vec::new(),
            engine: Arc::clone(&self.engine),
        }
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.engine.rules.len()
    }
}

// === impl Stream ===

impl Stream {
    /// Scans the next bytes and appends what is found to `findings` (the same secret may be told twice; see
    /// [`without_repeats`]). Gives how many of the bytes so far, counted from the last, must not leave yet.
    ///
    /// # Errors
    /// The budget was exceeded, now or before.
    pub fn push(&mut self, chunk: &[u8], findings: &mut Vec<Finding>) -> Result<usize, BudgetExceeded> {
        self.work(chunk, false, findings)?;
        let hold = self.layer.position() - self.layer.hold_from();
        Ok(usize::try_from(hold).unwrap_or(usize::MAX))
    }

    /// The stream is over; nothing needs to be held any more.
    ///
    /// # Errors
    /// The budget was exceeded, now or before.
    pub fn finish(&mut self, findings: &mut Vec<Finding>) -> Result<(), BudgetExceeded> {
        self.work(&[], true, findings)
    }

    fn work(&mut self, bytes: &[u8], over: bool, findings: &mut Vec<Finding>) -> Result<(), BudgetExceeded> {
        self.budget.read(bytes.len());
        let mut session = Session {
            engine: &self.engine,
            manner: &self.manner,
            budget: &mut self.budget,
            found: &mut self.raw,
            scratch: &mut self.scratch,
        };
        self.layer.push(&mut session, bytes, over);
        for raw in std::mem::take(&mut self.raw) {
            if self.told.iter().any(|told| is_repeat(&raw, told)) {
                continue;
            }
            if self.told.len() == REMEMBERED {
                self.told.pop_front();
            }
            self.told.push_back(raw.clone());
            findings.extend(tell(&self.engine, raw));
        }
        if self.budget.is_exceeded() {
            Err(BudgetExceeded)
        } else {
            Ok(())
        }
    }
}

/// Whether `raw` is `told` once more: the neighbourhood of an escape is read twice.
fn is_repeat(raw: &Raw, told: &Raw) -> bool {
    let overlap = raw.span.start < told.span.end && told.span.start < raw.span.end;
    raw.rule == told.rule
        && raw.hash == told.hash
        && (raw.decoded == told.decoded || raw.decoded.is_more_than(&told.decoded))
        && (overlap || raw.decoded.has_container())
}

fn tell(engine: &Engine, raw: Raw) -> Option<Finding> {
    let names = &engine.rules.get(usize::from(raw.rule))?.names;
    Some(Finding {
        rule: Arc::clone(&names.id),
        description: Arc::clone(&names.description),
        confidence: raw.confidence,
        span: raw.span,
        decoded: raw.decoded,
        fingerprint: raw.fingerprint,
        public_prefix: names
            .prefixes
            .get(usize::from(raw.keyword))
            .cloned()
            .unwrap_or_else(|| "".into()),
        length: raw.length,
    })
}
