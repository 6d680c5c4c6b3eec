//! One layer of text: what was given, or what an encoding in it decodes to.
//!
//! A layer is pushed bytes and keeps those that it still needs: what a try under way has read, and some context
//! before. Each detector remembers by offset how far it has settled, so it does not matter where chunks end.

use super::attempts::Attempts;
use super::bare::{Bare, Kind};
use super::keyword::Trigger;
use super::numbers::Numbers;
use super::packed::Packed;
use super::radix::Radix;
use super::reading::Reading;
use super::runs::Runs;
use super::shadow::Shadow;
use super::text::Text;
use super::turned::Turned;
use super::words::Words;
use super::{Session, Survey, context::Engine};
use crate::finding::DecodePath;

/// Bytes before the position that are always kept: what a value is looked back from over its name, what an
/// escape's neighbourhood begins with, and what a wide character's does.
const CONTEXT: u64 = 320;

/// A text that is looked at a second time begins so few bytes before the place where that is known.
const SINGLE: usize = 12;

/// A finding may begin so much before the place where it was noticed: an account number before its digits.
const NAMES: u64 = 32;

/// What runs of characters are read as.
const RADICES: [Radix; 7] = [
    Radix::Base64,
    Radix::Hex,
    Radix::HexPairs,
    Radix::HexWords,
    Radix::Decimal,
    Radix::Octal,
    Radix::Base32,
];

/// A layer's state.
pub(crate) struct Layer {
    path: DecodePath,
    kept: Vec<u8>,
    base: u64,
    position: u64,
    attempts: Attempts,
    bare: [Bare; 2],
    numbers: Numbers,
    words: Words,
    runs: [Runs; RADICES.len()],
    shadows: [Shadow; Reading::ALL.len()],
    packed: Packed,
    turned: Turned,
}

// === impl Layer ===

impl Layer {
    pub(crate) fn new(path: DecodePath) -> Self {
        Self {
            path,
            kept: Vec::new(),
            base: 0,
            position: 0,
            attempts: Attempts::default(),
            bare: [Kind::Token, Kind::Hidden].map(Bare::new),
            numbers: Numbers::default(),
            words: Words::default(),
            runs: RADICES.map(Runs::new),
            shadows: Reading::ALL.map(Shadow::new),
            packed: Packed::default(),
            turned: Turned::default(),
        }
    }

    /// How many bytes were pushed.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Scans the next bytes; `over` says that none follow.
    pub(crate) fn push(&mut self, session: &mut Session<'_>, bytes: &[u8], over: bool) {
        let mut kept = std::mem::take(&mut self.kept);
        let fresh = kept.len();
        let text = if kept.is_empty() {
            bytes
        } else {
            kept.extend_from_slice(bytes);
            &kept
        };
        let mut survey = session.surveys.pop().unwrap_or_default();
        let from = usize::try_from(self.unsurveyed_from().saturating_sub(self.base)).unwrap_or(fresh);
        survey.look(text, from.min(fresh), fresh.saturating_sub(SINGLE));
        let text = Text {
            bytes: text,
            base: self.base,
            fresh,
            over,
            survey: &survey,
        };
        self.position = text.end();
        self.scan(session, text);
        let keep = text.index(self.needed_from());
        self.base = text.offset(keep);
        session.surveys.push(survey);
        self.kept = if fresh == 0 {
            bytes.get(keep..).unwrap_or_default().to_vec()
        } else {
            kept.drain(..keep);
            kept
        };
    }

    fn scan(&mut self, session: &mut Session<'_>, text: Text<'_>) {
        self.attempts.go_on(session, text, self.path);
        let engine = session.engine;
        engine
            .keywords
            .second(text.bytes, text.fresh, text.survey, |at, known, reading| {
                self.shadow(reading).touch(text.offset(at), known);
                true
            });
        engine
            .keywords
            .scan(text.bytes, text.fresh, |start, length, trigger| {
                let end = start + length;
                match trigger {
                    Trigger::Rule { rule, keyword } => {
                        self.attempts
                            .begin(session, text, self.path, (rule, keyword), start..end);
                    }
                    Trigger::Compressed(container) => {
                        self.packed.begin(container, text.offset(start)..text.offset(end));
                    }
                }
                !session.budget.is_exceeded()
            });
        if session.budget.is_exceeded() {
            return;
        }
        for bare in &mut self.bare {
            bare.scan(session, text, self.path, &mut self.attempts);
        }
        self.numbers.scan(session, text, self.path);
        self.words.scan(session, text, self.path);
        for runs in &mut self.runs {
            runs.scan(session, text, self.path);
        }
        self.packed.scan(session, text, self.path);
        self.turned.scan(session, text, self.path);
        // Last: what they see again was told before.
        for shadow in &mut self.shadows {
            shadow.scan(session, text, self.path);
        }
    }

