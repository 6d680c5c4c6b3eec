//! Numbers that name money or people: cards, bank accounts, US social security.
//!
//! No keyword leads to them. A stretch of digits, spaces and dashes does; each group of digits in it is tried as
//! the beginning of a number, and a checksum or the exact form decides. A bare card number is one of ten to look
//! right by chance, so it is only sure when it is written in groups or named.

use super::dump;
use super::survey::{self, number_end};
use super::text::{Text, run_end};
use super::{Session, name};
use crate::checksum::{Checksum, iban_length};
use crate::finding::DecodePath;
use crate::rule::{Confidence, Detector};
use std::ops::Range;

/// `123-45-6789` is the shortest stretch that is looked at.
const SHORTEST: usize = survey::NUMBERS;
/// No number has fewer digits in one stretch of that length.
const FEWEST_DIGITS: usize = 6;
/// No number is longer in any writing: 34 characters in groups of four.
const REACH: usize = 48;
/// An account number's letters stand at most so far before its digits: country, two digits, bank, branch.
const BEFORE: usize = 14;
/// The groups of a card number are at most so many, and the first is of four digits.
const GROUPS: usize = 5;
const FIRST_GROUP: usize = 4;
/// The shortest card numbers.
const FEWEST_OF_A_CARD: usize = 14;
/// Fewer digits at the end of a chunk are not held: numbers are everywhere.
const HELD_DIGITS: usize = 6;

/// How far a layer is settled.
#[derive(Default)]
pub(crate) struct Numbers {
    resume: u64,
    /// `resume` lies within a stretch that is long enough.
    within: bool,
    hold: Option<u64>,
}

/// The first stretch at or after `at` that is long enough; else where one begins that reaches the text's end.
fn find(text: Text<'_>, at: usize) -> Result<usize, usize> {
    let stretches = &text.survey.numbers;
    let first = stretches.partition_point(|stretch| stretch.end <= at);
    let rest = stretches.get(first..).unwrap_or_default().iter();
    let mut starts = rest.map(|stretch| (stretch.start.max(at), stretch.end));
    starts
        .find(|&(start, end)| end - start >= SHORTEST || end == text.len())
        .map_or(Err(text.len()), |(start, end)| {
            if end - start >= SHORTEST {
                Ok(start)
            } else {
                Err(start)
            }
        })
}

// === impl Numbers ===

impl Numbers {
    pub(crate) fn is_worth_it(text: Text<'_>) -> bool {
        find(text, 0).is_ok()
    }

    pub(crate) fn scan(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) {
        self.hold = None;
        loop {
            let mut at = text.index(self.resume);
            if !self.within {
                match find(text, at) {
                    Ok(start) => at = start,
                    Err(start) => {
                        self.resume = text.offset(start);
                        self.hold_back(text, start);
                        return;
                    }
                }
            }
            let end = number_end(text.bytes, at);
            if !self.within && (end < text.len() || text.over) {
                // Indentation and rulers.
                let digits = text.slice(at..end).iter().filter(|byte| byte.is_ascii_digit());
                if digits.count() < FEWEST_DIGITS {
                    self.resume = text.offset(end);
                    if end == text.len() {
                        return;
                    }
                    continue;
                }
            }
            self.within = true;
            while at < end {
                let group = text.get(at).is_some_and(|byte| byte.is_ascii_digit())
                    && !at
                        .checked_sub(1)
                        .and_then(|at| text.get(at))
                        .is_some_and(|byte| byte.is_ascii_digit());
                if group {
                    if !is_whole(text, at) {
                        self.resume = text.offset(at);
                        self.hold_back(text, at);
                        return;
                    }
                    at = try_at(session, text, path, at).unwrap_or(at);
                }
                at += 1;
            }
            self.resume = text.offset(at.min(text.len()));
            if end == text.len() {
                return;
            }
            self.within = false;
        }
    }

    /// Nothing from `start` on is settled, which may be a few digits with a number behind them: the text ends soon.
    fn hold_back(&mut self, text: Text<'_>, mut start: usize) {
        while start < text.len() {
            let end = number_end(text.bytes, start);
            let digits = text.slice(start..end).iter().filter(|byte| byte.is_ascii_digit());
            if digits.count() >= HELD_DIGITS {
                self.hold = Some(text.offset(start));
                return;
            }
            start = end.max(start + 1);
        }
    }

    pub(crate) fn needed_from(&self) -> Option<u64> {
        Some(self.resume)
    }

    pub(crate) fn hold_from(&self) -> Option<u64> {
        self.hold
    }
}

/// Whether all of a number that begins at or before `at` has come.
fn is_whole(text: Text<'_>, at: usize) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'-';
    let end = run_end(text.slice(0..at + REACH), at, is_inside);
    // A full stop is judged by what follows it.
    text.over
        || end >= at + REACH
        || text.get(end).is_some_and(|byte| byte != b'.')
        || text.get(end + 1).is_some()
}

