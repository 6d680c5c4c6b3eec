//! The one pass over every byte, for all that makes the scanner look closer.
//!
//! Of every keyword four neighbouring bytes are noted that are rare in ordinary text. Three bytes of a text are
//! hashed to one bit of a table that fits the innermost cache: no step waits for the one before, and the table
//! does not grow with the rules, which is what makes it several times faster than an automaton. Where the bit is
//! set a fourth byte is asked for, and then the keywords are compared. Every keyword that stands somewhere is told,
//! also within another's match.
//!
//! Escapes, characters that look like others and wide characters are told where a [`Survey`] found what they may
//! begin with.

mod signs;

use super::reading::Reading;
use super::splice;
use super::survey::{QUADS, Survey, WIDE};
use crate::rarity;
use signs::{LookAlikes, is_escape, is_quoted_printable};

use crate::rule::RuleSet;
use std::collections::BTreeMap;

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
    /// Undo compression from the hit's start on.
    Compressed(Container),
}

pub(crate) struct Keywords {
    /// Of three neighbouring bytes of each keyword.
    three: Table,
    /// Of the same three where a keyword has no more.
    only_three: Table,
    /// Of those with the byte before.
    four: Table,
    /// Hashes of three noted bytes with their entries, ascending.
    noted: Vec<(u16, u16)>,
    entries: Vec<Entry>,
    /// Of one or two characters, which only rules from elsewhere have.
    short: Vec<u16>,
    look_alikes: LookAlikes,
}

struct Entry {
    /// In lower case.
    text: Vec<u8>,
    /// Where the noted bytes are.
    at: usize,
    triggers: Vec<Trigger>,
}

/// 65,536 bits: 8 KiB.
const WORDS: usize = 1024;
/// Bytes that are asked for at once.
const CHUNK: usize = 8;
/// Of a longer keyword the beginning is looked for.
pub(crate) const LONGEST: usize = 64;

/// A set of hashes.
struct Table(Box<[u64; WORDS]>);

/// The hash of four bytes or of three (the last is the highest), with 0x20 set in each: that is letters in either
/// case.
#[inline]
fn hash(bytes: u32) -> u16 {
    (bytes.wrapping_mul(0x9e37_79b1) >> 16) as u16
}

/// How rarely the last three of `four` occur in source code, in bits. Between words `_` is as common as a letter.
fn rareness(four: &[u8]) -> f32 {
    let three = four.get(1..).unwrap_or_default();
    let words = three.split(|byte| !byte.is_ascii_alphanumeric());
    let words = words
        .map(|word| rarity::bits_per_character(word) * word.len() as f32)
        .sum::<f32>();
    let between = |byte: &u8| match byte {
        b'_' => 5.0,
        byte if byte.is_ascii_alphanumeric() => 0.0,
        _ => 8.0,
    };
    words + three.iter().map(between).sum::<f32>()
}

/// The bytes that end at each of `chunk`'s, four at a time; `before` are the three that stand before it.
#[inline]
fn fours(before: u64, chunk: u64) -> [u32; CHUNK] {
    let joined = before | chunk << 24;
    [
        joined as u32,
        (joined >> 8) as u32,
        (joined >> 16) as u32,
        (joined >> 24) as u32,
        (joined >> 32) as u32,
        (chunk >> 16) as u32,
        (chunk >> 24) as u32,
        (chunk >> 32) as u32,
    ]
}

// === impl Table ===

impl Table {
    fn new() -> Self {
        Self(Box::new([0; WORDS]))
    }

    fn add(&mut self, hash: u16) {
        if let Some(word) = self.0.get_mut(usize::from(hash >> 6)) {
            *word |= 1 << (hash & 63);
        }
    }

    /// Whether the hash was added, in the lowest bit.
    #[inline]
    fn has(&self, hash: u16) -> u64 {
        let word = self.0.get(usize::from(hash >> 6)).copied();
        word.unwrap_or(0) >> (hash & 63)
    }
}

// === impl Keywords ===

