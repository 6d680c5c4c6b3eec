//! Taking down bottles that somebody else brought up: by `stop`, or by `cleanup` when nobody answers for them any more.

use super::folder::{self, Held};
use super::lock::{How, Locked};
use super::machine::Machine;
use super::observe::{self, Bottle, is_there};
use super::settle::{BottleState, Cause};
use super::teardown::Settled;
use super::tree;
use crate::error::Result;
use contract::Slug;
use std::path::PathBuf;
use std::time::Duration;

/// How long another command may be changing the bottle: a start takes seconds, a teardown at most two minutes.
const OTHERS: Duration = Duration::from_secs(180);

/// What became of a bottle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is down, and its state directory settled.
    Down(Settled),
    /// Somebody else took it down meanwhile, or it came back to life.
    LeftAlone,
}

impl Machine {
    /// Takes a bottle down on the operator's word.
    pub async fn stop(&self, bottle: &Bottle, keep: bool) -> Result<Outcome> {
        let Some(held) = self.hold(&bottle.slug).await? else {
            self.tools().by_engine(&bottle.slug).await?;
            return Ok(if bottle.evidence.has_folder {
                Outcome::LeftAlone
            } else {
                Outcome::Down(Settled::Removed)
            });
        };
        // Looked at again, now that nobody else changes it.
        let bottle = observe::one(&self.engine, &self.home, &bottle.slug).await?;
        let cause = match unlocked(&bottle) {
            _ if keep => Cause::EndAndKeep,
            BottleState::Crashed => Cause::Crash {
                was_ready: bottle.evidence.was_ready,
            },
            _ => Cause::End,
        };
        let settled = self.tools().take_down(&bottle.slug, held, cause).await?;
        Ok(Outcome::Down(settled))
    }

    /// Settles a bottle that nobody answers for; leaves every other alone.
    pub async fn settle_dead(&self, slug: &Slug) -> Result<Outcome> {
        let Some(held) = self.hold(slug).await? else {
            self.tools().by_engine(slug).await?;
            return Ok(Outcome::Down(Settled::Removed));
        };
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        let cause = match unlocked(&bottle) {
            BottleState::Crashed => Cause::Crash {
                was_ready: bottle.evidence.was_ready,
            },
            BottleState::Stopped => Cause::End,
            BottleState::Starting | BottleState::Running | BottleState::Preserved | BottleState::Damaged => {
                return Ok(Outcome::LeftAlone);
            }
        };
        let settled = self.tools().take_down(slug, held, cause).await?;
        Ok(Outcome::Down(settled))
    }

    /// Removes the kept state directory of a bottle that does not run.
    pub async fn discard(&self, slug: &Slug) -> Result<Outcome> {
        let Some(held) = self.hold(slug).await? else {
            return Ok(Outcome::LeftAlone);
        };
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        if unlocked(&bottle) == BottleState::Running {
            return Ok(Outcome::LeftAlone);
        }
        self.tools().by_engine(slug).await?;
        held.remove(&self.home, slug)?;
        Ok(Outcome::Down(Settled::Removed))
    }

    /// Removes what a killed launcher left half made or half removed.
    pub fn remove_remains(&self) -> Result<Vec<PathBuf>> {
        let remains = folder::remains(&self.home)?;
        for folder in &remains {
            tree::remove(folder)?;
        }
        Ok(remains)
    }

    async fn hold(&self, slug: &Slug) -> Result<Option<Held>> {
        let state = self.home.state(slug);
        if !is_there(state.root())? {
            return Ok(None);
        }
        // A state directory that lost its lock file (it is removed first to last) is held all the same.
        if !is_there(&state.lock())? {
            return Ok(Some(Held {
                lock: Locked::create(state.lock())?,
                state,
            }));
        }
        let lock = Locked::wait(&state.lock(), How::Alone, OTHERS).await?;
        Ok(lock.map(|lock| Held { state, lock }))
    }
}

/// The state as it would be if we did not hold the lock ourselves.
fn unlocked(bottle: &Bottle) -> BottleState {
    super::settle::state_of(super::settle::Evidence {
        being_changed: false,
        ..bottle.evidence
    })
}
