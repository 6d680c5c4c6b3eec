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
//! * [`injection`] finds texts that are written to steer an agent which reads them.
//! * [`rarity`] measures how unlike words a run of characters is.
//!
//! # A whole buffer
//!
//! ```
//! use secrets::{Options, Scanner, Setting};
//!
//! // Once per process: rules are data, patterns are compiled when they are first needed.
//! let scanner = Scanner::built_in()?;
//! let mut options = Options::new(Setting::Source);
//! options.fingerprint_key = Some(b"a key of this installation".as_slice().into());
//! options.path = Some("deploy/.env".into());
//!
//! let text = format!("one\nDATABASE=postgres://app:{}@db.example/app\n", "q7Zt0KxV2mB9");
//! for finding in scanner.scan(text.as_bytes(), &options)? {
//!     assert_eq!(&*finding.rule, "url-password");
//!     assert!(finding.blocks()); // confidence is high; anything less is worth a warning
//!     assert_eq!(finding.position(text.as_bytes()), (2, 25)); // line and column of finding.span
//!     assert!(finding.decoded.is_plain()); // or "base64, gzip": what was undone to see it
//!     assert_eq!(finding.redacted(), "‹redacted:12›"); // what may be shown
//!     assert!(finding.fingerprint.is_some()); // keyed digest, to recognise the value again
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An `Err` is [`BudgetExceeded`]: the content decodes to more than is allowed, and must be treated as if a secret
//! had been found.
//!
//! # A stream
//!
//! Each push says how many of the last bytes must not leave yet; [`HoldBack`] keeps them. When a finding is told,
//! its last byte is still held. Undo a body's compression first, with [`inflate`].
//!
//! ```
//! use bytes::Bytes;
//! use secrets::{HoldBack, Options, Scanner, Setting};
//!
//! let scanner = Scanner::built_in()?;
//! let mut stream = scanner.stream(&Options::new(Setting::Traffic));
//! let (mut held, mut findings, mut sent) = (HoldBack::new(), Vec::new(), Vec::new());
//! for chunk in ["hello, postgres://app:q7Zt0", "KxV2mB9@db.example/app", " and more"] {
//!     let chunk = Bytes::from_static(chunk.as_bytes());
//!     let hold = stream.push(&chunk, &mut findings)?;
//!     if findings.iter().any(secrets::Finding::blocks) {
//!         break; // what is held is dropped
//!     }
//!     held.release(chunk, hold, |piece| sent.extend_from_slice(&piece));
//! }
//! // At the end of a clean stream: stream.finish(&mut findings)?, look at the findings, held.release_all(…).
//! assert_eq!(findings.len(), 1);
//! assert_eq!(sent, b"hello, postgres");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts of a message
//!
//! Fields, JSON keys and values, headers and frames are each scanned by themselves, on one budget; the name of a
//! value says what it is.
//!
//! ```
//! use secrets::{Options, Scanner, Setting};
//!
//! let scanner = Scanner::built_in()?;
//! let mut parts = scanner.parts(&Options::new(Setting::Traffic));
//! assert!(parts.scan(b"q7Zt0KxV2mB9rLwE4nYcU6sH")?.is_empty());
//! assert_eq!(&*parts.scan_value("x-api-key", b"q7Zt0KxV2mB9rLwE4nYcU6sH")?[0].rule, "assigned-token");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate refuses to do input and output, to know what a request is, and to decide what becomes of a
//! finding. It never puts a secret's value into a finding, an error or a `Debug` form.

#![forbid(unsafe_code)]

mod allow;
mod byte_class;
mod byte_table;
mod checksum;
mod finding;
pub mod gitleaks;
pub mod hold_back;
pub mod hostname;
pub mod inflate;
pub mod injection;
pub mod known;
mod normalise;
mod pattern;
pub mod rarity;
pub mod redact;
mod rot13;
mod rule;
mod scan;
mod scanner;
mod stream;
mod unescape;

pub use checksum::Checksum;
pub use finding::{DecodePath, Decoding, Finding, Fingerprint, without_repeats};
pub use hold_back::HoldBack;
pub use rule::{ByConfidence, Confidence, Detector, Judge, Rule, RuleError, RuleSet, Setting};
pub use scanner::{BudgetExceeded, KNOWN_VALUE, Options, Scanner, ScannerError};
pub use stream::{Parts, Stream};
