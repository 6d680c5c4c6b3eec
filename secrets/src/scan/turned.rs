//! Tokens that are written from the last character to the first, or with their letters moved by thirteen.
//!
//! No keyword stands in them as it is. But a token is a run of characters of its own, so it is enough to look at the two ends of
//! each long run: one that ends in a token's beginning turned round, or begins with it moved, is read so and scanned.

use super::child::Child;
use super::text::Text;
use super::{Session, survey};
use crate::byte_class;
use crate::finding::{DecodePath, Decoding};
use crate::rot13::rot13;
use std::ops::Range;

/// The shortest run that is looked at: the shortest tokens have as many characters.
const SHORTEST: usize = survey::TOKENS;
/// A longer run is no token.
const LONGEST: usize = 512;
/// Nor is a run with slashes a path with one.
const LONGEST_RUN: usize = 2048;
/// Characters of a token's beginning.
pub(crate) const PREFIX: usize = 4;

/// What tokens begin with.
pub(crate) struct Prefixes {
    /// Ascending.
    all: Vec<[u8; PREFIX]>,
    /// The first two characters of each, a bit for each pair: nearly every run is done with here.
    pairs: Box<[u64; PAIRS]>,
}

/// 65,536 bits.
const PAIRS: usize = 1024;

/// How far a layer is settled.
#[derive(Default)]
pub(crate) struct Turned {
    resume: u64,
    /// The end of a run that goes on.
    hold: Option<u64>,
}

// === impl Prefixes ===

impl Prefixes {
    pub(crate) fn new(prefixes: impl Iterator<Item = [u8; PREFIX]>) -> Self {
        let mut all: Vec<[u8; PREFIX]> = prefixes.collect();
        all.sort_unstable();
        all.dedup();
        let mut pairs = Box::new([0; PAIRS]);
        for &[first, second, ..] in &all {
            if let Some(word) = pairs.get_mut(usize::from(first) << 2 | usize::from(second >> 6)) {
                *word |= 1 << (second & 63);
            }
        }
        Self { all, pairs }
    }

    #[inline]
    fn has(&self, prefix: [u8; PREFIX]) -> bool {
        let [first, second, ..] = prefix;
        let word = self.pairs.get(usize::from(first) << 2 | usize::from(second >> 6));
        word.is_some_and(|word| word >> (second & 63) & 1 == 1) && self.all.binary_search(&prefix).is_ok()
    }

    /// Whether `part` ends in one turned round, or begins with one moved.
    #[inline]
    fn fit(&self, part: &[u8]) -> Option<Way> {
        let head: &[u8; PREFIX] = part.first_chunk()?;
        let &[d, c, b, a] = part.last_chunk()?;
        if self.has([a, b, c, d]) {
            Some(Way::Round)
        } else if self.has(head.map(rot13)) {
            Some(Way::Moved)
        } else {
            None
        }
    }
}

/// How a token was turned.
enum Way {
    Round,
    Moved,
}

// === impl Turned ===

impl Turned {
    /// Whether a run of `text`, all of a layer, is a token that was turned.
    pub(crate) fn is_worth_it(prefixes: &Prefixes, text: Text<'_>) -> bool {
        text.survey
            .tokens
            .iter()
            .any(|run| turns(prefixes, text.slice(run.clone())).is_some())
    }

    pub(crate) fn scan(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) {
        self.hold = None;
        let mut at = text.index(self.resume);
        let first = text.survey.tokens.partition_point(|run| run.end <= at);
        for run in text.survey.tokens.get(first..).unwrap_or_default() {
            // A run that was too long when it had not ended goes on here.
            let start = run.start.max(at);
            if run.end == text.len() && !text.over {
                if run.end - start > LONGEST {
                    break;
                }
                self.resume = text.offset(start);
                if run.end - start >= SHORTEST {
                    self.hold = Some(text.offset(run.end - PREFIX));
                }
                return;
            }
            let whole = start == run.start && !starts_inside(text, start);
            let head = text.slice(start.saturating_sub(1)..start + 2);
            let start = start + super::bare::escaped(head);
            let found = text.slice(start..run.end);
            if whole && let Some(turned) = turns(&session.engine.prefixes, found) {
                read(session, &turned, text.offset(start)..text.offset(run.end), path);
            }
            at = run.end;
        }
        self.resume = text.end();
    }

