//! Brings changed files into force, or keeps the old policy and says why.
//!
//! The directory is looked at every 50 ms with one `stat` per file; SIGHUP has it read at once. A look that cannot tell whether a
//! file changed reads it again.

use std::path::PathBuf;
use std::sync::Arc;

use ::guard::ack::{AckWriter, InForce};
use ::guard::file::Seen;
use ::guard::look::Look;
use arc_swap::ArcSwap;
use contract::Sha256Hex;
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
    ack: AckWriter,
    seen: [Seen; 2],
    dlp_was_there: bool,
    /// Hash of the files read last.
    last_read: Sha256Hex,
    /// An acknowledgement that could not be written yet.
    unwritten: Option<(Sha256Hex, Option<String>)>,
    /// What was last complained about, so that it is said once.
    complaint: Option<String>,
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
    /// Keeps `policy`, which was made of files with the hash `last_read`, up to date with `directory`, and announces
    /// each change.
    pub fn new(
        directory: PathBuf,
        parts: Arc<Parts>,
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
            seen: Default::default(),
            dlp_was_there: false,
            last_read,
            unwritten: None,
            complaint: None,
        }
    }

    fn read(&mut self) {
        match config::seat(&self.directory) {
            Ok(files) if files.sha256 == self.last_read => {}
            Ok(files) => {
                self.last_read = files.sha256.clone();
                let sha256 = files.sha256.clone();
                let error = self.apply(files).err().map(|error| error.to_string());
                self.say(error.as_deref());
                self.unwritten = Some((sha256, error));
            }
            // Nothing was read, so there is no hash to acknowledge; whoever waits for one sees that it does not come.
            Err(error) => self.complain(error.to_string()),
        }
    }

    fn apply(&self, files: SeatFiles) -> Result<(), NotApplied> {
        let policy = compile(files.said, &self.parts)?;
        self.policy.store(Arc::new(policy));
        self.changes.announce();
        Ok(())
    }

    fn say(&mut self, error: Option<&str>) {
        let generation = self.policy.load().generation();
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
        if let Some((sha256, error)) = self.unwritten.take() {
            self.acknowledge(sha256, error);
        }
    }

    fn reload(&mut self) {
        self.seen.iter_mut().for_each(Seen::forget);
        self.look();
    }
}
