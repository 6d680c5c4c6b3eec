//! Brings changed files into force, or keeps the old policy and says why.
//!
//! The directory is looked at every 50 ms with one `stat` per file; SIGHUP has it read at once. A look that cannot tell whether a
//! file changed reads it again.

use std::path::PathBuf;
use std::sync::Arc;

use ::guard::ack::{Acknowledgements, InForce};
use ::guard::file::Seen;
use ::guard::look::Look;
use arc_swap::ArcSwap;
use mitm::Changes;
use pipelock_config::place;

use crate::config::{self, ConfigError, SeatFiles};
use crate::policy::{CompileError, CompiledPolicy, Parts};

/// Keeps a policy up to date with its files.
#[derive(Debug)]
pub struct Reloader {
    directory: PathBuf,
    parts: Arc<Parts>,
    policy: Arc<ArcSwap<CompiledPolicy>>,
    /// Where it is announced that requests under way may not be admitted any more.
    changes: Changes,
    acknowledgements: Acknowledgements,
    seen: [Seen; 2],
    dlp_was_there: bool,
}

/// Why files that were read are not in force.
#[derive(Debug, thiserror::Error)]
pub enum NotApplied {
    /// they cannot be read or parsed
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// they name what this engine cannot do
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// Makes files ready to come into force.
pub fn compile(
    said: Result<(pipelock_config::Seat, pipelock_config::DlpFile), ConfigError>,
    parts: &Parts,
) -> Result<CompiledPolicy, NotApplied> {
    let (seat, dlp) = said?;
    for note in &seat.notes {
        tracing::warn!("pipelock.yaml: {note}");
    }
    Ok(CompiledPolicy::compile(seat, dlp, &parts.environment)?)
}

/// The hashes by which a policy is acknowledged.
pub fn in_force(policy: &CompiledPolicy) -> InForce {
    InForce {
        effective_sha256: policy.effective_sha256().clone(),
        generation: policy.generation(),
    }
}

// === impl Reloader ===

impl Reloader {
    /// Keeps `policy`, which is acknowledged, up to date with `directory`, and announces each change.
    pub fn new(
        directory: PathBuf,
        parts: Arc<Parts>,
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
            seen: Default::default(),
            dlp_was_there: false,
        }
    }

    fn read(&mut self) {
        match config::seat(&self.directory) {
            Ok(files) if self.acknowledgements.is_known(&files.sha256) => {}
            Ok(files) => {
                let sha256 = files.sha256.clone();
                let error = self.apply(files).err().map(|error| error.to_string());
                let generation = self.policy.load().generation();
                self.acknowledgements.took(sha256, error, generation);
            }
            Err(error) => self.acknowledgements.complain(error.to_string()),
        }
    }

    fn apply(&self, files: SeatFiles) -> Result<(), NotApplied> {
        let policy = compile(files.said, &self.parts)?;
        self.policy.store(Arc::new(policy));
        self.changes.announce();
        Ok(())
    }
}

impl Look for Reloader {
    fn look(&mut self) {
        let [pipelock, dlp] = &mut self.seen;
        let mut changed = pipelock.may_have_changed(&self.directory.join(place::PIPELOCK));
        // The other file need not be there: that it still is not is no change.
        let path = self.directory.join(place::DLP);
        let there = path.exists();
        changed |= there != self.dlp_was_there || (there && dlp.may_have_changed(&path));
        self.dlp_was_there = there;
        if changed {
            self.read();
        }
        self.acknowledgements.settle(|| in_force(&self.policy.load()));
    }

    fn reload(&mut self) {
        self.seen.iter_mut().for_each(Seen::forget);
        self.look();
    }
}
