//! A stream that is scanned and released in one step.

use super::{Hit, Stream};
use crate::HoldBack;
use bytes::Bytes;

/// A [`Stream`] with the bytes that it keeps back: what comes out is what went in, without the last bytes of a
/// value that has not ended, and without anything once one has.
pub struct HeldStream {
    stream: Stream,
    window: HoldBack,
}

// === impl HeldStream ===

impl HeldStream {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            window: HoldBack::new(),
        }
    }

    /// Scans `chunk` and hands what may leave to `out`, in order and uncopied.
    ///
    /// # Errors
    /// A value ends in `chunk`; neither it nor what was held leaves, now or later.
    pub fn push(&mut self, chunk: Bytes, out: impl FnMut(Bytes)) -> Result<(), Hit> {
        let hold = self.stream.push(&chunk)?;
        self.window.release(chunk, hold, out);
        Ok(())
    }

    /// The stream is over: hands out what was held.
    ///
    /// # Errors
    /// A value ended with the last byte, or before.
    pub fn finish(&mut self, out: impl FnMut(Bytes)) -> Result<(), Hit> {
        self.stream.finish()?;
        self.window.release_all(out);
        Ok(())
    }

    /// How many bytes wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.window.held()
    }
}
