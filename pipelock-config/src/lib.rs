//! The configuration of the pipelock seat: a typed model of the part of pipelock's YAML that a bottle uses, and of what
//! only our own engine is told.
//!
//! Two files lie in the seat's config directory. `pipelock.yaml` is in pipelock's own schema, for whichever engine sits there;
//! `dlp.yaml` holds what that schema has no place for (digests of injected credentials, exemptions, which host may resolve in
//! which private network), and only our engine reads it. What both could say is said once, in `pipelock.yaml`.
//!
//! * [`render`](render::render) makes both files from a [`Model`], in the form that the chosen [`Engine`] accepts and needs.
//! * [`edit`] changes an existing `pipelock.yaml` and keeps its order, its comments and every field that it does not know:
//!   [`allow_host`], [`remove_host`], [`mirror`].
//! * [`PipelockFile`] and [`DlpFile`] read them; [`PipelockFile::seat`] is what our engine obeys.
//! * [`sec1_key`] writes a CA's key as pipelock wants it.
//!
//! What this crate refuses to do: open a file, hold a credential (it makes digests), and guess what a field means.

pub mod credential;
pub mod dlp_file;
pub mod edit;
pub mod key;
pub mod list;
pub mod mirror;
pub mod model;
pub mod pattern;
pub mod pipelock_file;
pub mod render;
pub mod seat;

pub use credential::{CredentialDigest, CredentialKey};
pub use dlp_file::{DlpFile, DlpFileError, Exemption, InjectedCredential, PrivateNetwork};
pub use edit::{EditError, allow_host, remove_host};
pub use key::{KeyError, sec1_key};
pub use mirror::{Mirrored, mirror};
pub use model::{Engine, Model, ResponseScanning};
pub use pattern::HostPattern;
pub use pipelock_file::{PipelockFile, PipelockFileError};
pub use render::{Rendered, render};
pub use seat::{CustomPattern, OnFinding, Seat};

/// File names inside the seat's config directory.
pub mod place {
    /// In pipelock's own schema; both engines read it.
    pub const PIPELOCK: &str = "pipelock.yaml";
    /// What only our engine reads; need not be there.
    pub const DLP: &str = "dlp.yaml";
}

/// By this hash the engine acknowledges what it read (`file_sha256` of `applied.json`): of `pipelock.yaml` alone where
/// there is no `dlp.yaml`, else of both, `pipelock.yaml` first, with a zero byte between.
pub fn files_sha256(pipelock: &[u8], dlp: Option<&[u8]>) -> contract::Sha256Hex {
    match dlp {
        None => contract::Sha256Hex::of(pipelock),
        Some(dlp) => contract::Sha256Hex::of(&[pipelock, dlp].join(&0_u8)),
    }
}
