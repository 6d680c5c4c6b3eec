//! Texts that are written to steer an agent which reads them (prompt injection).
//!
//! A [`Detector`] compares what comes in with phrases, which are data (`rules/injection.toml`): orders to drop
//! earlier instructions, claims of authority, orders to use tools, to run what another host says, to carry data
//! out or to keep quiet. A phrase that ordinary text does not contain is sure by itself; of the others it takes two
//! different ones near each other. A phrase in quotation marks within a text *about* such attacks is only worth a
//! warning.
//!
//! Text is compared as a model would understand it: small letters, one space between words, escapes undone,
//! look-alikes and unseen characters resolved, markup dropped ([`view`]); squeezed, with digits read as letters;
//! and decoded from base64 and hexadecimal.
//!
//! It refuses to say that a text is harmless: whoever knows the phrases can find others. It never holds a stream
//! back; what completes a phrase is told before it leaves.

mod phrases;
mod stream;
mod view;

pub use phrases::{Detector, PhraseError};
pub use stream::Stream;

use crate::Confidence;
use std::ops::Range;
use std::sync::Arc;

/// One phrase that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// the pattern's name
    pub pattern: Arc<str>,
    /// what the phrase does
    pub reason: Arc<str>,
    /// [`Confidence::High`] is reason to block, [`Confidence::Medium`] to warn.
    pub confidence: Confidence,
    /// where it is, as offsets into what was scanned; for a decoded one, the encoded text
    pub span: Range<u64>,
}

impl Injection {
    /// Whether it is reason to block, not only to warn.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.confidence == Confidence::High
    }
}
