//! The audit log on disk: `audit/<slug>.jsonl`, which outlives the bottle's state directory.
//!
//! A line is on disk before what it tells of takes effect. Every line names the hash of the one before it, and `<slug>.head` beside the
//! log the last one, so that an edited, removed or reordered line shows, the last one too. What it cannot do: hold against somebody
//! who may write both files and knows how they are made.

mod append;
pub mod events;
mod index;
mod read;
mod show;
pub mod story;
mod verify;

pub use append::{Note, operator};
pub use index::Index;
pub use read::{Line, read};
pub use show::{event_line, line};
pub use verify::{Finding, verify};

use crate::error::{Error, Result};
use crate::home::Home;
use contract::{Sha256Hex, Slug};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One bottle's log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    slug: Slug,
    path: PathBuf,
    head: PathBuf,
}

/// `<slug>.head`: what the last line was when it was written. It may lag behind the log by what a crash of the machine lost of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    sequence: u64,
    sha256: Sha256Hex,
}

impl AuditLog {
    /// Of this bottle. Nothing is made before the first entry.
    pub fn of(home: &Home, slug: &Slug) -> Self {
        let path = home.audit(slug);
        Self {
            slug: slug.clone(),
            head: path.with_extension("head"),
            path,
        }
    }

    /// The bottles that have a log, in order.
    pub fn slugs(home: &Home) -> Result<Vec<Slug>> {
        let entries = match fs_err::read_dir(home.audits()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut slugs: Vec<Slug> = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let slug = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
            slugs.extend(slug.and_then(|slug| slug.parse().ok()));
        }
        slugs.sort();
        Ok(slugs)
    }

    /// Where it lies.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn unreadable(&self, why: impl Into<anyhow::Error>) -> Error {
        Error::failed(format!("the audit log {} cannot be read", self.path.display()))
            .because(why)
            .hinted(format!(
                "`bottle audit {} --verify` says what is wrong with it",
                self.slug
            ))
    }
}

#[cfg(test)]
mod tests;
