//! The rule scanner.
//!
//! One pass looks for keywords; where one stands, a rule's pattern is tried. Besides, runs of characters that may
//! be an encoding are decoded and scanned in turn, up to [`DEPTH`] deep. Everything works on streams: a whole
//! buffer is a stream in one piece, so what is found does not depend on how the bytes arrive.
//!
//! What is not undone: characters with something between each two, lists of texts that are joined elsewhere in a program, base64 in
//! lines of fewer than twenty characters, dumps character by character (`od -c`), style sheets' escapes of six digits, and any
//! cipher. Of values without a form of their own see [`crate::known`].
//!
//! Whatever is decoded counts against a budget ([`crate::Options`]). When it is used up the scan says so, and
//! the caller must treat the content as not scanned.

mod attempts;
mod bare;
mod budget;
mod child;
mod context;
mod dump;
mod groups;
mod judge;
mod keyword;
mod layer;
mod likeness;
mod name;
mod numbers;
mod packed;
pub(crate) mod radix;
mod reading;
mod runs;
mod shadow;
mod splice;
mod survey;
mod text;
mod turned;
mod words;
mod wrapped;
mod written;

pub(crate) use budget::Budget;
pub(crate) use context::{Compiled, Engine, Manner, Names, Raw, Session};
pub(crate) use keyword::Keywords;
pub(crate) use layer::Layer;
pub(crate) use survey::Survey;
pub(crate) use turned::{PREFIX, Prefixes};

/// How deep encodings are undone within each other.
pub(crate) const DEPTH: usize = 4;