impl Keywords {
    pub(crate) fn new(rules: &RuleSet) -> Result<Self, String> {
        let mut all: BTreeMap<Vec<u8>, Vec<Trigger>> = BTreeMap::new();
        let mut add = |text: &[u8], trigger| {
            let text = text.get(..LONGEST).unwrap_or(text).to_ascii_lowercase();
            let triggers = all.entry(text).or_default();
            if !triggers.contains(&trigger) {
                triggers.push(trigger);
            }
        };
        for (rule, index) in rules.rules.iter().zip(0u16..) {
            for (text, keyword) in rule.keywords.iter().zip(0u16..) {
                add(text.as_bytes(), Trigger::Rule { rule: index, keyword });
            }
        }
        add(b"\x1f\x8b\x08", Trigger::Compressed(Container::Gzip));
        add(b"PK\x03\x04", Trigger::Compressed(Container::Zip));
        add(b"\x28\xb5\x2f\xfd", Trigger::Compressed(Container::Zstd));
        for (line, flags) in ["\n", "\r\n"]
            .iter()
            .flat_map(|line| [1u8, 0x5e, 0x9c, 0xda].map(|flags| (line, flags)))
        {
            let text = [b"stream", line.as_bytes(), &[0x78, flags]].concat();
            add(&text, Trigger::Compressed(Container::Pdf));
        }
        let mut keywords = Self {
            three: Table::new(),
            only_three: Table::new(),
            four: Table::new(),
            noted: Vec::new(),
            entries: Vec::new(),
            short: Vec::new(),
            look_alikes: LookAlikes::new(),
        };
        for (text, triggers) in all {
            keywords.add(text, triggers)?;
        }
        keywords.noted.sort_unstable();
        Ok(keywords)
    }

