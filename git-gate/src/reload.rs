//! Brings a changed `gate.json` into force, or keeps what was and says why.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use contract::Sha256Hex;
use contract::place::config::GATE;
use guard::ack::{AckWriter, InForce};
use guard::file::Seen;
use guard::look::Look;

use crate::config;
use crate::table::Table;

/// Keeps a table up to date with its file.
#[derive(Debug)]
pub struct Reloader {
    config: PathBuf,
    repositories: PathBuf,
    table: Arc<ArcSwap<Table>>,
    ack: AckWriter,
    seen: Seen,
    last_read: Sha256Hex,
    unwritten: Option<(Sha256Hex, Option<String>)>,
    complaint: Option<String>,
}

/// The hashes by which a table is acknowledged.
pub fn in_force(table: &Table) -> InForce {
    InForce {
        effective_sha256: table.effective_sha256.clone(),
        generation: table.generation,
    }
}

// === impl Reloader ===

impl Reloader {
    /// Keeps `table`, which was made of a file with the hash `last_read`, up to date with `config`.
    pub fn new(
        config: PathBuf,
        repositories: PathBuf,
        table: Arc<ArcSwap<Table>>,
        ack: AckWriter,
        last_read: Sha256Hex,
    ) -> Self {
        Self {
            config,
            repositories,
            table,
            ack,
            seen: Seen::default(),
            last_read,
            unwritten: None,
            complaint: None,
        }
    }

    fn read(&mut self) {
        match config::read(&self.config) {
            Ok(file) if file.sha256 == self.last_read => {}
            Ok(file) => {
                let error = match file.config {
                    Ok(config) => Table::open(config, &self.repositories, Some(&self.table.load()))
                        .map(|table| self.table.store(Arc::new(table)))
                        .err()
                        .map(|error| error.to_string()),
                    Err(error) => Some(error.to_string()),
                };
                let generation = self.table.load().generation;
                match &error {
                    None => tracing::info!("generation {generation} is in force"),
                    Some(error) => {
                        tracing::error!("{error}; what was before (generation {generation}) stays in force");
                    }
                }
                self.complaint = None;
                self.last_read = file.sha256.clone();
                self.unwritten = Some((file.sha256, error));
            }
            Err(error) => self.complain(error.to_string()),
        }
    }

    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!("{complaint}");
            self.complaint = Some(complaint);
        }
    }
}

impl Look for Reloader {
    fn look(&mut self) {
        if self.seen.may_have_changed(&self.config.join(GATE)) {
            self.read();
        }
        if let Some((sha256, error)) = self.unwritten.take()
            && let Err(failed) = self
                .ack
                .write(&sha256, &in_force(&self.table.load()), error.clone())
        {
            self.complain(failed.to_string());
            self.unwritten = Some((sha256, error));
        }
    }

    fn reload(&mut self) {
        self.seen.forget();
        self.look();
    }
}
