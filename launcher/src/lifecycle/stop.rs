//! Taking down bottles that somebody else brought up: by `stop`, or by `cleanup` when nobody answers for them any more.

use super::folder::{self, Held};
use super::lock::{How, Locked};
use super::machine::Machine;
use super::observe::{self, Bottle, is_there};
use super::settle::{BottleState, Cause};
use super::teardown::Settled;
use super::tree;
use crate::error::Result;
use crate::printer::Printer;
use contract::Slug;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another command may be changing the bottle: a start takes seconds, a teardown at most two minutes.
pub(super) const OTHERS: Duration = Duration::from_secs(180);

/// What became of a bottle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is down, and its state directory settled.
    Down(Settled),
    /// It is down, though its state directory could not be read or is gone. What is left of it is here, if anything is.
    SetAside(Option<PathBuf>),
    /// Somebody else took it down meanwhile, or it came back to life.
    LeftAlone,
}

impl Machine {
    /// Takes a bottle down on the operator's word.
    pub async fn stop(&self, bottle: &Bottle, keep: bool) -> Result<Outcome> {
        if bottle.state.is_unjudged() {
            return self.salvage(&bottle.slug).await;
        }
        let Some(held) = self.hold(&bottle.slug).await? else {
            // Somebody else took it down meanwhile, or away.
            return self.salvage(&bottle.slug).await;
        };
        // Looked at again, now that nobody else changes it.
        let bottle = observe::one(&self.engine, &self.home, &bottle.slug).await?;
        if bottle.state.is_unjudged() {
            drop(held);
            return self.salvage(&bottle.slug).await;
        }
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
            return Ok(Outcome::LeftAlone);
        };
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        let cause = match unlocked(&bottle) {
            BottleState::Crashed => Cause::Crash {
                was_ready: bottle.evidence.was_ready,
            },
            BottleState::Stopped => Cause::End,
            BottleState::Starting
            | BottleState::Running
            | BottleState::Preserved
            | BottleState::Damaged
            | BottleState::Orphaned => return Ok(Outcome::LeftAlone),
        };
        let settled = self.tools().take_down(slug, held, cause).await?;
        Ok(Outcome::Down(settled))
    }

    /// Removes the kept state directory of a bottle that does not run, and what was set aside of it.
    pub async fn discard(&self, slug: &Slug) -> Result<Outcome> {
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        if bottle.state.is_unjudged() {
            let discarded = self.discard_unjudged(slug).await?;
            return Ok(match folder::remove_aside(&self.home, slug)? || discarded {
                true => Outcome::Down(Settled::Removed),
                false => Outcome::LeftAlone,
            });
        }
        let Some(held) = self.hold(slug).await? else {
            return Ok(Outcome::LeftAlone);
        };
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        if unlocked(&bottle) == BottleState::Running || bottle.state.is_unjudged() {
            return Ok(Outcome::LeftAlone);
        }
        self.tools().by_engine(slug).await?;
        folder::remove_aside(&self.home, slug)?;
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

/// Says what became of a bottle that was ended without its state directory.
pub fn tell_set_aside(printer: &Printer, slug: &Slug, aside: Option<&Path>) {
    match aside {
        Some(aside) => {
            printer.message(&format!(
                "{slug} is down; what is left of it is in {}",
                aside.display()
            ));
            printer.hint(&format!("`bottle cleanup --discard {slug}` removes that"));
        }
        None => printer.message(&format!("{slug} is down; nothing is left of it")),
    }
}

/// The state as it would be if we did not hold the lock ourselves.
fn unlocked(bottle: &Bottle) -> BottleState {
    if bottle.state.is_unjudged() {
        return bottle.state;
    }
    super::settle::state_of(super::settle::Evidence {
        being_changed: false,
        ..bottle.evidence
    })
}
