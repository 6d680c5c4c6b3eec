//! The phrases, and comparing a text with them.

use super::Injection;
use super::stream::Stream;
use super::view::{View, folded};
use crate::Confidence;
use crate::pattern;
use crate::scan::radix::{Digits, Radix};
use aho_corasick::AhoCorasick;
use regex_automata::meta;
use serde::Deserialize;
use std::ops::Range;
use std::sync::Arc;

const BUILT_IN: &str = include_str!("../../rules/injection.toml");

/// Two phrases that are each no proof are one within so many bytes.
const NEAR: usize = 600;
/// How far around a quoted phrase it is looked whether the text is about attacks.
const ABOUT: usize = 280;
/// The longest quotation.
const QUOTED: usize = 240;
/// How many words of those that texts about attacks use must be there.
const ABOUT_WORDS: usize = 2;
/// The shortest run that is decoded, in characters: ten bytes say too little.
const SHORTEST_RUN: usize = 24;
/// How often a text is decoded.
const DEPTH: usize = 2;
/// The most text that is looked at in one piece, in bytes; a longer one is looked at piece by piece.
pub(super) const WHOLE: usize = 256 << 10;
/// How much of a piece is looked at again with the next.
pub(super) const OVERLAP: usize = 2048;

/// Words of texts about attacks.
const ABOUT_ATTACKS: [&[u8]; 20] = [
    b"prompt injection",
    b"jailbreak",
    b"attack",
    b"example",
    b"pattern",
    b"such as",
    b"e.g.",
    b"defend",
    b"defens",
    b"defenc",
    b"detect",
    b"malicious",
    b"adversar",
    b"vulnerab",
    b"mitigat",
    b"phrase",
    b"exploit",
    b"payload",
    b"security research",
    b"red team",
];

/// Why phrases cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// not the form
    #[error("the phrases are not valid TOML of the expected form: {0}")]
    Form(String),
    /// the pattern is broken
    #[error("the pattern of the phrase `{id}` is not valid: {why}")]
    Pattern {
        /// the phrase
        id: String,
        /// what the parser says
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pattern: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    id: String,
    reason: String,
    regex: String,
    /// What is matched and fits this too is no proof by itself.
    #[serde(default)]
    medium_if: Option<String>,
    confidence: Confidence,
    #[serde(default)]
    #[cfg_attr(not(test), allow(dead_code, reason = "for the tests"))]
    examples: Vec<String>,
    #[serde(default)]
    #[cfg_attr(not(test), allow(dead_code, reason = "for the tests"))]
    counterexamples: Vec<String>,
}

struct Phrase {
    id: Arc<str>,
    reason: Arc<str>,
    regex: meta::Regex,
    medium_if: Option<meta::Regex>,
    confidence: Confidence,
}

/// Phrases, ready to be looked for. Cheap to clone.
#[derive(Clone)]
pub struct Detector {
    phrases: Arc<Vec<Phrase>>,
    /// Orders without spaces, in disguises.
    disguised: Arc<AhoCorasick>,
    disguise: (Arc<str>, Arc<str>),
}

struct Hit {
    phrase: usize,
    confidence: Confidence,
    span: Range<usize>,
}

/// The number of [`Hit::phrase`] for an order in disguise.
const DISGUISED: usize = usize::MAX;

// === impl Detector ===

impl Detector {
    /// The phrases of this crate.
    ///
    /// # Errors
    /// None, in a build whose tests pass.
    pub fn built_in() -> Result<Self, PhraseError> {
        Self::parse(BUILT_IN)
    }

