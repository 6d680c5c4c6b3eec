//! Looking for phrases while a response streams: each push looks at what came and at a little of what was before.

use super::Injection;
use super::phrases::{Detector, OVERLAP, WHOLE};
use crate::Confidence;
use std::sync::Arc;

/// The scan of one stream. Nothing is held back: what a push finds is told before its chunk leaves, so of a phrase
/// that was found the last part has not.
pub struct Stream {
    detector: Detector,
    /// What came last.
    tail: Vec<u8>,
    /// The offset of the tail.
    base: u64,
    /// What was told of phrases that are still in the tail.
    told: Vec<(Arc<str>, u64, Confidence)>,
}

impl Stream {
    pub(super) fn new(detector: Detector) -> Self {
        Self {
            detector,
            tail: Vec::new(),
            base: 0,
            told: Vec::new(),
        }
    }

    /// Looks at the next bytes; gives what is new. The time is in proportion to the bytes and
    /// [a constant for each push](OVERLAP).
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Injection> {
        let mut found = Vec::new();
        for piece in chunk.chunks(WHOLE) {
            self.tail.extend_from_slice(piece);
            self.look(&mut found);
            let old = self.tail.len().saturating_sub(OVERLAP);
            self.tail.drain(..old);
            self.base += old as u64;
            let base = self.base;
            self.told.retain(|(_, start, _)| *start >= base);
        }
        found
    }

    fn look(&mut self, found: &mut Vec<Injection>) {
        for (mut injection, span) in self.detector.scan_piece(&self.tail) {
            let start = self.base + span.start as u64;
            injection.span = start..self.base + span.end as u64;
            let known = self.told.iter().any(|(pattern, at, confidence)| {
                *pattern == injection.pattern && *at == start && *confidence >= injection.confidence
            });
            if !known && injection.confidence > Confidence::Low {
                self.told
                    .push((Arc::clone(&injection.pattern), start, injection.confidence));
                found.push(injection);
            }
        }
    }
}
