//! A long body, looked at while it goes through.
//!
//! What may be the beginning of a finding is held back. Of a compressed body, a byte leaves when all that it decodes to may: the
//! compressed bytes are fed in small steps, and each step knows how far the decoded text had come behind it.

use std::collections::VecDeque;

use bytes::Bytes;
use mitm::Released;
use secrets::HoldBack;

use super::guarded::Guarded;
use super::{Kind, Place};
use crate::encoding::Decoder;
use crate::examiner::Examiner;
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
    Compressed {
        decoder: Box<Decoder>,
        /// Steps that wait, each with where the decoded text stood behind it.
        waiting: VecDeque<(Bytes, u64)>,
    },
}

// === impl BodyStream ===

impl BodyStream {
    pub(super) fn new(examiner: &Examiner, kind: &Kind) -> Self {
        let form = if kind.codings.is_empty() {
            Flow::Plain(HoldBack::new())
        } else {
            Flow::Compressed {
                decoder: Box::new(Decoder::new(kind.codings.clone())),
                waiting: VecDeque::new(),
            }
        };
        Self {
            text: Guarded::new(examiner.text(Place::Body), &kind.form),
            form,
        }
    }

    pub(super) fn push(&mut self, mut data: Bytes, released: &mut Released) -> Result<(), Refused> {
        match &mut self.form {
            Flow::Plain(window) => {
                let hold = self.text.push(&data)?;
                window.release(data, hold, |piece| released.push(piece));
            }
            Flow::Compressed { decoder, waiting } => {
                let mut hold = None;
                while !data.is_empty() {
                    let step = data.split_to(data.len().min(STEP));
                    let text = &mut self.text;
                    decoder.push(&step, &mut |decoded| {
                        hold = Some(text.push(decoded)?);
                        Ok(())
                    })?;
                    waiting.push_back((step, decoder.written()));
                    // What is held after no new text is what was held before.
                    if let Some(hold) = hold {
                        let free = decoder.written().saturating_sub(hold as u64);
                        while waiting.front().is_some_and(|(_, behind)| *behind <= free) {
                            if let Some((step, _)) = waiting.pop_front() {
                                released.push(step);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, released: &mut Released) -> Result<(), Refused> {
        if let Flow::Compressed { decoder, .. } = &self.form {
            decoder.finish()?;
        }
        self.text.finish()?;
        match &mut self.form {
            Flow::Plain(window) => window.release_all(|piece| released.push(piece)),
            Flow::Compressed { waiting, .. } => waiting.drain(..).for_each(|(step, _)| released.push(step)),
        }
        Ok(())
    }
}
