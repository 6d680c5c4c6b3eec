//! The one pass over every byte: an Aho–Corasick automaton over all that makes the scanner look closer.
//!
//! Rules' keywords (as they are, and with a NUL between the characters, which is how UTF-16 writes them), the
//! beginnings of escapes, characters that look like others, and the heads of compressed data. The automaton is a
//! DFA whatever its size, and overlapping hits are all told: a keyword within another's match must not get lost.

use crate::normalise;
use crate::rule::RuleSet;
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};
use std::collections::BTreeMap;

pub(crate) use aho_corasick::automaton::StateID;

/// A container that a [`crate::inflate::Inflater`] undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Gzip,
    /// One entry of a zip archive.
    Zip,
    /// zlib data in a PDF stream.
    Pdf,
    Zstd,
}

/// What to do where a text was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Try a rule: its number, and that of its keyword.
    Rule { rule: u16, keyword: u16 },
    /// Read the neighbourhood with escapes undone.
    Escape,
    /// Read the neighbourhood without NULs.
    Wide,
    /// Undo compression from the hit's start on.
    Compressed(Container),
}

pub(crate) struct Keywords {
    dfa: DFA,
    /// By pattern.
    triggers: Vec<Vec<Trigger>>,
    start: StateID,
}

/// A keyword of fewer characters is not looked for in UTF-16: NULs around single letters are common in binaries.
const SHORTEST_WIDE: usize = 4;

// === impl Keywords ===

impl Keywords {
    pub(crate) fn new(rules: &RuleSet) -> Result<Self, String> {
        let mut all: BTreeMap<Vec<u8>, Vec<Trigger>> = BTreeMap::new();
        let mut add = |text: Vec<u8>, trigger| {
            let triggers = all.entry(text.to_ascii_lowercase()).or_default();
            if !triggers.contains(&trigger) {
                triggers.push(trigger);
            }
        };
        for (rule, index) in rules.rules.iter().zip(0u16..) {
            for (text, keyword) in rule.keywords.iter().zip(0u16..) {
                add(text.clone().into_bytes(), Trigger::Rule { rule: index, keyword });
                if text.len() >= SHORTEST_WIDE {
                    let mut wide: Vec<u8> = text.bytes().flat_map(|byte| [byte, 0]).collect();
                    wide.pop();
                    add(wide, Trigger::Wide);
                }
            }
        }
        for byte in 0..=u8::MAX {
            add(format!("%{byte:02x}").into_bytes(), Trigger::Escape);
        }
        for text in ["\\u", "\\x", "\\/", "&#"] {
            add(text.into(), Trigger::Escape);
        }
        for text in normalise::triggers() {
            add(text, Trigger::Escape);
        }
        add(b"\x1f\x8b\x08".to_vec(), Trigger::Compressed(Container::Gzip));
        add(b"PK\x03\x04".to_vec(), Trigger::Compressed(Container::Zip));
        add(b"\x28\xb5\x2f\xfd".to_vec(), Trigger::Compressed(Container::Zstd));
        for (line, flags) in ["\n", "\r\n"]
            .iter()
            .flat_map(|line| [1u8, 0x5e, 0x9c, 0xda].map(|flags| (line, flags)))
        {
            let text = [b"stream", line.as_bytes(), &[0x78, flags]].concat();
            add(text, Trigger::Compressed(Container::Pdf));
        }
        let dfa = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .prefilter(false)
            .build(all.keys())
            .map_err(|error| error.to_string())?;
        let start = dfa.start_state(Anchored::No).map_err(|error| error.to_string())?;
        Ok(Self {
            dfa,
            triggers: all.into_values().collect(),
            start,
        })
    }

    pub(crate) fn start(&self) -> StateID {
        self.start
    }

    /// Steps over `text` up to and with the byte that completes a pattern, and gives the number of bytes, or
    /// `None` if nothing is completed.
    #[inline]
    pub(crate) fn next(&self, state: &mut StateID, text: &[u8]) -> Option<usize> {
        let mut at = *state;
        for (index, &byte) in text.iter().enumerate() {
            at = self.dfa.next_state(Anchored::No, at, byte);
            if self.dfa.is_special(at) && self.dfa.is_match(at) {
                *state = at;
                return Some(index + 1);
            }
        }
        *state = at;
        None
    }

    /// What ends in `state`, with the length of its text.
    pub(crate) fn hits(&self, state: StateID) -> impl Iterator<Item = (usize, Trigger)> {
        (0..self.dfa.match_len(state)).flat_map(move |index| {
            let pattern = self.dfa.match_pattern(state, index);
            let length = self.dfa.pattern_len(pattern);
            self.triggers
                .get(pattern.as_usize())
                .into_iter()
                .flatten()
                .map(move |&trigger| (length, trigger))
        })
    }

    /// Whether anything is completed in `text`.
    pub(crate) fn any(&self, text: &[u8]) -> bool {
        self.next(&mut self.start(), text).is_some()
    }
}