    /// Phrases in the form of `rules/injection.toml`.
    ///
    /// # Errors
    /// Unknown fields, or a broken pattern.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let file: File = toml::from_str(text).map_err(|error| PhraseError::Form(error.to_string()))?;
        let compile = |id: &str, regex: &str| {
            pattern::searcher(regex).map_err(|why| PhraseError::Pattern {
                id: id.to_owned(),
                why,
            })
        };
        let mut phrases = Vec::new();
        for entry in file.pattern {
            let medium_if = entry.medium_if.as_deref().map(|regex| compile(&entry.id, regex));
            phrases.push(Phrase {
                regex: compile(&entry.id, &entry.regex)?,
                medium_if: medium_if.transpose()?,
                id: entry.id.into(),
                reason: entry.reason.into(),
                confidence: entry.confidence,
            });
        }
        let disguised =
            AhoCorasick::new(disguises()).map_err(|error| PhraseError::Form(error.to_string()))?;
        Ok(Self {
            phrases: Arc::new(phrases),
            disguised: Arc::new(disguised),
            disguise: (
                "override-disguised".into(),
                "tells the reader to drop what it was told, in disguise".into(),
            ),
        })
    }

    /// What of `text` steers its reader. In the order of the offsets.
    #[must_use]
    pub fn scan(&self, text: &[u8]) -> Vec<Injection> {
        let mut stream = self.stream();
        let mut found = stream.push(text);
        found.sort_by_key(|injection| injection.span.start);
        found
    }

    /// The scan of a stream.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    /// What of one piece steers its reader.
    pub(super) fn scan_piece(&self, text: &[u8]) -> Vec<(Injection, Range<usize>)> {
        let mut hits = Vec::new();
        self.look(text, 0, None, &mut hits);
        combine(&mut hits);
        hits.into_iter()
            .filter_map(|hit| {
                let (pattern, reason) = match self.phrases.get(hit.phrase) {
                    Some(phrase) => (Arc::clone(&phrase.id), Arc::clone(&phrase.reason)),
                    None if hit.phrase == DISGUISED => {
                        (Arc::clone(&self.disguise.0), Arc::clone(&self.disguise.1))
                    }
                    None => return None,
                };
                let injection = Injection {
                    pattern,
                    reason,
                    confidence: hit.confidence,
                    span: hit.span.start as u64..hit.span.end as u64,
                };
                Some((injection, hit.span))
            })
            .collect()
    }

    /// `inside` is where `text`, if it was decoded, stood.
    fn look(&self, text: &[u8], depth: usize, inside: Option<&Range<usize>>, hits: &mut Vec<Hit>) {
        let place = |span: Range<usize>| inside.cloned().unwrap_or(span);
        let lenient = View::plain(text, true);
        // Look-alikes turn other scripts into nonsense: a text that has any is read as it stands, too.
        let literal = (!text.is_ascii()).then(|| View::plain(text, false));
        for view in std::iter::once(&lenient).chain(&literal) {
            for (index, phrase) in self.phrases.iter().enumerate() {
                for found in phrase.regex.find_iter(&view.bytes) {
                    let matched = view.bytes.get(found.range()).unwrap_or_default();
                    let weak = phrase
                        .medium_if
                        .as_ref()
                        .is_some_and(|weak| weak.is_match(matched))
                        || is_quoted_example(&view.bytes, found.range());
                    let confidence = match weak {
                        true => phrase.confidence.min(Confidence::Medium),
                        false => phrase.confidence,
                    };
                    // A mention must not become an order because it is mentioned twice.
                    let confidence = match is_quoted_example(&view.bytes, found.range()) {
                        true => Confidence::Low,
                        false => confidence,
                    };
                    hits.push(Hit {
                        phrase: index,
                        confidence,
                        span: place(view.span(found.range())),
                    });
                }
            }
        }
        let squeezed = lenient.squeezed();
        for found in self.disguised.find_iter(&squeezed.bytes) {
            let span = squeezed.span(found.range());
            let known = hits
                .iter()
                .any(|hit| hit.span.start < span.end && span.start < hit.span.end);
            if !known && inside.is_none() {
                hits.push(Hit {
                    phrase: DISGUISED,
                    confidence: Confidence::High,
                    span,
                });
            }
        }
        if depth < DEPTH {
            for (run, decoded) in decoded_runs(text) {
                self.look(&decoded, depth + 1, Some(&place(run)), hits);
            }
        }
    }
}

