//! Finding secrets in bytes.
//!
//! Detectors that are usable each on its own:
//!
//! * [`known`] finds *given* values, such as the credentials that a guard injects, in any of the forms that an
//!   ordinary program would turn them into. It has no false alarms and needs no format.
//! * [`Scanner`] finds secrets by the public formats of tokens and keys ([`RuleSet`]), in text and in what text
//!   encodes.
//! * [`hostname`] scores names that data may be smuggled out in.
//! * [`redact`] decides which segments of a path are too secret-like for a log line.
//! * [`rarity`] measures how unlike words a run of characters is.
//!
//! Scanning a stream, [`HoldBack`] keeps the bytes that must wait, and [`inflate`] undoes a body's compression
//! first.
//!
//! The crate refuses to do input and output, to know what a request is, and to decide what becomes of a
//! finding. It never puts a secret's value into a finding, an error or a `Debug` form.

#![forbid(unsafe_code)]

mod allow;
mod byte_table;
mod checksum;
mod finding;
pub mod gitleaks;
pub mod hold_back;
pub mod hostname;
pub mod inflate;
pub mod known;
mod normalise;
mod pattern;
pub mod rarity;
pub mod redact;
mod rule;
mod scan;
mod scanner;
mod unescape;

pub use checksum::Checksum;
pub use finding::{DecodePath, Decoding, Finding, Fingerprint, without_repeats};
pub use hold_back::HoldBack;
pub use rule::{ByConfidence, Confidence, Detector, Judge, Rule, RuleError, RuleSet, Setting};
pub use scanner::{BudgetExceeded, Options, Scanner, ScannerError, Stream};
