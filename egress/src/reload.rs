//! Brings a changed `routes.yaml` into force, or keeps the old policy and says why.
//!
//! The directory is looked at every [`LOOK`] with one `stat`; SIGHUP has it read at once. A look that cannot tell whether the file
//! changed reads it again.

use std::path::PathBuf;
use std::sync::Arc;

use ::guard::ack::{AckWriter, InForce};
use ::guard::clock::Now;
use ::guard::file::Seen;
use ::guard::look::Look;
use arc_swap::ArcSwap;
use contract::Sha256Hex;
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
    ack: AckWriter,
    seen: Seen,
    /// Hash of the file read last.
    last_read: Sha256Hex,
    /// The file read last is not in force for a reason that may pass: it is tried again at every look.
    retry: bool,
    /// An acknowledgement that could not be written yet.
    unwritten: Option<(Sha256Hex, Option<String>)>,
    /// What was last complained about, so that it is said once.
    complaint: Option<String>,
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
    /// Keeps `policy`, which was made of a file with the hash `last_read`, up to date with `directory`, and announces each change.
    pub fn new(
        directory: PathBuf,
        parts: Parts,
        policy: Arc<ArcSwap<CompiledPolicy>>,
        changes: Changes,
        ack: AckWriter,
        last_read: Sha256Hex,
    ) -> Self {
        Self {
            directory,
            parts,
            policy,
            changes,
            ack,
            seen: Seen::default(),
            last_read,
            retry: false,
            unwritten: None,
            complaint: None,
        }
    }

    fn settle_grants(&mut self) {
        let policy = self.policy.load();
        if self.parts.grants.end_due(policy.table(), Now::read()) {
            self.changes.announce();
        }
        if let Err(error) = self.parts.grants.settle() {
            self.complain(error.to_string());
        }
    }

    fn read(&mut self) {
        match config::routes(&self.directory) {
            Ok(file) if file.sha256 == self.last_read && !self.retry => {}
            Ok(file) => {
                let sha256 = file.sha256.clone();
                let applied = self.apply(file);
                let again = self.retry && sha256 == self.last_read;
                self.retry = matches!(applied, Err(NotApplied::Grants(_)));
                self.last_read = sha256.clone();
                // That it failed once more was said and acknowledged the first time.
                if !(again && self.retry) {
                    let error = applied.err().map(|error| error.to_string());
                    self.say(error.as_deref());
                    self.unwritten = Some((sha256, error));
                }
            }
            // Nothing was read, so there is no hash to acknowledge; whoever waits for one sees that it does not come.
            Err(error) => self.complain(error.to_string()),
        }
    }

    fn apply(&self, file: RoutesFile) -> Result<(), NotApplied> {
        let table = file.table.map_err(ConfigError::from)?;
        let policy = self.parts.compile(table)?;
        self.policy.store(Arc::new(policy));
        self.changes.announce();
        Ok(())
    }

    fn say(&mut self, error: Option<&str>) {
        let generation = self.policy.load().table().generation;
        match error {
            None => tracing::info!("generation {generation} is in force"),
            Some(error) => {
                tracing::error!("{error}; the policy before it (generation {generation}) stays in force")
            }
        }
        self.complaint = None;
    }

    fn acknowledge(&mut self, sha256: Sha256Hex, error: Option<String>) {
        let in_force = in_force(&self.policy.load());
        if let Err(failed) = self.ack.write(&sha256, &in_force, error.clone()) {
            self.complain(failed.to_string());
            self.unwritten = Some((sha256, error));
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
    /// Looks whether the file has changed, and applies it if so. Notes grants that have ended meanwhile. Blocks on
    /// the disk when there is something to do.
    fn look(&mut self) {
        self.settle_grants();
        let changed = self.seen.may_have_changed(&self.directory.join(ROUTES));
        if changed || self.retry {
            self.read();
        }
        if let Some((sha256, error)) = self.unwritten.take() {
            self.acknowledge(sha256, error);
        }
    }

    /// Reads the file whether or not it looks changed.
    fn reload(&mut self) {
        self.seen.forget();
        self.look();
    }
}

#[cfg(test)]
mod tests;