/// Tries every kind of number at the group of digits at `at`; gives where one ended.
fn try_at(session: &mut Session<'_>, text: Text<'_>, path: DecodePath, at: usize) -> Option<usize> {
    let (detector, range, sure) = social_security(text, at)
        .map(|(range, sure)| (Detector::SocialSecurity, range, sure))
        .or_else(|| card(text, at).map(|(range, sure)| (Detector::Card, range, sure)))
        .or_else(|| iban(text, at).map(|range| (Detector::Iban, range, true)))?;
    let rule = session.engine.detector(detector)?;
    let confidence = session.rule(rule)?.rule.confidence.of(session.setting());
    let confidence = if sure {
        confidence
    } else {
        confidence.min(Confidence::Medium)
    };
    let span = text.offset(range.start)..text.offset(range.end);
    session.report((rule, 0), confidence, span, path, text.slice(range.clone()));
    Some(range.end)
}

/// Whether the byte at an index is no part of a number or word.
fn is_edge(byte: Option<u8>) -> bool {
    !byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
}

fn starts_alone(text: Text<'_>, at: usize) -> bool {
    let before = text.slice(at.saturating_sub(3)..at);
    match *before {
        // The hexadecimal digits of an escape are no number's.
        [b'%', _, _] => true,
        [.., last] => is_edge(Some(last)) && last != b'-',
        [] => true,
    }
}

fn ends_alone(text: Text<'_>, at: usize) -> bool {
    match text.get(at) {
        // A full stop ends a sentence, or goes on with a number.
        Some(b'.') => !text.get(at + 1).is_some_and(|byte| byte.is_ascii_alphanumeric()),
        Some(b'-') => !text.get(at + 1).is_some_and(|byte| byte.is_ascii_digit()),
        other => is_edge(other),
    }
}

/// Whether the name before `at` has one of `parts`.
fn is_named(text: Text<'_>, at: usize, parts: &[&str]) -> bool {
    let near = text.slice(at.saturating_sub(32)..at).to_ascii_lowercase();
    let near = String::from_utf8_lossy(&near);
    let named = name::before(text.bytes, at).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
    parts
        .iter()
        .any(|part| near.contains(part) || named.as_ref().is_some_and(|name| name.contains(part)))
}

fn social_security(text: Text<'_>, at: usize) -> Option<(Range<usize>, bool)> {
    let number = text.slice(at..at + 11);
    let form = number.iter().enumerate().all(|(index, byte)| match index {
        3 | 6 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let [area @ .., _, _, _, _, _, _, _, _] = number else {
        return None;
    };
    // Never issued: 000, 666, 9xx; group 00; serial 0000.
    let issued = !matches!(area, b"000" | b"666" | [b'9', ..])
        && number.get(4..6) != Some(b"00")
        && number.get(7..) != Some(b"0000");
    let alone = || starts_alone(text, at) && ends_alone(text, at + 11);
    (number.len() == 11 && form && issued && alone())
        .then(|| (at..at + 11, is_named(text, at, &["ssn", "social", "taxpayer"])))
}

fn card(text: Text<'_>, at: usize) -> Option<(Range<usize>, bool)> {
    if !starts_alone(text, at) {
        return None;
    }
    let window = text.slice(at..at + REACH);
    let mut groups = [0; GROUPS];
    let (mut count, mut end, mut digits) = (0, 0, 0);
    let separator = window
        .iter()
        .find(|byte| !byte.is_ascii_digit())
        .copied()
        .filter(|byte| b" -".contains(byte));
    loop {
        let length = window
            .iter()
            .skip(end)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let group = groups.get_mut(count)?;
        if length == 0 || count == 0 && length != FIRST_GROUP && length < FEWEST_OF_A_CARD {
            return None;
        }
        *group = length;
        count += 1;
        (end, digits) = (end + length, digits + length);
        let whole = window.get(..end)?;
        let grouped = matches!(
            groups.get(..count)?,
            [4, 4, 4, 4] | [4, 6, 5] | [4, 4, 4, 4, 3] | [4, 6, 4]
        );
        if (count == 1 || grouped)
            && digits >= FEWEST_OF_A_CARD
            && ends_alone(text, at + end)
            && Checksum::Card.holds(whole)
        {
            let named = is_named(
                text,
                at,
                &[
                    "card", "pan", "cc", "credit", "debit", "visa", "master", "amex", "payment",
                ],
            );
            let range = at..at + end;
            let sure = (named || grouped) && !dump::is_text(text, &range);
            return Some((range, sure));
        }
        if digits > 19 || window.get(end).copied() != separator || separator.is_none() {
            return None;
        }
        end += 1;
    }
}

fn iban(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    (at.saturating_sub(BEFORE)..at).find_map(|start| {
        if !text.get(start)?.is_ascii_alphabetic() {
            return None;
        }
        let head: [u8; 4] = text.slice(start..start + 4).try_into().ok()?;
        let [a, b, c, d] = head.map(|byte| byte.to_ascii_uppercase());
        let begins =
            a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_digit() && d.is_ascii_digit();
        if !begins || !is_edge(start.checked_sub(1).and_then(|at| text.get(at))) {
            return None;
        }
        let length = iban_length(&[a, b])?;
        let (mut end, mut count) = (start, 0);
        while count < length {
            let byte = text.get(end)?;
            let next = text.get(end + 1);
            match byte {
                b' ' | b'-' if next.is_some_and(|byte| byte.is_ascii_alphanumeric()) => {}
                byte if byte.is_ascii_alphanumeric() => count += 1,
                _ => return None,
            }
            end += 1;
        }
        let number = text.slice(start..end);
        (!text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric()) && Checksum::Iban.holds(number))
            .then_some(start..end)
    })
}
