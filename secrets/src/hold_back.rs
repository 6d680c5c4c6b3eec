//! A hold-back window over shared byte slices.
//!
//! A streaming scanner answers each chunk with one number: how many of the bytes that came last must not leave
//! yet. [`HoldBack`] turns these numbers into released slices without copying a byte: a held tail is a slice of
//! the chunk that brought it. It decides nothing itself.

use bytes::Bytes;
use std::collections::VecDeque;

/// The bytes of one stream that were scanned but not released.
#[derive(Default)]
pub struct HoldBack {
    pieces: VecDeque<Bytes>,
    held: usize,
}

// === impl HoldBack ===

impl HoldBack {
    /// A window that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Adds `chunk` and hands out, in order, everything but the last `hold` bytes of the stream so far. What
    /// has left cannot come back: of a `hold` larger than what is there, all that is there is held.
    pub fn release(&mut self, chunk: Bytes, hold: usize, mut out: impl FnMut(Bytes)) {
        if hold == 0 && self.held == 0 {
            if !chunk.is_empty() {
                out(chunk);
            }
            return;
        }
        self.held = self.held.saturating_add(chunk.len());
        if !chunk.is_empty() {
            self.pieces.push_back(chunk);
        }
        while self.held > hold
            && let Some(mut piece) = self.pieces.pop_front()
        {
            let free = self.held - hold;
            if piece.len() > free {
                let leaving = piece.split_to(free);
                self.held -= leaving.len();
                self.pieces.push_front(piece);
                out(leaving);
                return;
            }
            self.held -= piece.len();
            out(piece);
        }
    }

    /// Hands out everything that is held: the stream is over and clean.
    pub fn release_all(&mut self, out: impl FnMut(Bytes)) {
        self.release(Bytes::new(), 0, out);
        self.held = 0;
    }
}

/// Shows the count alone: what is held may be part of a secret.
impl std::fmt::Debug for HoldBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HoldBack")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chunk_that_nothing_holds_leaves_as_the_same_allocation() {
        let chunk = Bytes::from_static(b"event: ping\n\n");
        let mut out = Vec::new();
        HoldBack::new().release(chunk.clone(), 0, |piece| out.push(piece));
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].as_ptr(), chunk.as_ptr());
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_and_the_tail_stays(
            chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), 0usize..40), 0..20)
        ) {
            let mut window = HoldBack::new();
            let (mut all, mut out) = (Vec::new(), Vec::new());
            for (chunk, hold) in chunks {
                all.extend_from_slice(&chunk);
                let before = out.len();
                window.release(chunk.into(), hold, |piece| out.extend_from_slice(&piece));
                prop_assert_eq!(out.len(), before.max(all.len().saturating_sub(hold)));
                prop_assert_eq!(window.held(), all.len() - out.len());
            }
            window.release_all(|piece| out.extend_from_slice(&piece));
            prop_assert_eq!(out, all);
            prop_assert_eq!(window.held(), 0);
        }
    }
}
