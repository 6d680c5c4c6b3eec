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

/// Looks at one direction of a WebSocket.
///
/// The core takes the frames apart: the payloads of the text and binary messages come here unmasked, as one stream,
/// the fragments of a message one after the other and the messages one after the other, so that what is split over
/// either is found. Where a message ends is told beside it. Whoever must see a message whole holds it until
/// [`MessageInspector::message_end`]; how much that may be is the inspector's to bound.
///
/// What is released, in order, is what was pushed; the core frames it anew. A cut ends the WebSocket for both sides:
/// the agent gets a close frame 1008, the upstream no further byte, and nothing that was held or released in the same
/// step leaves.
pub trait MessageInspector: Send {
    /// The next piece of payload. Whatever may go on now is put into `released`.
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut>;

    /// A message ends with what was pushed. What stays held now delays its end until it is released, so hold only
    /// what may be the beginning of a finding.
    fn message_end(&mut self, released: &mut Released) -> Result<(), Cut>;

    /// For [`HELD_MESSAGE`](crate::limits::HELD_MESSAGE) nothing has followed a message whose end is held, or very
    /// many messages wait: releases all that is held, for the other side may be waiting for it, or cuts.
    fn overdue(&mut self, released: &mut Released) -> Result<(), Cut>;

    /// The whole payload of a ping, a pong or a close, which is no part of the stream and cannot wait.
    fn control(&mut self, payload: &[u8]) -> Result<(), Cut>;

    /// The direction is over: releases what was held back, or cuts.
    fn finish(&mut self, released: &mut Released) -> Result<(), Cut>;
}

/// What looks at a WebSocket.
#[derive(Default)]
pub struct MessageInspectors {
    /// At what the agent sends.
    pub up: Option<Box<dyn MessageInspector>>,
    /// At what the upstream sends.
    pub down: Option<Box<dyn MessageInspector>>,
}

/// The stream must not go on.
#[derive(Debug)]
pub struct Cut {
    /// In the request direction `told_agent` is the answer; in the response direction the head has left
    /// already, so only `logged` is used. On a WebSocket the agent is told the [`CloseReason`] among `told_agent`'s
    /// extensions.
    pub denial: Denial,
}

/// What the close frame says of a WebSocket that was cut: put it into the extensions of the denial's answer. What is
/// longer than a close frame's 123 bytes is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason(pub String);

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
