//! A long body, looked at while it goes through.
//!
//! What may be the beginning of a finding is held back. Of a compressed body, a byte leaves when all that it decodes to may: the
//! compressed bytes are fed in small steps, and each step knows how far the decoded text had come behind it. Such a body is looked
//! at as it is sent, too: a gzip head has room for a comment, zstd for whole frames that decoders skip, and whoever stores a body
//! as it came can read them.

use std::collections::VecDeque;

use bytes::Bytes;
use mitm::Released;
use secrets::HoldBack;
use secrets::inflate::Coding;

use super::guarded::Guarded;
use super::{Kind, Place};
use crate::encoding::{Decoder, Windows};
use crate::examiner::{Examiner, TextScan};
use crate::refused::Refused;

/// Compressed bytes are fed in steps of this many: as fine as they are released.
const STEP: usize = 4096;

/// One body on its way.
pub(super) struct BodyStream {
    text: Guarded,
    form: Flow,
}

enum Flow {
    Plain(HoldBack),
    Compressed(Box<Compressed>),
}

struct Compressed {
    decoder: Decoder,
    /// The body as it is sent.
    raw: TextScan,
    /// How many bytes that were.
    taken: u64,
    /// The decoder takes a block whole before it says what is in it.
    by_blocks: bool,
    /// How much of the decoded text is held, once there was some.
    hold: Option<usize>,
    waiting: VecDeque<Step>,
}

/// Bytes that wait.
struct Step {
    bytes: Bytes,
    /// Where the body as it is sent stands behind them.
    end: u64,
    /// Where the decoded text stands behind them; none while they may have begun a block of which nothing was told.
    decoded: Option<u64>,
}

// === impl BodyStream ===

impl BodyStream {
    pub(super) fn new(examiner: &Examiner, kind: &Kind, windows: &Windows) -> Result<Self, Refused> {
        let form = if kind.codings.is_empty() {
            Flow::Plain(HoldBack::new())
        } else {
            Flow::Compressed(Box::new(Compressed {
                decoder: Decoder::new(kind.codings.clone(), windows)?,
                raw: examiner.text(Place::Body),
                taken: 0,
                by_blocks: kind.codings.contains(&Coding::Zstd),
                hold: None,
                waiting: VecDeque::new(),
            }))
        };
        Ok(Self {
            text: Guarded::new(examiner, &kind.form),
            form,
        })
    }

    pub(super) fn push(&mut self, mut data: Bytes, released: &mut Released) -> Result<(), Refused> {
        match &mut self.form {
            Flow::Plain(window) => {
                let hold = self.text.push(&data)?;
                window.release(data, hold, |piece| released.push(piece));
            }
            Flow::Compressed(compressed) => {
                while !data.is_empty() {
                    let step = data.split_to(data.len().min(STEP));
                    compressed.push(step, &mut self.text, released)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, released: &mut Released) -> Result<(), Refused> {
        if let Flow::Compressed(compressed) = &mut self.form {
            compressed.decoder.finish()?;
            compressed.raw.finish()?;
        }
        self.text.finish()?;
        match &mut self.form {
            Flow::Plain(window) => window.release_all(|piece| released.push(piece)),
            Flow::Compressed(compressed) => {
                compressed
                    .waiting
                    .drain(..)
                    .for_each(|step| released.push(step.bytes));
            }
        }
        Ok(())
    }
}

// === impl Compressed ===

impl Compressed {
    fn push(&mut self, bytes: Bytes, text: &mut Guarded, released: &mut Released) -> Result<(), Refused> {
        let (before, hold) = (self.decoder.written(), &mut self.hold);
        self.decoder.push(&bytes, &mut |decoded| {
            *hold = Some(text.push(decoded)?);
            Ok(())
        })?;
        let raw_hold = self.raw.push(&bytes)?;
        self.taken += bytes.len() as u64;
        let written = self.decoder.written();
        if written > before {
            // The block that earlier steps had begun was told with this one.
            let begun = self
                .waiting
                .iter_mut()
                .rev()
                .take_while(|step| step.decoded.is_none());
            begun.for_each(|step| step.decoded = Some(written));
        }
        self.waiting.push_back(Step {
            bytes,
            end: self.taken,
            decoded: (!self.by_blocks).then_some(written),
        });
        // What is held after no new text is what was held before.
        let Some(hold) = self.hold else {
            return Ok(());
        };
        let raw_free = self.taken.saturating_sub(raw_hold as u64);
        let free = written.saturating_sub(hold as u64);
        let may_leave = |step: &Step| step.end <= raw_free && step.decoded.is_some_and(|end| end <= free);
        while self.waiting.front().is_some_and(may_leave) {
            if let Some(step) = self.waiting.pop_front() {
                released.push(step.bytes);
            }
        }
        Ok(())
    }
}
