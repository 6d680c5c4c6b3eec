//! Brings a changed `routes.yaml` into force, or keeps the old policy and says why.
//!
//! The directory is looked at every [`LOOK`] with one `stat`; SIGHUP has it read at once. A look that cannot tell whether the file
//! changed reads it again.

use std::path::PathBuf;
use std::sync::Arc;

use ::guard::ack::{Acknowledgements, InForce};
use ::guard::clock::Now;
use ::guard::file::Seen;
use ::guard::look::Look;
use arc_swap::ArcSwap;
use contract::place::config::ROUTES;
use mitm::Changes;

use crate::config::{self, ConfigError, RoutesFile};
use crate::credential::CredentialStore;
use crate::grants::Grants;
use crate::policy::{CompileError, CompiledPolicy};
use crate::upstream::Upstreams;

/// What a policy is made of besides the table.
#[derive(Debug)]
pub struct Parts {
    /// The credentials of this guard.
    pub credentials: CredentialStore,
    /// The ways out.
    pub upstreams: Upstreams,
    /// The grants and their ends.
    pub grants: Arc<Grants>,
}

/// Keeps a policy up to date with its file.
#[derive(Debug)]
pub struct Reloader {
    directory: PathBuf,
    parts: Parts,
    policy: Arc<ArcSwap<CompiledPolicy>>,
    /// Where it is announced that requests under way may not be admitted any more.
    changes: Changes,
    acknowledgements: Acknowledgements,
    seen: Seen,
    /// The file read last is not in force for a reason that may pass: it is tried again at every look.
    retry: bool,
}

/// Why a file that was read is not in force.
#[derive(Debug, thiserror::Error)]
pub enum NotApplied {
    /// it cannot be read or parsed
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// it names what this guard does not have
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// its grants cannot be noted
    #[error("the grants of the new table cannot be noted, so it is not applied: {0}")]
    Grants(std::io::Error),
}

impl Parts {
    /// Makes a table ready to come into force, its grants noted on disk.
    pub fn compile(&self, table: contract::RouteTable) -> Result<CompiledPolicy, NotApplied> {
        let policy = CompiledPolicy::compile(table, &self.credentials, &self.upstreams)?;
        self.grants
            .observe(policy.table(), Now::read())
            .map_err(NotApplied::Grants)?;
        Ok(policy)
    }
}

/// The hashes by which a policy is acknowledged.
pub fn in_force(policy: &CompiledPolicy) -> InForce {
    InForce {
        effective_sha256: policy.effective_sha256().clone(),
        generation: policy.table().generation,
    }
}

// === impl Reloader ===

impl Reloader {
    /// Keeps `policy`, which is acknowledged, up to date with `directory`, and announces each change.
    pub fn new(
        directory: PathBuf,
        parts: Parts,
        policy: Arc<ArcSwap<CompiledPolicy>>,
        changes: Changes,
        acknowledgements: Acknowledgements,
    ) -> Self {
        Self {
            directory,
            parts,
            policy,
            changes,
            acknowledgements,
            seen: Seen::default(),
            retry: false,
        }
    }

    fn settle_grants(&mut self) {
        let policy = self.policy.load();
        if self.parts.grants.end_due(policy.table(), Now::read()) {
            self.changes.announce();
        }
        if let Err(error) = self.parts.grants.settle() {
            self.acknowledgements.complain(error.to_string());
        }
    }

    fn read(&mut self) {
        match config::routes(&self.directory) {
            Ok(file) => {
                let is_known = self.acknowledgements.is_known(&file.sha256);
                if is_known && !self.retry {
                    return;
                }
                let sha256 = file.sha256.clone();
                let applied = self.apply(file);
                let again = self.retry && is_known;
                self.retry = matches!(applied, Err(NotApplied::Grants(_)));
                // That it failed once more was said and acknowledged the first time.
                if !(again && self.retry) {
                    let error = applied.err().map(|error| error.to_string());
                    let generation = self.policy.load().table().generation;
                    self.acknowledgements.took(sha256, error, generation);
                }
            }
            Err(error) => self.acknowledgements.complain(error.to_string()),
        }
    }

    fn apply(&self, file: RoutesFile) -> Result<(), NotApplied> {
        let table = file.table.map_err(ConfigError::from)?;
        let policy = self.parts.compile(table)?;
        self.policy.store(Arc::new(policy));
        self.changes.announce();
        Ok(())
    }
}

impl Look for Reloader {
    /// Looks whether the file has changed, and applies it if so. Notes grants that have ended meanwhile. Blocks on
    /// the disk when there is something to do.
    fn look(&mut self) {
        self.settle_grants();
        let changed = self.seen.may_have_changed(&self.directory.join(ROUTES));
        if changed || self.retry {
            self.read();
        }
        self.acknowledgements.settle(|| in_force(&self.policy.load()));
    }

    /// Reads the file whether or not it looks changed.
    fn reload(&mut self) {
        self.seen.forget();
        self.look();
    }
}

#[cfg(test)]
mod tests;
