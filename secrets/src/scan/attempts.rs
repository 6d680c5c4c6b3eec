//! Trying rules where their keywords stand.
//!
//! A rule of our own is tried at the keyword, byte by byte, until its pattern matched or cannot match any more;
//! until then, and no longer, the bytes are held. A rule that came from elsewhere may match around its keyword:
//! it is tried on the line (or lines) when that is complete.

use super::text::Text;
use super::{Session, judge};
use crate::finding::DecodePath;
use crate::pattern::{Attempt, Outcome};
use std::ops::Range;

/// The most bytes that a match may have: more than any token format, and enough of a private key's text.
const LONGEST: u64 = 4096;
/// How far a rule from elsewhere sees before its keyword and behind it.
const LINE: u64 = 256;
const LINE_BEHIND: u64 = 1024;
/// The same for those whose matches go over lines: private keys.
const BLOCK_BEHIND: u64 = 16 << 10;

/// The tries that are under way, and what was found lately.
#[derive(Default)]
pub(crate) struct Attempts {
    live: Vec<Live>,
    /// Rule and end of each reported match, to try a rule only once on one text.
    matched: Vec<(u16, u64)>,
    /// The rule and the end of the stretch that a rule from elsewhere has seen or will see.
    seen: Vec<(u16, u64)>,
}

#[derive(Clone, Copy)]
struct Live {
    rule: u16,
    keyword: u16,
    start: u64,
    /// No further than this.
    until: u64,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The pattern, or the loose one, having read up to an offset.
    Anchored {
        attempt: Attempt,
        read: u64,
        loose: bool,
    },
    /// Waits for its line's end; the keyword is at this offset.
    Around { keyword_at: u64, block: bool },
}

// === impl Attempts ===

impl Attempts {
    /// Goes on with what was under way.
    pub(crate) fn go_on(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) {
        for live in std::mem::take(&mut self.live) {
            self.advance(session, text, path, live);
        }
        let old = text.offset(text.fresh).saturating_sub(LONGEST);
        self.matched.retain(|&(_, end)| end > old);
        self.seen.retain(|&(_, end)| end > old);
    }

    /// Tries a rule at a keyword.
    pub(crate) fn begin(
        &mut self,
        session: &mut Session<'_>,
        text: Text<'_>,
        path: DecodePath,
        (rule, keyword): (u16, u16),
        at: Range<usize>,
    ) {
        let Some(compiled) = session.rule(rule) else {
            return;
        };
        if !session.applies(rule) || !(compiled.rule.inside_words || starts_word(text.bytes, at.start)) {
            return;
        }
        let start = text.offset(at.start);
        if compiled.rule.around {
            self.begin_around(session, text, path, (rule, keyword), start);
            return;
        }
        if let Some(attempt) = compiled.strict.begin(text.bytes, at.start) {
            let stage = Stage::Anchored {
                attempt,
                read: start,
                loose: false,
            };
            let live = Live {
                rule,
                keyword,
                start,
                until: start + LONGEST,
                stage,
            };
            self.advance(session, text, path, live);
        }
    }

    fn begin_around(
        &mut self,
        session: &mut Session<'_>,
        text: Text<'_>,
        path: DecodePath,
        (rule, keyword): (u16, u16),
        keyword_at: u64,
    ) {
        if self
            .seen
            .iter()
            .any(|&(other, end)| other == rule && keyword_at < end)
        {
            return;
        }
        let block = session
            .rule(rule)
            .is_some_and(|compiled| compiled.rule.regex.contains("BEGIN"));
        let earliest = keyword_at.saturating_sub(LINE);
        let head = text.slice(text.index(earliest)..text.index(keyword_at));
        let line = head
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let start = text.offset(text.index(earliest) + line);
        let until = keyword_at + if block { BLOCK_BEHIND } else { LINE_BEHIND };
        let live = Live {
            rule,
            keyword,
            start,
            until,
            stage: Stage::Around { keyword_at, block },
        };
        self.advance(session, text, path, live);
    }