    pub(crate) fn needed_from(&self) -> Option<u64> {
        Some(self.resume)
    }

    pub(crate) fn hold_from(&self) -> Option<u64> {
        self.hold
    }
}

/// Whether a run at `start` goes on with one that was given up.
fn starts_inside(text: Text<'_>, start: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    before.is_some_and(is_part)
}

fn is_part(byte: u8) -> bool {
    byte_class::is(byte, byte_class::BASE64 | byte_class::BARE)
}

/// The token that `run` is, turned back.
#[inline]
fn turns(prefixes: &Prefixes, run: &[u8]) -> Option<Vec<u8>> {
    if !(SHORTEST..=LONGEST_RUN).contains(&run.len()) {
        return None;
    }
    // A full stop ends a sentence, and a slash a part of a path.
    if run.last() != Some(&b'.') && !run.contains(&b'/') {
        return turned(prefixes, run);
    }
    run.split(|&byte| byte == b'/')
        .find_map(|part| turned(prefixes, part.strip_suffix(b".").unwrap_or(part)))
}

#[inline]
fn turned(prefixes: &Prefixes, part: &[u8]) -> Option<Vec<u8>> {
    let way = prefixes.fit(part)?;
    (SHORTEST..=LONGEST).contains(&part.len()).then(|| match way {
        Way::Round => part.iter().rev().copied().collect(),
        Way::Moved => part.iter().map(|&byte| rot13(byte)).collect(),
    })
}

/// Scans what a run says. Where in it a finding is, is not told: it is all of it.
fn read(session: &mut Session<'_>, turned: &[u8], run: Range<u64>, path: DecodePath) {
    let Some(path) = path.and(Decoding::Turned) else {
        return;
    };
    let mut child = Child::new(path, (0, 1));
    child.push(session, turned, run);
    child.finish(session);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Scanner, Setting};

    /// A GitHub token, put together so that this file holds none.
    fn token() -> String {
        format!("ghp_{}", "q7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXo")
    }

    fn turned() -> [String; 2] {
        [
            token().chars().rev().collect(),
            token().bytes().map(|byte| char::from(rot13(byte))).collect(),
        ]
    }

    #[test]
    fn a_turned_token_is_found_wherever_it_stands() {
        let scanner = Scanner::built_in().unwrap();
        for turned in turned() {
            for text in [
                turned.clone(),
                format!("it is {turned}."),
                format!("x=\"{turned}\";"),
                format!("/collect/{turned}/x"),
                format!("a\\n{turned}\\n"),
            ] {
                let findings = scanner
                    .scan(text.as_bytes(), &Options::new(Setting::Traffic))
                    .unwrap();
                assert!(findings.iter().any(crate::Finding::blocks), "{text}");
            }
        }
    }

    #[test]
    fn the_end_of_a_turned_token_has_not_left_when_it_is_told() {
        let scanner = Scanner::built_in().unwrap();
        for turned in turned() {
            let text = format!("it is {turned} as you asked");
            for size in 1..text.len() {
                let mut stream = scanner.stream(&Options::new(Setting::Traffic));
                let (mut findings, mut left, mut read) = (Vec::new(), 0, 0);
                for chunk in text.as_bytes().chunks(size) {
                    let hold = stream.push(chunk, &mut findings).unwrap();
                    if !findings.is_empty() {
                        break;
                    }
                    read += chunk.len();
                    left = read - hold;
                }
                assert_eq!(findings.len(), 1, "{size}");
                assert!(left < 6 + turned.len(), "{size}");
            }
        }
    }

    #[test]
    fn a_run_that_is_too_long_is_given_up() {
        let scanner = Scanner::built_in().unwrap();
        let [reversed, _] = turned();
        let text = format!("{}{reversed} ", "a".repeat(5000));
        let mut stream = scanner.stream(&Options::new(Setting::Traffic));
        let mut findings = Vec::new();
        for chunk in text.as_bytes().chunks(100) {
            stream.push(chunk, &mut findings).unwrap();
        }
        stream.finish(&mut findings).unwrap();
        assert_eq!(findings, []);
    }
}
