//! The one pass over every byte, for all that makes the scanner look closer.
//!
//! Of every keyword three neighbouring bytes are noted that are rare in ordinary text. Three bytes of a text are
//! hashed to one bit of a table that fits the innermost cache: no step waits for the one before, and the table
//! does not grow with the rules, which is what makes it several times faster than an automaton. Where the bit is
//! set the keywords are compared. Every keyword that stands somewhere is told, also within another's match.
//!
//! Escapes, characters that look like others and wide characters are many and short: they are looked for in
//! blocks, by tests that compilers turn into vector instructions.

use crate::byte_table::ByteTable;
use crate::normalise;
use crate::rarity;
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

/// What makes a second reading worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// Escapes or look-alikes.
    Escape,
    /// Characters with a NUL beside each.
    Wide,
}

pub(crate) struct Keywords {
    bits: Box<[u64; WORDS]>,
    /// Hashes of noted bytes with their entries, ascending.
    noted: Vec<(u16, u16)>,
    entries: Vec<Entry>,
    /// Of one or two characters, which only rules from elsewhere have.
    short: Vec<u16>,
    look_alikes: LookAlikes,
}

/// The beginnings of characters that are read a second time, of one to three bytes.
struct LookAlikes {
    /// By first byte, a bit for each second byte (less 0x80): with it the beginning is complete.
    whole: ByteTable<u64>,
    /// The same, when a third byte decides.
    begun: ByteTable<u64>,
    three: Vec<[u8; 3]>,
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
/// Of a longer keyword the beginning is looked for.
pub(crate) const LONGEST: usize = 64;
/// So many characters beside NULs are UTF-16; fewer occur in binary files.
const WIDE: usize = 6;
/// Bytes that are tested at once.
const BLOCK: usize = 64;

/// The hash of three bytes, letters in either case.
#[inline]
fn hash(three: u32) -> u16 {
    ((three | 0x0020_2020).wrapping_mul(0x9e37_79b1) >> 16) as u16
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
            bits: Box::new([0; WORDS]),
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
        let rarest = text.windows(3).enumerate().max_by(|(_, a), (_, b)| {
            let (a, b) = (rarity::bits_per_character(a), rarity::bits_per_character(b));
            a.total_cmp(&b)
        });
        let at = match rarest {
            Some((at, &[a, b, c])) => {
                let hash = hash(u32::from_le_bytes([a, b, c, 0]));
                self.noted.push((hash, index));
                if let Some(word) = self.bits.get_mut(usize::from(hash >> 6)) {
                    *word |= 1 << (hash & 63);
                }
                at
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

    #[inline]
    fn is_noted(&self, hash: u16) -> bool {
        let word = self.bits.get(usize::from(hash >> 6) % WORDS).copied();
        word.unwrap_or(0) >> (hash & 63) & 1 == 1
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
        if let [a, b, rest @ ..] = part {
            let mut three = u32::from(*a) << 8 | u32::from(*b) << 16;
            for (&byte, at) in rest.iter().zip(from..) {
                three = three >> 8 | u32::from(byte) << 16;
                let hash = hash(three);
                if self.is_noted(hash) && !self.compare(text, fresh, at, hash, &mut tell) {
                    return;
                }
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

    #[inline(never)]
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

    /// Tells where `text` asks for a second reading, as far as that was not known before `fresh` came. Stops when
    /// `tell` says so.
    pub(crate) fn second(
        &self,
        text: &[u8],
        fresh: usize,
        mut tell: impl FnMut(usize, usize, Second) -> bool,
    ) {
        let mut at = fresh.saturating_sub(WIDE * 2);
        while at < text.len() {
            let block = text.get(at..text.len().min(at + BLOCK)).unwrap_or_default();
            let next = text.get(at + 1..).unwrap_or_default();
            let Asks { escape, high, nul } = Asks::of(block, next);
            if escape | high | nul != 0 {
                for here in at..at + block.len() {
                    let rest = text.get(here..).unwrap_or_default();
                    let found = match *rest {
                        [first @ 0x80..=0xff, ..] => self
                            .look_alikes
                            .begins(first, rest)
                            .map(|length| (Second::Escape, length)),
                        [_, 0, ..] if nul != 0 => is_wide(rest).then_some((Second::Wide, WIDE * 2)),
                        [b'%' | b'\\' | b'&', ..] if escape != 0 => {
                            is_escape(rest).map(|length| (Second::Escape, length))
                        }
                        _ => None,
                    };
                    if let Some((second, length)) = found
                        && here + length > fresh
                        && !tell(here, length, second)
                    {
                        return;
                    }
                }
            }
            at += BLOCK;
        }
    }

    /// Whether anything is found in `text`.
    pub(crate) fn any(&self, text: &[u8]) -> bool {
        let mut any = false;
        self.second(text, 0, |_, _, _| {
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

/// A character that text in UTF-16 is made of.
fn is_seen(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')
}

/// Whether `text` begins with characters in UTF-16.
fn is_wide(text: &[u8]) -> bool {
    let pairs = text.get(..WIDE * 2).map(|text| text.as_chunks::<2>().0);
    pairs.is_some_and(|pairs| pairs.iter().all(|&[byte, nul]| nul == 0 && is_seen(byte)))
}

/// Whether `text` begins with an escape, and the length that makes it one.
fn is_escape(text: &[u8]) -> Option<usize> {
    match *text {
        [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => Some(3),
        [b'\\', b'u' | b'x' | b'/', ..] | [b'&', b'#', ..] => Some(2),
        _ => None,
    }
}

/// What a block may have that asks for a second reading.
struct Asks {
    escape: u8,
    high: u8,
    nul: u8,
}

impl Asks {
    /// `next` is what follows each byte of `block`. Every byte is looked at, so that many are at once.
    #[inline]
    fn of(block: &[u8], next: &[u8]) -> Self {
        let (mut escape, mut nul) = (0, 0);
        for (&byte, &next) in block.iter().zip(next) {
            let letter = next | 0x20;
            let percent = (byte == b'%') & (next.is_ascii_digit() | (b'a'..=b'f').contains(&letter));
            let backslash = (byte == b'\\') & ((next == b'u') | (next == b'x') | (next == b'/'));
            let reference = (byte == b'&') & (next == b'#');
            escape |= u8::from(percent | backslash | reference);
            nul |= u8::from((next == 0) & (byte != 0));
        }
        let high = block.iter().fold(0, |high, &byte| high | byte & 0x80);
        Self { escape, high, nul }
    }
}

// === impl LookAlikes ===

impl LookAlikes {
    fn new() -> Self {
        let mut all = Self {
            whole: ByteTable::new(0),
            begun: ByteTable::new(0),
            three: Vec::new(),
        };
        for text in normalise::triggers() {
            match text[..] {
                [first] => all.whole.set(first, u64::MAX),
                [first, second] => all.whole.set(first, all.whole.get(first) | bit(second)),
                [first, second, third, ..] => {
                    all.begun.set(first, all.begun.get(first) | bit(second));
                    all.three.push([first, second, third]);
                }
                [] => {}
            }
        }
        all
    }

    /// Whether `text`, whose first byte is `first`, begins with one, and how long it is.
    #[inline]
    fn begins(&self, first: u8, text: &[u8]) -> Option<usize> {
        let second = bit(*text.get(1)?);
        if self.whole.get(first) & second != 0 {
            return Some(2);
        }
        let three = text.get(..3).filter(|_| self.begun.get(first) & second != 0)?;
        self.three.iter().any(|known| known == three).then_some(3)
    }
}

/// The bit of a character's second byte.
fn bit(second: u8) -> u64 {
    match second {
        0x80..=0xbf => 1 << (second & 63),
        _ => 0,
    }
}

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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(keywords: &Keywords, text: &[u8], cut: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (end, fresh) in [(cut, 0), (text.len(), cut)] {
            keywords.scan(&text[..end], fresh, |start, length, _| {
                found.push((start, length));
                true
            });
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    proptest! {
        #[test]
        fn every_keyword_is_told_wherever_the_text_is_cut(
            parts in prop::collection::vec(
                prop::sample::select(vec!["ghp_", "GHP_", "token", "secret", "sk-", "AKIA", "a", "_", " ", "gh", "p_", "-----BEGIN"]),
                0..12,
            ),
            cut in 0usize..80,
        ) {
            let rules = RuleSet::built_in().unwrap();
            let keywords = Keywords::new(&rules).unwrap();
            let text = parts.concat();
            let cut = cut.min(text.len());
            let lower = text.to_ascii_lowercase();
            let mut expected: Vec<(usize, usize)> = rules
                .rules
                .iter()
                .flat_map(|rule| &rule.keywords)
                .map(|keyword| keyword.to_ascii_lowercase())
                .flat_map(|keyword| {
                    let lower = &lower;
                    (0..lower.len())
                        .filter(|&at| lower[at..].starts_with(&keyword))
                        .map(|at| (at, keyword.len()))
                        .collect::<Vec<_>>()
                })
                .collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(found(&keywords, text.as_bytes(), cut), expected);
        }
    }
}