    fn advance(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath, live: Live) {
        match live.stage {
            Stage::Anchored { .. } => self.advance_anchored(session, text, path, live),
            Stage::Around { keyword_at, block } => {
                let from = text.index(keyword_at);
                let end = if block {
                    None
                } else {
                    text.from(from).iter().position(|&byte| byte == b'\n')
                };
                let end = end
                    .map_or(text.end(), |length| text.offset(from + length))
                    .min(live.until);
                if end == text.end() && end < live.until && !text.over {
                    self.live.push(live);
                } else {
                    self.seen.push((live.rule, end));
                    let range = text.index(live.start)..text.index(end);
                    judge::around(session, text, path, (live.rule, live.keyword), range);
                }
            }
        }
    }

    fn advance_anchored(
        &mut self,
        session: &mut Session<'_>,
        text: Text<'_>,
        path: DecodePath,
        mut live: Live,
    ) {
        while let Stage::Anchored { attempt, read, loose } = live.stage {
            if self
                .matched
                .iter()
                .any(|&(rule, end)| rule == live.rule && live.start < end)
            {
                return;
            }
            let Some(compiled) = session.rule(live.rule) else {
                return;
            };
            let anchor = match (&compiled.loose, loose) {
                (Some(anchor), true) => anchor,
                _ => &compiled.strict,
            };
            let bytes = text.slice(text.index(read)..text.index(live.until));
            let last = text.over || live.until <= text.end();
            let (outcome, steps) = anchor.go_on(attempt, bytes, read, last);
            if !session.budget.step(steps) {
                return;
            }
            match outcome {
                Outcome::Open(attempt) => {
                    live.stage = Stage::Anchored {
                        attempt,
                        read: text.end(),
                        loose,
                    };
                    self.live.push(live);
                    return;
                }
                Outcome::Over(Some(end)) => {
                    let range = text.index(live.start)..text.index(end);
                    if judge::anchored(session, text, path, (live.rule, live.keyword), range, loose) {
                        self.matched.push((live.rule, end));
                    }
                    return;
                }
                Outcome::Over(None) => {
                    let again = compiled.loose.as_ref().filter(|_| !loose);
                    let begun = again.and_then(|anchor| anchor.begin(text.bytes, text.index(live.start)));
                    let Some(attempt) = begun else { return };
                    live.stage = Stage::Anchored {
                        attempt,
                        read: live.start,
                        loose: true,
                    };
                }
            }
        }
    }

    /// From where bytes are still needed.
    pub(crate) fn needed_from(&self) -> Option<u64> {
        self.live.iter().map(|live| live.start).min()
    }

    /// From where bytes may be part of a match that is under way.
    pub(crate) fn hold_from(&self) -> Option<u64> {
        let from = |live: &Live| match live.stage {
            Stage::Anchored { .. } => live.start,
            Stage::Around { keyword_at, .. } => keyword_at,
        };
        self.live.iter().map(from).min()
    }
}

/// Whether a word may start at `at`: the byte before is no part of one, or is the end of an escape, whose last
/// letter only looks like one (`\nghp_…`, `%3Dghp_…`, `\u003dghp_…`).
pub(super) fn starts_word(text: &[u8], at: usize) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !text.get(at).is_some_and(|&byte| is_word(byte)) {
        return true;
    }
    let head = text.get(at.saturating_sub(6)..at).unwrap_or_default();
    match *head {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'0'] => true,
        [.., b'%', a, b] | [.., b'\\', b'x', a, b] | [b'\\', b'u', _, _, a, b]
            if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() =>
        {
            true
        }
        [.., last] => !is_word(last),
        [] => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_may_start_behind_an_escape() {
        for head in [
            "", " ", "=", "\\n", "a\\t", "%3D", "\\u003d", "\\x3d", "-", "%u ", "\\x ", "\\u00 ",
        ] {
            assert!(
                starts_word(format!("{head}word").as_bytes(), head.len()),
                "{head}"
            );
        }
        for head in ["a", "_", "9", "3D", "%zz", "u003d"] {
            assert!(
                !starts_word(format!("{head}word").as_bytes(), head.len()),
                "{head}"
            );
        }
        assert!(starts_word(b"a-----BEGIN", 1));
    }
}
