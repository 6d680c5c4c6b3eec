//! Finding given values in any form: the tripwire for credentials that a guard injects, and the only answer to
//! passwords that no format gives away.
//!
//! A value is found raw; in base64 (both alphabets), base32 and hexadecimal (any case) at every alignment; with
//! any of its bytes percent-encoded once or twice, escaped as in JSON, or written as a character reference; and
//! broken over lines; turned round, with its letters moved by thirteen, in base85, and in base58 by itself. It is found across
//! chunks, and no byte of it leaves before its end is seen.
//!
//! It refuses values under [`SHORTEST`] bytes (chance would find them). It does not undo compression, encryption
//! or a value cut into parts with other text between. (What a [`crate::Scanner`] decodes it looks through for values, too:
//! [`crate::Options::known`].) Two limits keep ordinary text fast and event
//! streams prompt: a line break after a single character of an occurrence is not read through, and of an
//! occurrence broken over lines up to seven characters may leave before the rest is seen.

mod automaton;
mod encode;
mod form;
mod held;
mod stream;
#[cfg(test)]
mod tests;

pub use form::{Encoding, Form, Reading};
pub use held::HeldStream;
pub use stream::Stream;

use automaton::Automaton;
use encode::Forms;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Values of fewer bytes are refused.
pub const SHORTEST: usize = 12;

/// Of a longer value the first so many bytes are looked for: a longer pattern finds nothing more, and a hit
/// still comes before the value's end.
pub const LONGEST: usize = 4096;

/// A value that is too short to be told from chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooShort {
    /// what the value was called
    pub label: Arc<str>,
    /// its bytes
    pub length: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, length } = self;
        write!(
            f,
            "the value of {label} has {length} bytes; it is not looked for, since at least {SHORTEST} are needed"
        )
    }
}

impl std::error::Error for TooShort {}

/// One occurrence of a value. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// what the value was called
    pub label: Arc<str>,
    /// how it was written
    pub form: Form,
    /// Where it is, as offsets into the stream as it was pushed. An encoder's character that holds bits of the
    /// value and of its neighbour is not counted.
    pub span: Range<u64>,
}

/// Gathers values for a [`KnownValues`].
#[derive(Default)]
pub struct Builder {
    values: Vec<(Arc<str>, Zeroizing<Vec<u8>>)>,
    forms: Forms,
}

/// A set of values to look for. Cheap to clone; wiped when the last clone is dropped.
#[derive(Clone)]
pub struct KnownValues {
    inner: Arc<Inner>,
}

struct Inner {
    labels: Vec<Arc<str>>,
    automaton: Automaton,
}

// === impl Builder ===

impl Builder {
    /// Adds a value under the name that findings give it.
    ///
    /// # Errors
    /// The value has fewer than [`SHORTEST`] bytes. The builder is as before; whether to go on without it is
    /// the caller's decision, and the operator's to know.
    pub fn add(&mut self, label: impl Into<Arc<str>>, value: Zeroizing<Vec<u8>>) -> Result<(), TooShort> {
        let label = label.into();
        if value.len() < SHORTEST {
            return Err(TooShort {
                label,
                length: value.len(),
            });
        }
        self.values.push((label, value));
        Ok(())
    }

    /// Looks for what encoders write alone, and not for values turned round or moved by thirteen, nor in base58 and base85: half the
    /// patterns, and half the time to build it.
    #[must_use]
    pub fn usual_forms_alone(mut self) -> Self {
        self.forms = Forms::Usual;
        self
    }

    /// The detector of all added values.
    #[must_use]
    pub fn build(self) -> KnownValues {
        let heads = self
            .values
            .iter()
            .map(|(_, value)| value.get(..LONGEST).unwrap_or(value));
        let automaton = Automaton::new(heads, self.forms);
        let labels = self.values.iter().map(|(label, _)| Arc::clone(label)).collect();
        KnownValues {
            inner: Arc::new(Inner { labels, automaton }),
        }
    }
}

/// Names the labels alone.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.values.iter().map(|(label, _)| label))
            .finish()
    }
}

// === impl KnownValues ===

impl KnownValues {
    /// An empty builder.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.automaton.is_empty()
    }

    /// The scanner of one stream.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    /// The scanner of one stream that also keeps the bytes which must wait.
    #[must_use]
    pub fn held_stream(&self) -> HeldStream {
        HeldStream::new(self.stream())
    }

    /// The occurrence that ends first in `text`, a whole message.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<Hit> {
        if self.is_plain(text) {
            return None;
        }
        let mut stream = self.stream();
        stream.push(text).err().or_else(|| stream.finish().err())
    }

    /// Whether `text`, a whole message, is without values and so plain that this is known at one table look-up per
    /// byte, without a [`Stream`]. No says nothing: it may hold an escape or the beginning of a value.
    #[must_use]
    pub fn is_plain(&self, text: &[u8]) -> bool {
        self.inner.automaton.is_plain(text)
    }

    /// All occurrences in `text`, a whole message, in the order of their ends. Of overlapping occurrences of one
    /// value (an escape may be read in more than one way) the first is given.
    #[must_use]
    pub fn find_all(&self, text: &[u8]) -> Vec<Hit> {
        self.gather(text, |_, _| true)
    }

    /// At most so many occurrences of each value, as in [`Self::find_all`]: a text can be nothing but occurrences.
    #[must_use]
    pub fn find_some(&self, text: &[u8], most: usize) -> Vec<Hit> {
        self.gather(text, |hits, hit| {
            hits.iter().filter(|other| other.label == hit.label).count() < most
        })
    }

    fn gather(&self, text: &[u8], wanted: impl Fn(&[Hit], &Hit) -> bool) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        let mut keep = |hit: Hit| {
            let known = hits.iter().rev().take(8).any(|other| {
                other.label == hit.label && other.span.start < hit.span.end && hit.span.start < other.span.end
            });
            if !known && wanted(&hits, &hit) {
                hits.push(hit);
            }
            true
        };
        let mut stream = self.stream();
        stream.read(text, &mut keep);
        if let Err(hit) = stream.finish() {
            keep(hit);
        }
        hits
    }

    fn automaton(&self) -> &Automaton {
        &self.inner.automaton
    }

    fn hit(&self, (form, reading): (automaton::Form, Reading), span: Range<u64>) -> Hit {
        let label = self
            .inner
            .labels
            .get(form.value)
            .cloned()
            .unwrap_or_else(|| "".into());
        Hit {
            label,
            form: Form {
                encoding: form.encoding,
                reading,
            },
            span,
        }
    }
}

/// Names the labels alone.
impl fmt::Debug for KnownValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.inner.labels).finish()
    }
}
