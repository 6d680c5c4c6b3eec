//! A second reading of the neighbourhood of escapes.
//!
//! Where an escape stands, the text around it is scanned again with all escapes undone: a little of what is
//! before, for the names and beginnings that stand there, and what is behind, as long as more escapes come or
//! something is under way. Text without escapes is read once.

use super::Session;
use super::child::Child;
use super::reading::{Reading, Undoing};
use super::text::Text;
use crate::finding::DecodePath;
use crate::unescape::Seen;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes before an escape and behind it that are read with it.
const BEFORE: u64 = 128;
const BEHIND: u64 = 256;
/// The same where one place is one sign: what goes on behind it is read as long as something is under way.
const BEHIND_ONE: u64 = 48;
/// How much further is read while something is under way.
const STEP: u64 = 64;
/// The longest text that makes a neighbourhood, and some: a touch is known when so much behind it has come.
const TRIGGER: u64 = 32;

/// The second reading of a layer.
pub(crate) struct Shadow {
    reading: Reading,
    /// What is to be read, ascending and apart.
    stretches: VecDeque<Stretch>,
    /// Within stretches, what was not read before an escape behind it was known, ascending.
    gaps: VecDeque<Range<u64>>,
    open: Option<Open>,
}

#[derive(Clone, Copy)]
struct Stretch {
    start: u64,
    /// Where it was known that there is an escape.
    escape: u64,
    end: u64,
}

struct Open {
    child: Child,
    undoing: Undoing,
    read: u64,
    escape: u64,
}

// === impl Shadow ===

impl Shadow {
    pub(crate) fn new(reading: Reading) -> Self {
        Self {
            reading,
            stretches: VecDeque::new(),
            gaps: VecDeque::new(),
            open: None,
        }
    }

    /// There is an escape at `offset`, which was known `known` bytes later.
    pub(crate) fn touch(&mut self, offset: u64, known: usize) {
        let behind = match self.reading {
            Reading::Unescaped | Reading::Narrow | Reading::Quad => BEHIND,
            Reading::Spliced | Reading::Quoted => BEHIND_ONE + known as u64,
        };
        let (start, end) = (offset.saturating_sub(BEFORE), offset + behind);
        match self.stretches.back_mut() {
            Some(last) if start <= last.end => {
                let escape = offset + known as u64;
                if last.end < escape {
                    self.gaps.push_back(last.end..escape);
                }
                last.end = last.end.max(end);
            }
            _ => self.stretches.push_back(Stretch {
                start,
                escape: offset + known as u64,
                end,
            }),
        }
    }

    pub(crate) fn scan(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) {
        if self.stretches.is_empty() {
            return;
        }
        let Some(path) = path.and(self.reading.decoding()) else {
            self.stretches.clear();
            return;
        };
        while let Some(&Stretch { start, escape, end }) = self.stretches.front() {
            let mut open = self.open.take().unwrap_or_else(|| Open {
                child: Child::new(path, (1, 1)),
                undoing: self.reading.begin(),
                read: start,
                escape,
            });
            let until = end.min(text.end());
            self.read_on(session, text, &mut open, until);
            let earliest = open.child.earliest();
            while self.gaps.front().is_some_and(|gap| gap.end <= earliest) {
                self.gaps.pop_front();
            }
            if session.budget.is_exceeded() {
                self.stretches.clear();
                return;
            }
            if until < end && !text.over {
                self.open = Some(open);
                return;
            }
            if !text.over && !open.is_idle() {
                self.open = Some(open);
                self.lengthen(end + STEP);
                continue;
            }
            // Whether more escapes join this stretch is known when there is a next one, which must not wait: nothing
            // of it is held before it is read. Else when nothing that would join can still come.
            let is_last = self.stretches.len() == 1;
            if !text.over && is_last && text.end() < end + BEFORE + TRIGGER {
                self.open = Some(open);
                return;
            }
            open.finish(session, &self.gaps);
            self.stretches.pop_front();
        }
    }