    fn add(&mut self, text: Vec<u8>, triggers: Vec<Trigger>) -> Result<(), String> {
        let index = u16::try_from(self.entries.len()).map_err(|_| "there are more than 65535 keywords")?;
        let folded = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u32::from(byte | 0x20))
        };
        let rarest = text
            .windows(4)
            .enumerate()
            .max_by(|(_, a), (_, b)| rareness(a).total_cmp(&rareness(b)));
        let at = match (rarest, &text[..]) {
            (Some((at, four)), _) => {
                let four = folded(four);
                self.noted.push((hash(four >> 8), index));
                self.three.add(hash(four >> 8));
                self.four.add(hash(four));
                at + 1
            }
            (None, three @ [_, _, _]) => {
                let hash = hash(folded(three));
                self.noted.push((hash, index));
                self.three.add(hash);
                self.only_three.add(hash);
                0
            }
            _ if text.is_empty() => return Ok(()),
            _ => {
                self.short.push(index);
                0
            }
        };
        self.entries.push(Entry { text, at, triggers });
        Ok(())
    }

    /// Tells the keywords of `text` that end behind `fresh`: the start, the length and what to do. Stops when
    /// `tell` says so.
    pub(crate) fn scan(
        &self,
        text: &[u8],
        fresh: usize,
        mut tell: impl FnMut(usize, usize, Trigger) -> bool,
    ) {
        let from = fresh.saturating_sub(LONGEST);
        let part = text.get(from..).unwrap_or_default();
        let (chunks, rest) = part.as_chunks::<CHUNK>();
        let mut last = [0; CHUNK];
        for (slot, byte) in last.iter_mut().zip(rest) {
            *slot = *byte;
        }
        let tail = (!rest.is_empty()).then_some(&last);
        let mut before = 0;
        for (chunk, at) in chunks.iter().chain(tail).zip((from..).step_by(CHUNK)) {
            let chunk = u64::from_le_bytes(*chunk) | 0x2020_2020_2020_2020;
            let fours = fours(before, chunk);
            before = chunk >> 40;
            let any = fours
                .iter()
                .fold(0, |any, four| any | self.three.has(hash(four >> 8)));
            if any & 1 == 1 && !self.look(text, fresh, at, &fours, &mut tell) {
                return;
            }
        }
        for &index in &self.short {
            let Some(entry) = self.entries.get(usize::from(index)) else {
                continue;
            };
            for (at, here) in part.windows(entry.text.len()).enumerate() {
                if here.eq_ignore_ascii_case(&entry.text) && !entry.tell(from + at, fresh, &mut tell) {
                    return;
                }
            }
        }
    }

    /// `fours` end at the bytes from `at` on, of which one at least was noted.
    #[inline(never)]
    fn look(
        &self,
        text: &[u8],
        fresh: usize,
        at: usize,
        fours: &[u32; CHUNK],
        tell: &mut impl FnMut(usize, usize, Trigger) -> bool,
    ) -> bool {
        fours.iter().zip(at..).all(|(&four, last)| {
            let three = hash(four >> 8);
            self.three.has(three) & 1 == 0
                || (self.only_three.has(three) | self.four.has(hash(four))) & 1 == 0
                || last
                    .checked_sub(2)
                    .is_none_or(|at| self.compare(text, fresh, at, three, tell))
        })
    }

    fn compare(
        &self,
        text: &[u8],
        fresh: usize,
        at: usize,
        hash: u16,
        tell: &mut impl FnMut(usize, usize, Trigger) -> bool,
    ) -> bool {
        let first = self.noted.partition_point(|&(noted, _)| noted < hash);
        let same = self
            .noted
            .iter()
            .skip(first)
            .take_while(|&&(noted, _)| noted == hash);
        for &(_, index) in same {
            let Some(entry) = self.entries.get(usize::from(index)) else {
                continue;
            };
            let Some(start) = at.checked_sub(entry.at) else {
                continue;
            };
            let here = text.get(start..start + entry.text.len());
            if here.is_some_and(|here| here.eq_ignore_ascii_case(&entry.text))
                && !entry.tell(start, fresh, tell)
            {
                return false;
            }
        }
        true
    }

    /// Tells where `text` asks for a second reading, as far as that was not known before `fresh` came: the start,
    /// how many bytes later that is known if it could not be told at once, and the reading. Stops when `tell` says so.
    pub(crate) fn second(
        &self,
        text: &[u8],
        fresh: usize,
        survey: &Survey,
        mut tell: impl FnMut(usize, usize, Reading) -> bool,
    ) {
        for &at in &survey.escapes {
            let rest = text.get(at..).unwrap_or_default();
            let goes_on = match *rest {
                [b'"' | b'\'' | b'`', ..] => {
                    let joint = (at + 2 > fresh).then(|| splice::joint_before(text, at)).flatten();
                    joint.is_none_or(|before| tell(at - before, before + 2, Reading::Spliced))
                }
                [b'=', ..] => is_quoted_printable(text, at)
                    .is_none_or(|length| at + length <= fresh || tell(at, length, Reading::Quoted)),
                [b'\\', b'\n' | b'\r' | b'\\', ..] => splice::continued(text, at)
                    .is_none_or(|length| at + length <= fresh || tell(at, length, Reading::Spliced)),
                [first @ 0x80..=0xff, ..] => self
                    .look_alikes
                    .begins(first, rest)
                    .is_none_or(|length| at + length <= fresh || tell(at, 0, Reading::Unescaped)),
                _ => is_escape(rest)
                    .is_none_or(|length| at + length <= fresh || tell(at, 0, Reading::Unescaped)),
            };
            if !goes_on {
                return;
            }
        }
        for &at in &survey.quads {
            if at + QUADS * 4 > fresh && !tell(at, QUADS * 4, Reading::Quad) {
                return;
            }
        }
        for &at in &survey.wide {
            if at + WIDE * 2 > fresh && !tell(at, WIDE * 2, Reading::Narrow) {
                return;
            }
        }
    }

    /// Whether anything is found in `text`.
    pub(crate) fn any(&self, text: &[u8], survey: &Survey) -> bool {
        let mut any = false;
        self.second(text, 0, survey, |_, _, _| {
            any = true;
            false
        });
        if !any {
            self.scan(text, 0, |_, _, _| {
                any = true;
                false
            });
        }
        any
    }
}

// === impl Entry ===

impl Entry {
    fn tell(&self, start: usize, fresh: usize, tell: &mut impl FnMut(usize, usize, Trigger) -> bool) -> bool {
        start + self.text.len() <= fresh
            || self
                .triggers
                .iter()
                .all(|&trigger| tell(start, self.text.len(), trigger))
    }
}

#[cfg(test)]
mod tests;