    fn shadow(&mut self, reading: Reading) -> &mut Shadow {
        let [unescaped, narrow, quad, spliced, quoted] = &mut self.shadows;
        match reading {
            Reading::Unescaped => unescaped,
            Reading::Narrow => narrow,
            Reading::Quad => quad,
            Reading::Spliced => spliced,
            Reading::Quoted => quoted,
        }
    }

    /// From where bytes are still needed.
    pub(crate) fn needed_from(&self) -> u64 {
        self.unsettled_from().saturating_sub(CONTEXT)
    }

    /// From where runs are looked for.
    fn unsurveyed_from(&self) -> u64 {
        let own = [
            self.numbers.needed_from(),
            self.words.needed_from(),
            self.turned.needed_from(),
        ];
        let runs = self.runs.iter().map(Runs::needed_from);
        let bare = self.bare.iter().map(Bare::needed_from);
        own.into_iter()
            .chain(runs)
            .chain(bare)
            .flatten()
            .fold(self.position, u64::min)
    }

    /// From where bytes are to be looked at again.
    fn unsettled_from(&self) -> u64 {
        let own = [
            self.attempts.needed_from(),
            self.numbers.needed_from(),
            self.words.needed_from(),
            self.packed.needed_from(),
            self.turned.needed_from(),
        ];
        let runs = self.runs.iter().map(Runs::needed_from);
        let bare = self.bare.iter().map(Bare::needed_from);
        let shadows = self.shadows.iter().map(Shadow::needed_from);
        own.into_iter()
            .chain(runs)
            .chain(bare)
            .chain(shadows)
            .flatten()
            .fold(self.position, u64::min)
    }

    /// From where bytes must not leave: they may be part of a secret whose end was not seen.
    pub(crate) fn hold_from(&self) -> u64 {
        let own = [
            self.attempts.hold_from(),
            self.numbers.hold_from(),
            self.words.hold_from(),
            self.turned.hold_from(),
        ];
        let runs = self.runs.iter().map(Runs::hold_from);
        let shadows = self.shadows.iter().map(Shadow::hold_from);
        let all = own
            .into_iter()
            .chain(runs)
            .chain(shadows)
            .chain([self.packed.hold_from()]);
        all.flatten().fold(self.position, u64::min)
    }

    /// Where a finding that is yet to be told may begin at the earliest.
    pub(crate) fn earliest(&self) -> u64 {
        let runs = self.runs.iter().map(Runs::earliest);
        let shadows = self.shadows.iter().map(Shadow::earliest);
        let begun = runs
            .chain(shadows)
            .chain([self.words.earliest(), self.packed.earliest()]);
        begun
            .flatten()
            .fold(self.unsettled_from(), u64::min)
            .saturating_sub(NAMES)
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.hold_from() == self.position && self.runs.iter().all(Runs::is_idle) && self.packed.is_idle()
    }

    /// Whether `text`, all of a layer, can hold anything that a layer would look at. Far cheaper than one.
    pub(crate) fn is_worth_it(engine: &Engine, survey: &mut Survey, text: &[u8]) -> bool {
        survey.look(text, 0, 0);
        let text = Text {
            bytes: text,
            base: 0,
            fresh: 0,
            over: true,
            survey,
        };
        engine.keywords.any(text.bytes, survey)
            || Bare::is_worth_it(text)
            || Numbers::is_worth_it(text)
            || Words::is_worth_it(text)
            || Turned::is_worth_it(&engine.prefixes, text)
            || RADICES.iter().any(|&radix| Runs::is_worth_it(radix, text))
    }
}
