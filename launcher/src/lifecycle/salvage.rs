//! Ending a bottle whose state directory cannot be read or is gone: by what the engine has of it, and nothing else.
//!
//! Whose a resource is, [`crate::naming`] says, so nothing of another home is touched. Everything is ended first. Nothing is removed
//! before what its containers wrote is kept, and what is left of the state directory is moved aside as it is. Killed at any step, it
//! leaves a bottle that is damaged or orphaned still, and that the next try finds.

use super::container_logs;
use super::folder;
use super::lock::{How, Locked};
use super::machine::Machine;
use super::observe::{self, Bottle};
use super::stop::{OTHERS, Outcome};
use crate::error::{Error, Result};
use contract::Slug;
use std::path::{Path, PathBuf};

impl Machine {
    /// Ends it, on the operator's word.
    pub(super) async fn salvage(&self, slug: &Slug) -> Result<Outcome> {
        let salvage_lock = self.home.salvage_lock();
        let alone = Locked::wait_or_create(&salvage_lock, How::Alone, OTHERS).await;
        let _lock = self.lock_if_there_is_one(slug).await?;
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        if !bottle.evidence.has_folder && !bottle.evidence.has_resources {
            return Ok(Outcome::LeftAlone);
        }
        if !bottle.state.is_unjudged() {
            return Err(Error::failed(format!(
                "the state directory of {slug} can be read again, so nothing was done"
            ))
            .hinted(format!("`bottle stop {slug}` takes it down in order")));
        }
        for why in self.engine.end(&bottle.owned).await {
            self.printer.warning(&format!("{slug}: {why}"));
        }
        // Not even a full disk keeps it running; to end it twice does no harm.
        let _alone = alone.map_err(|error| nothing_removed(slug, "there is no lock for that", &error))?;
        // As far as its questions can be read, nobody can answer them any more.
        if let Err(error) = crate::proposals::settle::session_over(&self.home, slug) {
            self.printer.warning(&format!("{slug}: {error}"));
        }
        let aside = self
            .keep_logs(&bottle)
            .await
            .map_err(|error| nothing_removed(slug, "what its containers wrote cannot be kept", &error))?;
        self.tools().by_engine(slug).await?;
        folder::set_aside(&self.home, slug, &aside).map_err(|error| {
            Error::failed(format!(
                "{slug} is down, and its state directory cannot be moved aside"
            ))
            .because(whole(&error))
            .hinted(format!(
                "move {} away by hand",
                self.home.state(slug).root().display()
            ))
        })?;
        Ok(Outcome::SetAside(if_not_empty(aside)))
    }

    /// Removes what is left of a bottle that cannot be read and of which nothing runs; `false` when there is nothing.
    pub(super) async fn discard_unjudged(&self, slug: &Slug) -> Result<bool> {
        let salvage_lock = self.home.salvage_lock();
        let _alone = Locked::wait_or_create(&salvage_lock, How::Alone, OTHERS).await?;
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        if !bottle.state.is_unjudged() || bottle.owned.any_runs() {
            return Ok(false);
        }
        if let Err(error) = crate::proposals::settle::session_over(&self.home, slug) {
            self.printer.warning(&format!("{slug}: {error}"));
        }
        // Given up is what its containers wrote, not what its guards decided; the folder goes with the rest.
        if let Err(error) = self.keep_logs(&bottle).await {
            self.printer.warning(&format!("{slug}: {error}"));
        }
        self.tools().by_engine(slug).await?;
        if bottle.evidence.has_folder {
            folder::remove(&self.home, slug)?;
        }
        Ok(bottle.evidence.has_folder || bottle.evidence.has_resources)
    }

    /// The logs of its containers, in the folder that what is left of it goes to.
    async fn keep_logs(&self, bottle: &Bottle) -> Result<PathBuf> {
        let aside = folder::make_aside(&self.home, &bottle.slug)?;
        let to = folder::free_name(&aside, folder::CONTAINERS_LOG)?;
        let (engine, home, printer) = (&self.engine, &self.home, &self.printer);
        let lines = container_logs::keep(engine, home, &bottle.slug, &bottle.owned, &to, printer).await?;
        // Of a bottle whose state directory is away it is the mark, too, that keeps that when it comes back.
        if lines == 0 && bottle.evidence.has_folder {
            fs_err::remove_file(&to)?;
        }
        Ok(aside)
    }

    /// Its own lock, where that can be had: another command, or its compose, may be at work on it all the same.
    async fn lock_if_there_is_one(&self, slug: &Slug) -> Result<Option<Locked>> {
        let path = self.home.state(slug).lock();
        // Let go at once: what is tried here would keep out what is waited for.
        let can_be_locked = Locked::attempt(&path, How::Shared).map(drop).is_ok();
        match can_be_locked {
            true => Locked::wait(&path, How::Alone, OTHERS).await,
            false => Ok(None),
        }
    }
}

fn nothing_removed(slug: &Slug, what: &str, why: &Error) -> Error {
    Error::failed(format!("{slug} is ended, and nothing of it was removed: {what}"))
        .because(whole(why))
        .hinted(format!(
            "make room and try again, or give it up: `bottle cleanup --discard {slug}`"
        ))
}

/// An error with its causes, as the cause of another.
fn whole(error: &Error) -> anyhow::Error {
    anyhow::anyhow!("{error} {}", error.causes().join(": "))
}

/// The folder, unless there was nothing to put into it.
fn if_not_empty(folder: PathBuf) -> Option<PathBuf> {
    // Fails where there is anything in it.
    let removed = |folder: &Path| std::fs::remove_dir(folder).is_ok();
    if !removed(&folder) {
        return Some(folder);
    }
    folder.parent().map(removed);
    None
}
