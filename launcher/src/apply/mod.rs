//! Carries out what an operator decided: files written whole, each guard asked whether it has them in force, and everything put back
//! when one has not.
//!
//! The seat comes before egress: a host too many there is harmless, one too few closes. Nothing is called applied before the guards
//! said so with this launch's nonce. [`change`] is what would be done, as a value that can be shown; [`perform`] does it.

pub mod ack;
pub mod capability;
pub mod change;
pub mod egress;
pub mod git_gate;
pub mod perform;
mod probe;
pub mod recreate;
pub mod revoke;
pub mod seat;
pub mod standing;

pub use change::{Change, FileStep, GuardStep};
pub use perform::{Performed, perform};

use crate::audit::AuditLog;
use crate::error::{Error, Result};
use crate::home::{Home, State};
use crate::lifecycle::lock::{How, Locked};
use crate::lifecycle::observe;
use contract::{LaunchNonce, Slug};
use std::time::Duration;

/// How long a guard may take to have in force what was written for it. Measured: 20 to 70 ms; a loaded machine takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a guard is then waited for that goes back to what it had.
const BACK: Duration = Duration::from_secs(1);
/// How long another command may be changing the bottle.
const OTHERS: Duration = Duration::from_secs(30);

/// A bottle whose policy is looked at or changed.
#[derive(Debug, Clone)]
pub struct Target {
    /// The operator's folder.
    pub home: Home,
    /// Its slug.
    pub slug: Slug,
    /// Its files.
    pub state: State,
    /// The launch that its guards belong to.
    pub nonce: LaunchNonce,
    /// How long its guards are waited for.
    pub patience: Duration,
}

impl Target {
    /// The bottle with this slug.
    pub fn of(home: &Home, slug: &Slug) -> Result<Self> {
        let state = home.state(slug);
        let metadata = observe::metadata(&state)?;
        Ok(Self {
            home: home.clone(),
            slug: slug.clone(),
            state,
            nonce: metadata.launch_nonce,
            patience: PATIENCE,
        })
    }

    /// A bottle that is over and whose metadata cannot be read: of no launch that a guard could acknowledge for.
    pub fn unasked(home: &Home, slug: &Slug) -> Option<Self> {
        Some(Self {
            home: home.clone(),
            slug: slug.clone(),
            state: home.state(slug),
            nonce: "n-0000".parse().ok()?,
            patience: Duration::ZERO,
        })
    }

    /// Its audit log.
    pub fn audit(&self) -> AuditLog {
        AuditLog::of(&self.home, &self.slug)
    }

    /// Takes its lock, which whoever changes anything of it holds.
    pub async fn lock(&self) -> Result<Locked> {
        let locked = Locked::wait(&self.state.lock(), How::Alone, OTHERS).await?;
        locked.ok_or_else(|| Error::failed(format!("{} was taken down meanwhile", self.slug)))
    }

    /// Refuses a bottle whose guards do not run.
    pub fn refuse_down(&self) -> Result<()> {
        if self.state.ready().is_file() {
            return Ok(());
        }
        Err(Error::failed(format!("{} does not run", self.slug)).hinted("`bottle list` shows what runs"))
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
