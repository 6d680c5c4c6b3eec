//! What the parts of one scan share.

use super::{Budget, Keywords, Prefixes, Survey};
use crate::allow::{AllowList, Pattern};
use crate::finding::{DecodePath, Fingerprint};
use crate::known::{self, KnownValues};
use crate::pattern::Anchor;
use crate::rule::{Confidence, Detector, Rule, Setting};
use regex_automata::meta;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A rule and its compiled patterns.
pub(crate) struct Compiled {
    pub(crate) rule: Rule,
    pub(crate) names: Names,
    pub(crate) strict: Anchor,
    pub(crate) loose: Option<Anchor>,
    pub(crate) around: OnceLock<Option<meta::Regex>>,
}

/// What every finding of a rule carries.
pub(crate) struct Names {
    pub(crate) id: Arc<str>,
    pub(crate) description: Arc<str>,
    /// By keyword.
    pub(crate) prefixes: Vec<Arc<str>>,
}

/// A rule set, ready to scan.
pub(crate) struct Engine {
    pub(crate) keywords: Keywords,
    pub(crate) rules: Vec<Compiled>,
    pub(crate) detectors: Vec<(Detector, u16)>,
    /// Rules that are tried at long runs.
    pub(crate) at_runs: Vec<u16>,
    /// Rules that are tried at runs of base64 in what was hexadecimal.
    pub(crate) at_hidden_runs: Vec<u16>,
    /// What tokens begin with that are known by it.
    pub(crate) prefixes: Prefixes,
    pub(crate) allowed: Vec<AllowList>,
    pub(crate) hasher: RandomState,
}

/// How one scan is to be done.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) setting: Setting,
    pub(crate) key: Option<Arc<[u8]>>,
    pub(crate) path: Option<Arc<str>>,
    pub(crate) known: Option<KnownValues>,
}

/// One scan's shared state, lent to the layer that works.
pub(crate) struct Session<'s> {
    pub(crate) engine: &'s Engine,
    pub(crate) manner: &'s Manner,
    pub(crate) budget: &'s mut Budget,
    pub(crate) found: &'s mut Vec<Raw>,
    /// For decoding short runs.
    pub(crate) scratch: &'s mut Vec<u8>,
    /// Those that no layer has in use.
    pub(crate) surveys: &'s mut Vec<Survey>,
}

/// A finding before its names are filled in. The span is in the coordinates of the layer that is being worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) rule: u16,
    pub(crate) keyword: u16,
    pub(crate) confidence: Confidence,
    pub(crate) span: Range<u64>,
    pub(crate) decoded: DecodePath,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) length: usize,
    /// Tells secrets apart within one process.
    pub(crate) hash: u64,
    /// Of a known value, which has no rule, what it is called.
    pub(crate) label: Option<Arc<str>>,
}

/// In the place of a rule's number.
const NO_RULE: u16 = u16::MAX;

// === impl Engine ===

impl Engine {
    pub(crate) fn detector(&self, wanted: Detector) -> Option<u16> {
        self.detectors
            .iter()
            .find(|(detector, _)| *detector == wanted)
            .map(|&(_, rule)| rule)
    }
}

// === impl Session ===

impl<'s> Session<'s> {
    pub(crate) fn setting(&self) -> Setting {
        self.manner.setting
    }

    pub(crate) fn rule(&self, rule: u16) -> Option<&'s Compiled> {
        self.engine.rules.get(usize::from(rule))
    }

    /// Whether the rule is for the file at hand. Without a path every rule is.
    pub(crate) fn applies(&self, rule: u16) -> bool {
        let wanted = self.rule(rule).and_then(|compiled| compiled.rule.path.as_ref());
        match (wanted, &self.manner.path) {
            (Some(wanted), Some(path)) => Pattern::is_match(wanted, path.as_bytes()),
            _ => true,
        }
    }

    /// Tells of `secret`.
    pub(crate) fn report(
        &mut self,
        (rule, keyword): (u16, u16),
        confidence: Confidence,
        span: Range<u64>,
        decoded: DecodePath,
        secret: &[u8],
    ) {
        let fingerprint = self
            .manner
            .key
            .as_ref()
            .and_then(|key| Fingerprint::of(key, secret));
        let length = secret.len();
        let hash = self.engine.hasher.hash_one(secret);
        self.found.push(Raw {
            rule,
            keyword,
            confidence,
            span,
            decoded,
            fingerprint,
            length,
            hash,
            label: None,
        });
    }

    /// Tells of a known value.
    pub(crate) fn report_known(&mut self, hit: known::Hit, decoded: DecodePath) {
        self.found.push(Raw {
            rule: NO_RULE,
            keyword: 0,
            confidence: Confidence::High,
            length: usize::try_from(hit.span.end - hit.span.start).unwrap_or(usize::MAX),
            span: hit.span,
            decoded,
            fingerprint: None,
            hash: self.engine.hasher.hash_one(&hit.label),
            label: Some(hit.label),
        });
    }

    /// Whether `decoded`, all of it, holds a known value.
    pub(crate) fn knows(&self, decoded: &[u8]) -> bool {
        self.manner
            .known
            .as_ref()
            .is_some_and(|known| known.find(decoded).is_some())
    }
}