/// Orders without spaces: as they stand, backwards, and with letters moved by thirteen.
fn disguises() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for verb in ["ignore", "disregard", "forget", "override", "bypass"] {
        for which in [
            "", "all", "any", "allof", "your", "the", "allthe", "allyour", "my",
        ] {
            for when in ["previous", "prior", "above", "earlier", "system", "safety"] {
                for what in [
                    "instruction",
                    "directive",
                    "prompt",
                    "rule",
                    "guideline",
                    "command",
                ] {
                    let order = [verb, which, when, what].concat();
                    let fold =
                        |text: &mut dyn Iterator<Item = u8>| text.filter_map(folded).collect::<Vec<u8>>();
                    all.push(fold(&mut order.bytes()));
                    all.push(fold(&mut order.bytes().rev()));
                    all.push(fold(
                        &mut order.bytes().map(|byte| (byte - b'a' + 13) % 26 + b'a'),
                    ));
                }
            }
        }
    }
    all
}

/// Whether a match stands in quotation marks in a text about attacks.
fn is_quoted_example(text: &[u8], found: Range<usize>) -> bool {
    let is_quote = |byte: &u8| b"\"'`".contains(byte);
    let before = text
        .get(found.start.saturating_sub(QUOTED)..found.start)
        .unwrap_or_default();
    let behind = text
        .get(found.end..text.len().min(found.end + QUOTED))
        .unwrap_or_default();
    let quoted = before.iter().rev().take(24).any(is_quote) && behind.iter().any(is_quote);
    let around = text
        .get(found.start.saturating_sub(ABOUT)..text.len().min(found.end + ABOUT))
        .unwrap_or_default();
    let words = ABOUT_ATTACKS
        .iter()
        .filter(|word| around.windows(word.len()).any(|here| here == **word));
    quoted && words.count() >= ABOUT_WORDS
}

/// Of two different phrases near each other that are no proof by themselves, each becomes one.
fn combine(hits: &mut Vec<Hit>) {
    hits.sort_by_key(|hit| (hit.span.start, hit.phrase));
    hits.dedup_by(|b, a| a.phrase == b.phrase && a.span == b.span);
    let near = |a: &Hit, b: &Hit| {
        b.confidence == Confidence::Medium
            && a.phrase != b.phrase
            && b.span.start < a.span.end + NEAR
            && a.span.start < b.span.end + NEAR
            // One place that two patterns fit is still one phrase.
            && (a.span == b.span || b.span.start >= a.span.end || a.span.start >= b.span.end)
            && a.span != b.span
    };
    let sure: Vec<bool> = hits
        .iter()
        .map(|hit| {
            // So few phrases are in a text that comparing each with each is nothing; of many, the first decide.
            hit.confidence == Confidence::Medium && hits.iter().take(64).any(|other| near(hit, other))
        })
        .collect();
    for (hit, sure) in hits.iter_mut().zip(sure) {
        if sure {
            hit.confidence = Confidence::High;
        }
    }
}

/// What the runs of base64 and hexadecimal digits in `text` decode to, where that is text.
fn decoded_runs(text: &[u8]) -> Vec<(Range<usize>, Vec<u8>)> {
    let mut all = Vec::new();
    for radix in [Radix::Base64, Radix::Hex] {
        let mut at = 0;
        for run in text.split(|&byte| !radix.has(byte)) {
            let range = at..at + run.len();
            at = range.end + 1;
            if run.len() < SHORTEST_RUN {
                continue;
            }
            let mut decoded = Vec::new();
            Digits::new(radix).push(run, &mut decoded);
            let letters = decoded
                .iter()
                .filter(|byte| byte.is_ascii_alphabetic() || **byte == b' ');
            let readable = decoded
                .iter()
                .all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
            if readable && letters.count() * 4 >= decoded.len() * 3 {
                all.push((range, decoded));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
