//! Scanning one stream for known values, chunk by chunk.
//!
//! The plain reading steps through the automaton byte by byte. Every other reading of the stream equals the
//! plain one until a byte that it reads differently (a `%`, a backslash, a line break within a possible
//! occurrence); from there it is kept apart, and given up again as soon as nothing that it has alive differs
//! from what the plain one has alive. Ordinary text is therefore one table look-up per byte.
//!
//! What must be held back follows from the automaton: the longest beginning of an occurrence that ends at the
//! last byte, in any reading, and not a byte more.

use super::automaton::{Automaton, ROOT};
use super::form::Reading;
use super::{Hit, KnownValues};
use crate::unescape::{self, Seen, Undo, Unescape};
use std::collections::VecDeque;
use std::ops::Range;

/// What stands before a line break holds it back only from this length on. The end of an event is a line break:
/// held for a chance likeness of two characters, it would keep its reader waiting.
const HELD_WRAP_DEPTH: usize = 8;

/// The readings besides the plain one. [`Reading::DoublePercent`] follows [`Reading::Percent`], which feeds it.
const OTHERS: [Reading; 5] = [
    Reading::Percent,
    Reading::DoublePercent,
    Reading::Escaped,
    Reading::Unwrapped,
    Reading::CaseFolded,
];

/// One reading that may have parted from the plain one.
struct View {
    reading: Reading,
    apart: bool,
    unescape: Unescape,
    track: Track,
}

/// Where a reading is in the automaton.
#[derive(Default)]
struct Track {
    state: u32,
    /// For each byte that is alive in `state`, where its raw form starts.
    starts: VecDeque<u64>,
    /// How many bytes since the last one that was not written as itself.
    literal: usize,
}

/// The scanner of one stream. Owns its state alone; the automaton is shared.
pub struct Stream {
    values: KnownValues,
    state: u32,
    position: u64,
    views: Box<[View; 5]>,
    /// How many views are apart.
    apart: usize,
    /// What [`Reading::Percent`] settled of the current byte, which [`Reading::DoublePercent`] reads next.
    settled: Vec<Seen>,
    hit: Option<Hit>,
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(values: KnownValues) -> Self {
        Self {
            values,
            state: ROOT,
            position: 0,
            views: Box::new(OTHERS.map(View::new)),
            apart: 0,
            settled: Vec::new(),
            hit: None,
        }
    }

    /// Reads the next bytes. Gives how many of the bytes read so far, counted from the last, may be the
    /// beginning of a value and must not leave yet. It may be more than `chunk` holds, never more than is held.
    ///
    /// # Errors
    /// A value ends in `chunk`: nothing that is held, and nothing of `chunk`, may leave. Once hit, always hit.
    pub fn push(&mut self, chunk: &[u8]) -> Result<usize, Hit> {
        let mut found = None;
        if self.hit.is_none() {
            self.read(chunk, |hit| {
                found = Some(hit);
                false
            });
        }
        self.hit = self.hit.take().or(found);
        self.hit.clone().map_or_else(|| Ok(self.hold()), Err)
    }

    /// The stream is over.
    ///
    /// # Errors
    /// A value ended with the last byte, which only now is known not to have begun an escape.
    pub fn finish(&mut self) -> Result<(), Hit> {
        let values = self.values.clone();
        let mut found = None;
        if self.hit.is_none() && self.apart > 0 {
            let mut report = |form, span| {
                found.get_or_insert_with(|| values.hit(form, span));
            };
            self.settled.clear();
            for view in self.views.iter_mut().filter(|view| view.apart) {
                if view.reading == Reading::DoublePercent {
                    for seen in self.settled.drain(..) {
                        view.feed(values.automaton(), seen, &mut report, None);
                    }
                }
                let settled = (view.reading == Reading::Percent).then_some(&mut self.settled);
                view.finish(values.automaton(), &mut report, settled);
            }
        }
        self.hit = self.hit.take().or(found);
        self.hit.clone().map_or(Ok(()), Err)
    }

    /// Reads `chunk` and reports every occurrence until `go_on` says no.
    pub(super) fn read(&mut self, chunk: &[u8], mut go_on: impl FnMut(Hit) -> bool) {
        let values = self.values.clone();
        let automaton = values.automaton();
        if automaton.is_empty() {
            return;
        }
        let mut rest = chunk;
        loop {
            if self.apart == 0 {
                let count = automaton.skip(&mut self.state, rest);
                self.position += count as u64;
                rest = rest.get(count..).unwrap_or_default();
            }
            let Some((&byte, tail)) = rest.split_first() else {
                return;
            };
            rest = tail;
            if self.apart == 0 && self.is_itself(automaton, byte, tail) {
                continue;
            }
            let mut proceed = true;
            self.look(automaton, byte, &mut |form, span| {
                proceed = proceed && go_on(values.hit(form, span));
            });
            if !proceed {
                return;
            }
        }
    }

    /// Steps over a byte that could begin an escape and, by what follows it, does not: in binary data that is nearly all
    /// that the fast loop stops at. No reading may be apart.
    fn is_itself(&mut self, automaton: &Automaton, byte: u8, tail: &[u8]) -> bool {
        let Some(&next) = tail.first() else { return false };
        if !unescape::stands_for_itself(byte, next) {
            return false;
        }
        let state = automaton.step(self.state, byte);
        let nothing_ends = automaton.outputs(state).next().is_none();
        if nothing_ends {
            self.state = state;
            self.position += 1;
        }
        nothing_ends
    }

