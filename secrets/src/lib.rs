//! Finding secrets in bytes.
//!
//! Detectors that are usable each on its own:
//!
//! * [`known`] finds *given* values, such as the credentials that a guard injects, in any of the forms that an
//!   ordinary program would turn them into. It has no false alarms and needs no format.
//! * [`redact`] decides which segments of a path are too secret-like for a log line.
//! * [`rarity`] measures how unlike words a run of characters is.
//!
//! The crate refuses to do input and output, to know what a request is, and to decide what becomes of a
//! finding. It never puts a secret's value into a finding, an error or a `Debug` form.

#![forbid(unsafe_code)]

mod byte_table;
pub mod hold_back;
pub mod known;
pub mod rarity;
pub mod redact;

pub use hold_back::HoldBack;