    /// Reads up to `until`. A gap begins only where nothing was under way when its first byte was read: what goes on,
    /// as a run of digits does, is this reading's alone, however much of the text was there when the escape behind it
    /// was known.
    fn read_on(&mut self, session: &mut Session<'_>, text: Text<'_>, open: &mut Open, until: u64) {
        let mut index = 0;
        while let Some(gap) = self.gaps.get(index).cloned().filter(|gap| gap.start <= until) {
            if gap.start >= open.read {
                open.read(session, text, gap.start, &self.gaps);
                if !open.is_idle() {
                    let later = gap.end.min(gap.start + STEP);
                    if let Some(gap) = self.gaps.get_mut(index) {
                        gap.start = later;
                    }
                    if later < gap.end {
                        continue;
                    }
                }
            }
            index += 1;
        }
        open.read(session, text, until, &self.gaps);
    }

    /// Moves the end of the first stretch, over the next one if need be.
    fn lengthen(&mut self, mut end: u64) {
        while let Some(&next) = self.stretches.get(1)
            && next.start <= end
        {
            if end < next.escape {
                let index = self.gaps.partition_point(|gap| gap.start < end);
                self.gaps.insert(index, end..next.escape);
            }
            end = end.max(next.end);
            self.stretches.remove(1);
        }
        if let Some(first) = self.stretches.front_mut() {
            first.end = end;
        }
    }

    pub(crate) fn needed_from(&self) -> Option<u64> {
        let next = self.stretches.front().map(|stretch| stretch.start);
        self.open.as_ref().map(|open| open.read).or(next)
    }

    pub(crate) fn earliest(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.child.earliest())
    }

    pub(crate) fn hold_from(&self) -> Option<u64> {
        let open = self.open.as_ref()?;
        open.child
            .hold_from()
            .into_iter()
            .chain(open.undoing.open_since())
            .min()
    }
}

// === impl Open ===

impl Open {
    fn read(&mut self, session: &mut Session<'_>, text: Text<'_>, until: u64, gaps: &VecDeque<Range<u64>>) {
        let mut decoded = Decoded::default();
        let raw = text.slice(text.index(self.read)..text.index(until));
        let seen = (self.read..).zip(raw).map(|(offset, &byte)| Seen {
            byte,
            start: offset,
            end: offset + 1,
            literal: true,
        });
        // Asked once, not for each byte.
        match &mut self.undoing {
            Undoing::Unescape(unescape) => {
                seen.for_each(|seen| unescape.push(seen, |seen| decoded.push(seen)))
            }
            other => seen.for_each(|seen| other.push(seen, &mut |seen| decoded.push(seen))),
        }
        self.read = until.max(self.read);
        self.push(session, decoded, gaps);
    }

    /// What ends before the first escape, or is in a gap, was for the first reading to find: told now, it would be
    /// told late.
    fn push(&mut self, session: &mut Session<'_>, decoded: Decoded, gaps: &VecDeque<Range<u64>>) {
        let before = session.found.len();
        let points = decoded.points.into_iter();
        self.child.push_mapped(session, &decoded.bytes, points, self.read);
        let mut index = 0;
        session.found.retain(|raw| {
            index += 1;
            let gap = gaps
                .partition_point(|gap| gap.start <= raw.span.start)
                .checked_sub(1)
                .and_then(|index| gaps.get(index));
            let late = raw.span.end <= self.escape || gap.is_some_and(|gap| raw.span.end <= gap.end);
            index <= before || !late || raw.decoded.has_container()
        });
    }

    fn is_idle(&self) -> bool {
        self.undoing.open_since().is_none() && self.child.is_idle()
    }

    fn finish(&mut self, session: &mut Session<'_>, gaps: &VecDeque<Range<u64>>) {
        let mut decoded = Decoded::default();
        self.undoing.finish(&mut |seen| decoded.push(seen));
        self.push(session, decoded, gaps);
        self.child.finish(session);
    }
}

/// Decoded bytes, and where those that do not follow the one before begin.
#[derive(Default)]
struct Decoded {
    bytes: Vec<u8>,
    points: Vec<(u64, u64)>,
    expected: Option<u64>,
}

impl Decoded {
    #[inline]
    fn push(&mut self, seen: Seen) {
        if self.expected != Some(seen.start) {
            self.points.push((self.bytes.len() as u64, seen.start));
        }
        self.bytes.push(seen.byte);
        if seen.end != seen.start + 1 {
            self.points.push((self.bytes.len() as u64, seen.end));
        }
        self.expected = Some(seen.end);
    }
}
