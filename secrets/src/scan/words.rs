//! Recovery phrases: twelve or more words of the BIP-39 list with a right checksum.
//!
//! The list is made of ordinary words, so an ordinary text has some in a row. A phrase has twelve, fifteen,
//! eighteen, twenty-one or twenty-four with nothing but separators between; most of them differ; and the last
//! carries a checksum. Prose fails on its short words, its punctuation and its capitals long before.

use super::Session;
use super::survey::{self, find_within};
use super::text::{Text, run_end};
use crate::byte_class;
use crate::finding::DecodePath;
use crate::rule::Detector;
use bip39::{Language, Mnemonic};
use std::collections::HashSet;
use std::sync::LazyLock;

/// Twelve words of four letters with a separator between: of 10,000 random phrases one is shorter.
const SHORTEST: usize = survey::WORDS;
/// A phrase that began is held from this word on.
const HELD: usize = 4;
const LENGTHS: [usize; 5] = [24, 21, 18, 15, 12];

/// How far a layer is settled, and the words of the list that came last.
#[derive(Default)]
pub(crate) struct Words {
    resume: u64,
    within: bool,
    streak: Vec<(u64, &'static str)>,
}

fn is_part(byte: u8) -> bool {
    byte_class::is(byte, byte_class::WORDS)
}

fn find(text: Text<'_>, at: usize) -> Result<usize, usize> {
    find_within(&text.survey.words, text.bytes, at, SHORTEST, is_part)
}

// === impl Words ===

impl Words {
    pub(crate) fn is_worth_it(text: Text<'_>) -> bool {
        find(text, 0).is_ok()
    }

    pub(crate) fn scan(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) {
        loop {
            let mut at = text.index(self.resume);
            if !self.within {
                self.streak.clear();
                match find(text, at) {
                    Ok(start) => at = start,
                    Err(start) => {
                        self.resume = text.offset(start);
                        return;
                    }
                }
                self.within = true;
            }
            let end = run_end(text.bytes, at, is_part);
            while at < end {
                if !text.get(at).is_some_and(|byte| byte.is_ascii_alphabetic()) {
                    at += 1;
                    continue;
                }
                let word_end = run_end(text.slice(0..end), at, |byte| byte.is_ascii_alphabetic());
                if word_end == text.len() && !text.over {
                    self.resume = text.offset(at);
                    return;
                }
                self.take(session, text, path, at, word_end);
                at = word_end;
            }
            self.resume = text.offset(at);
            if end == text.len() && !text.over {
                return;
            }
            self.within = false;
            if end == text.len() {
                return;
            }
        }
    }

    fn take(
        &mut self,
        session: &mut Session<'_>,
        text: Text<'_>,
        path: DecodePath,
        start: usize,
        end: usize,
    ) {
        let Some(word) = listed(text.slice(start..end)) else {
            self.streak.clear();
            return;
        };
        if self.streak.len() == LENGTHS[0] {
            self.streak.remove(0);
        }
        self.streak.push((text.offset(start), word));
        let Some(rule) = session.engine.detector(Detector::RecoveryPhrase) else {
            return;
        };
        for length in LENGTHS {
            let Some(first) = self.streak.len().checked_sub(length) else {
                continue;
            };
            let Some(phrase) = self.streak.get(first..).filter(|phrase| is_phrase(phrase)) else {
                continue;
            };
            let span = phrase.first().map_or(0, |&(start, _)| start)..text.offset(end);
            let secret: Vec<&str> = phrase.iter().map(|&(_, word)| word).collect();
            if let Some(compiled) = session.rule(rule) {
                let confidence = compiled.rule.confidence.of(session.setting());
                session.report((rule, 0), confidence, span, path, secret.join(" ").as_bytes());
            }
            self.streak.clear();
            return;
        }
    }

    pub(crate) fn needed_from(&self) -> Option<u64> {
        Some(self.resume)
    }

    /// Where a phrase that is under way began.
    pub(crate) fn earliest(&self) -> Option<u64> {
        self.streak.first().map(|&(start, _)| start)
    }

    pub(crate) fn hold_from(&self) -> Option<u64> {
        self.streak
            .first()
            .filter(|_| self.streak.len() >= HELD)
            .map(|&(start, _)| start)
    }
}

/// The list's word that `text` is, in any case.
fn listed(text: &[u8]) -> Option<&'static str> {
    if !(3..=8).contains(&text.len()) || !may_be_listed(text) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let list = Language::English.word_list();
    let index = list.binary_search_by(|word| word.as_bytes().cmp(&lower)).ok()?;
    list.get(index).copied()
}

/// 65,536 bits.
const TABLE: usize = 1024;

/// Whether a word of the list has a beginning of this hash: no two words have the same four letters, and of other
/// words one in thirty is asked for. A search for each word of a text would cost more than all else.
fn may_be_listed(text: &[u8]) -> bool {
    static BEGINNINGS: LazyLock<Box<[u64; TABLE]>> = LazyLock::new(|| {
        let mut table = Box::new([0u64; TABLE]);
        for word in Language::English.word_list().iter() {
            let hash = beginning(word.as_bytes());
            if let Some(bits) = table.get_mut(usize::from(hash >> 6)) {
                *bits |= 1 << (hash & 63);
            }
        }
        table
    });
    let hash = beginning(text);
    let bits = BEGINNINGS.get(usize::from(hash >> 6) % TABLE).copied();
    bits.unwrap_or(0) >> (hash & 63) & 1 == 1
}

/// The hash of the first four letters, in either case.
fn beginning(word: &[u8]) -> u16 {
    let letters = word.iter().chain([&0x20, &0x20]).take(4);
    let four = letters.fold(0u32, |sum, &byte| sum << 8 | u32::from(byte | 0x20));
    (four.wrapping_mul(0x9e37_79b1) >> 16) as u16
}

fn is_phrase(words: &[(u64, &'static str)]) -> bool {
    let phrase: Vec<&str> = words.iter().map(|&(_, word)| word).collect();
    let distinct: HashSet<&str> = phrase.iter().copied().collect();
    // All entropy zero or one: one word again and again, and a last one for the checksum. No prose is so.
    let monotone = distinct.len() == 2
        && phrase
            .split_last()
            .is_some_and(|(last, rest)| !rest.contains(last));
    if !monotone && distinct.len() * 3 < words.len() * 2 {
        return false;
    }
    // The list itself, or a part of it, is no phrase.
    if !monotone && phrase.is_sorted() {
        return false;
    }
    Mnemonic::parse_in_normalized(Language::English, &phrase.join(" ")).is_ok()
}
