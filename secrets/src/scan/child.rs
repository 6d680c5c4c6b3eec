//! A layer of decoded bytes and the way back from its offsets to those of the layer it came from.

use super::{Layer, Session};
use crate::finding::DecodePath;
use crate::known;
use std::collections::VecDeque;
use std::ops::Range;

/// The search for known values in a layer.
enum Known {
    /// Nothing was read.
    NotYet,
    Looking {
        stream: Box<known::Stream>,
        /// How many bytes may be the beginning of a value.
        hold: usize,
    },
    /// There is nothing to look for, or it was found.
    Done,
}

/// So many characters of a known value's beginning are there by chance all the time.
const LIKENESS: u64 = 4;

/// A decoded layer.
pub(crate) struct Child {
    layer: Box<Layer>,
    path: DecodePath,
    known: Known,
    /// Pairs of offsets, in the child and in the parent, ascending. Between two, the ratio applies.
    points: VecDeque<(u64, u64)>,
    /// Characters of the parent and the bytes that they make; `(0, 1)` when there is no fixed ratio.
    ratio: (u64, u64),
    /// How far the parent was read.
    read: u64,
}

// === impl Child ===

impl Child {
    /// A child whose findings come by `path`.
    pub(crate) fn new(path: DecodePath, ratio: (u64, u64)) -> Self {
        Self {
            layer: Box::new(Layer::new(path)),
            path,
            known: Known::NotYet,
            points: VecDeque::new(),
            ratio,
            read: 0,
        }
    }

    /// Scans `bytes`, which `from` of the parent decodes to, at the child's ratio.
    pub(crate) fn push(&mut self, session: &mut Session<'_>, bytes: &[u8], from: Range<u64>) {
        // Where the parent goes on without a gap, the ratio still holds, and is exact.
        let goes_on = self.ratio.0 > 0 && self.read == from.start && !self.points.is_empty();
        let point = (!goes_on).then_some((0, from.start));
        self.push_mapped(session, bytes, point.into_iter(), from.end);
    }

    /// Scans `bytes`. Each pair says where in the parent the byte of that index begins; the parent was read up to
    /// `read`.
    pub(crate) fn push_mapped(
        &mut self,
        session: &mut Session<'_>,
        bytes: &[u8],
        points: impl Iterator<Item = (u64, u64)>,
        read: u64,
    ) {
        self.read = self.read.max(read);
        if !session.budget.spend(bytes.len()) {
            return;
        }
        let at = self.layer.position();
        for (index, parent) in points {
            self.points.push_back((at + index, parent));
        }
        self.scan(session, bytes, false);
        let needed = self.layer.needed_from().min(self.earliest_of_own());
        while self.points.get(1).is_some_and(|&(child, _)| child <= needed) {
            self.points.pop_front();
        }
    }

    /// The parent goes on at `parent` behind something that is not decoded; in its digits, the child's byte at
    /// `child` would begin there.
    pub(crate) fn jump(&mut self, child: u64, parent: u64, read: u64) {
        self.points.push_back((child, parent));
        self.read = read;
    }

    /// The decoded bytes are over.
    pub(crate) fn finish(&mut self, session: &mut Session<'_>) {
        self.scan(session, &[], true);
    }

    fn scan(&mut self, session: &mut Session<'_>, bytes: &[u8], over: bool) {
        let before = session.found.len();
        self.layer.push(session, bytes, over);
        self.known.read(session, bytes, over, self.path);
        for raw in session.found.iter_mut().skip(before) {
            raw.span = self.parent(raw.span.start)..self.parent_end(raw.span.end).max(raw.span.start + 1);
        }
    }

    /// Where in the parent the child's byte at `offset` begins.
    pub(crate) fn parent(&self, offset: u64) -> u64 {
        let after = self.points.partition_point(|&(child, _)| child <= offset);
        let Some(&point) = after.checked_sub(1).and_then(|index| self.points.get(index)) else {
            return self.points.front().map_or(self.read, |&(_, parent)| parent);
        };
        let next = self.points.get(after).map_or(self.read, |&(_, parent)| parent);
        self.along(point, offset).min(next)
    }

    /// Where in the parent the child's bytes before `offset` end.
    fn parent_end(&self, offset: u64) -> u64 {
        let Some(last) = offset.checked_sub(1) else {
            return self.parent(0);
        };
        let after = self.points.partition_point(|&(child, _)| child <= last);
        let next = self.points.get(after);
        let Some(&(child, parent)) = after.checked_sub(1).and_then(|index| self.points.get(index)) else {
            return next.map_or(self.read, |&(_, parent)| parent);
        };
        match (self.ratio, next) {
            ((0, _), next) => next.map_or(self.read, |&(_, parent)| parent),
            // An escape ends where the next byte begins.
            ((1, 1), Some(&(child, parent))) if child == offset => parent,
            ((many, one), _) => parent + ((offset - child) * many).div_ceil(one),
        }
    }

    fn along(&self, (child, parent): (u64, u64), offset: u64) -> u64 {
        parent + offset.saturating_sub(child) * self.ratio.0 / self.ratio.1
    }

    /// From where the parent must hold its bytes back for this child's sake.
    pub(crate) fn hold_from(&self) -> Option<u64> {
        let hold = self.layer.hold_from().min(self.known_from());
        (hold < self.layer.position()).then(|| self.parent(hold))
    }

    /// Where in the parent a finding of this child's may begin at the earliest.
    pub(crate) fn earliest(&self) -> u64 {
        self.parent(self.earliest_of_own())
    }

    fn earliest_of_own(&self) -> u64 {
        self.layer.earliest().min(self.known_from())
    }

    /// Where a known value may have begun.
    fn known_from(&self) -> u64 {
        let hold = match &self.known {
            Known::Looking { hold, .. } => *hold as u64,
            Known::NotYet | Known::Done => 0,
        };
        self.layer.position().saturating_sub(hold)
    }

    /// How many bytes the child has.
    pub(crate) fn position(&self) -> u64 {
        self.layer.position()
    }

    /// Whether nothing is under way in the child.
    pub(crate) fn is_idle(&self) -> bool {
        self.layer.is_idle() && self.layer.position() - self.known_from() < LIKENESS
    }
}

// === impl Known ===

impl Known {
    fn read(&mut self, session: &mut Session<'_>, bytes: &[u8], over: bool, path: DecodePath) {
        if let Self::NotYet = self {
            *self = match &session.manner.known {
                Some(known) => Self::Looking {
                    stream: Box::new(known.stream()),
                    hold: 0,
                },
                None => Self::Done,
            };
        }
        let Self::Looking { stream, hold } = self else {
            return;
        };
        let read = stream.push(bytes).and_then(|count| {
            *hold = count;
            if over { stream.finish() } else { Ok(()) }
        });
        if let Err(hit) = read {
            session.report_known(hit, path);
            *self = Self::Done;
        }
    }
}
