//! Brings a changed `gate.json` into force, or keeps what was and says why.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use contract::place::config::GATE;
use guard::ack::{Acknowledgements, InForce};
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
    acknowledgements: Acknowledgements,
    seen: Seen,
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
    /// Keeps `table`, which is acknowledged, up to date with `config`.
    pub fn new(
        config: PathBuf,
        repositories: PathBuf,
        table: Arc<ArcSwap<Table>>,
        acknowledgements: Acknowledgements,
    ) -> Self {
        Self {
            config,
            repositories,
            table,
            acknowledgements,
            seen: Seen::default(),
        }
    }

    fn read(&mut self) {
        match config::read(&self.config) {
            Ok(file) if self.acknowledgements.is_known(&file.sha256) => {}
            Ok(file) => {
                let error = match file.config {
                    Ok(config) => Table::open(config, &self.repositories, Some(&self.table.load()))
                        .map(|table| self.table.store(Arc::new(table)))
                        .err()
                        .map(|error| error.to_string()),
                    Err(error) => Some(error.to_string()),
                };
                let generation = self.table.load().generation;
                self.acknowledgements.took(file.sha256, error, generation);
            }
            Err(error) => self.acknowledgements.complain(error.to_string()),
        }
    }
}

impl Look for Reloader {
    fn look(&mut self) {
        if self.seen.may_have_changed(&self.config.join(GATE)) {
            self.read();
        }
        self.acknowledgements.settle(|| in_force(&self.table.load()));
    }

    fn reload(&mut self) {
        self.seen.forget();
        self.look();
    }
}