    /// One byte, in all readings.
    fn look(&mut self, automaton: &Automaton, byte: u8, report: &mut Report<'_>) {
        let before = self.state;
        let seen = Seen {
            byte,
            start: self.position,
            end: self.position + 1,
            literal: true,
        };
        self.state = automaton.step(before, byte);
        self.position += 1;
        for form in automaton.outputs(self.state) {
            report(
                (form, Reading::Plain),
                seen.end.saturating_sub(form.length as u64)..seen.end,
            );
        }
        self.settled.clear();
        let mut percent_apart = false;
        for view in self.views.iter_mut() {
            let parts = match view.reading {
                Reading::DoublePercent => percent_apart,
                _ => view.parts(automaton, before, byte),
            };
            if !view.apart {
                if !parts {
                    continue;
                }
                view.part(automaton, before, seen.start);
                self.apart += 1;
            }
            match view.reading {
                Reading::Percent => {
                    percent_apart = true;
                    view.feed(automaton, seen, report, Some(&mut self.settled));
                }
                Reading::DoublePercent if percent_apart => {
                    for seen in self.settled.drain(..) {
                        view.feed(automaton, seen, report, None);
                    }
                }
                _ => view.feed(automaton, seen, report, None),
            }
        }
        self.rejoin(automaton);
    }

    /// Gives up the views that no longer differ.
    fn rejoin(&mut self, automaton: &Automaton) {
        let depth = automaton.depth(self.state) as usize;
        let mut percent_apart = false;
        for view in self.views.iter_mut().filter(|view| view.apart) {
            let track = &mut view.track;
            let same =
                track.state == self.state && track.literal >= depth && view.unescape.open_since().is_none();
            if same && !(view.reading == Reading::DoublePercent && percent_apart) {
                view.apart = false;
                track.starts.clear();
                self.apart -= 1;
            } else if view.reading == Reading::Percent {
                percent_apart = true;
            }
        }
    }

    /// How many trailing bytes are the beginning of a possible occurrence.
    fn hold(&self) -> usize {
        let automaton = self.values.automaton();
        let plain = self
            .position
            .saturating_sub(u64::from(automaton.depth(self.state)));
        let start = self
            .views
            .iter()
            .filter(|view| view.apart)
            .filter_map(View::alive_since)
            .fold(plain, u64::min);
        usize::try_from(self.position - start).unwrap_or(usize::MAX)
    }
}

/// Told of each occurrence and its span.
type Report<'a> = dyn FnMut((super::automaton::Form, Reading), Range<u64>) + 'a;

// === impl View ===

impl View {
    fn new(reading: Reading) -> Self {
        let undo = match reading {
            Reading::Plain | Reading::Percent | Reading::DoublePercent => Undo::Percent,
            Reading::Escaped => Undo::Json,
            Reading::Unwrapped => Undo::Unwrapped,
            Reading::CaseFolded => Undo::Case,
        };
        Self {
            reading,
            apart: false,
            unescape: Unescape::new(undo),
            track: Track::default(),
        }
    }

    /// Whether this reading, equal to the plain one in `state`, differs from it from `byte` on.
    fn parts(&self, automaton: &Automaton, state: u32, byte: u8) -> bool {
        match self.reading {
            Reading::CaseFolded => automaton.folds(state, byte),
            Reading::Unwrapped => automaton.unwraps(state, byte),
            _ => self.unescape.is_special(byte),
        }
    }

    fn part(&mut self, automaton: &Automaton, state: u32, position: u64) {
        self.apart = true;
        self.unescape.clear();
        let depth = automaton.depth(state);
        let track = &mut self.track;
        track.state = state;
        track.literal = depth as usize;
        track.starts.clear();
        track
            .starts
            .extend(position.saturating_sub(u64::from(depth))..position);
    }

    /// Reads one byte; what it settles also goes to `settled`.
    fn feed(
        &mut self,
        automaton: &Automaton,
        seen: Seen,
        report: &mut Report<'_>,
        mut settled: Option<&mut Vec<Seen>>,
    ) {
        let Self {
            reading,
            unescape,
            track,
            ..
        } = self;
        unescape.push(seen, |seen| {
            track.step(automaton, seen, *reading, report);
            if let Some(settled) = &mut settled {
                settled.push(seen);
            }
        });
    }

    fn finish(
        &mut self,
        automaton: &Automaton,
        report: &mut Report<'_>,
        mut settled: Option<&mut Vec<Seen>>,
    ) {
        let Self {
            reading,
            unescape,
            track,
            ..
        } = self;
        unescape.finish(|seen| {
            track.step(automaton, seen, *reading, report);
            if let Some(settled) = &mut settled {
                settled.push(seen);
            }
        });
    }

    /// Where the oldest byte is that this view may still need.
    fn alive_since(&self) -> Option<u64> {
        let starts = &self.track.starts;
        if self.reading == Reading::Unwrapped && starts.len() < HELD_WRAP_DEPTH {
            return None;
        }
        starts.front().copied().or(self.unescape.open_since())
    }
}

// === impl Track ===

impl Track {
    fn step(&mut self, automaton: &Automaton, seen: Seen, reading: Reading, report: &mut Report<'_>) {
        self.state = automaton.step(self.state, seen.byte);
        self.literal = if seen.literal { self.literal + 1 } else { 0 };
        self.starts.push_back(seen.start);
        let alive = automaton.depth(self.state) as usize;
        self.starts.drain(..self.starts.len().saturating_sub(alive));
        for form in automaton.outputs(self.state) {
            let first = self.starts.len().saturating_sub(form.length);
            let start = self.starts.get(first).copied().unwrap_or(seen.start);
            report((form, reading), start..seen.end);
        }
    }
}
