//! Looking at a body while it streams through.
//!
//! An inspector may keep bytes back and release them later (a hold-back window), and may cut the stream. It
//! may not change it: what it releases, in order, is what it was given. When it cuts, nothing that it still
//! holds leaves, and the stream is broken off in a way that no one takes for its end.

use bytes::Bytes;
use http::HeaderMap;

use crate::policy::Denial;

/// Looks at one body in one direction.
pub trait Inspector: Send {
    /// The next piece of the body. Whatever may go on now is put into `released`.
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut>;

    /// The body is complete: releases what was held back, or cuts.
    fn finish(&mut self, released: &mut Released) -> Result<(), Cut>;

    /// Trailers, after [`Inspector::finish`].
    fn trailers(&mut self, _trailers: &HeaderMap) -> Result<(), Cut> {
        Ok(())
    }

    /// Whether the request's head is to wait until the first bytes of its body were released, so that an
    /// upstream never sees a request that is cut at once. Wrong for streams in which the agent waits for the
    /// response's head before it writes (gRPC). Request direction only.
    fn defers_head(&self) -> bool {
        false
    }
}

/// The stream must not go on.
#[derive(Debug)]
pub struct Cut {
    /// In the request direction `told_agent` is the answer; in the response direction the head has left
    /// already, so only `logged` is used.
    pub denial: Denial,
}

/// What an inspector lets through, in order.
#[derive(Debug, Default)]
pub struct Released {
    pieces: std::collections::VecDeque<Bytes>,
}

impl Released {
    /// Lets `data` through. Empty pieces are dropped.
    pub fn push(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.pieces.push_back(data);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.pieces.pop_front()
    }

    /// Puts back what was popped last.
    pub(crate) fn unpop(&mut self, data: Bytes) {
        self.pieces.push_front(data);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Nothing of it leaves any more.
    pub(crate) fn discard(&mut self) {
        self.pieces.clear();
    }
}

impl Iterator for Released {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.pop()
    }
}
