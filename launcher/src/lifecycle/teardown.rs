//! Taking a bottle down: its logs kept, its containers, networks and volumes removed, its image too, its state directory settled.
//!
//! Every step is tried, whatever became of the one before. Only when the engine has nothing of the bottle any more is its state
//! directory removed, so that a later try finds everything again.

use super::container_logs;
use super::folder::Held;
use super::observe::is_preserved;
use super::settle::{Cause, keeps_state};
use crate::compose::{Compose, Project};
use crate::engine::Engine;
use crate::engine::resources::Owned;
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use crate::naming;
use crate::printer::Printer;
use contract::Slug;
use std::os::fd::AsFd as _;

/// What is used to take bottles down.
pub struct Tools<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// Compose, where there is one; without it the engine alone does it.
    pub compose: Option<&'a Compose>,
    /// The operator's folder.
    pub home: &'a Home,
    /// For warnings.
    pub printer: &'a Printer,
}

/// What became of the state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is gone.
    Removed,
    /// It is kept.
    Kept,
}

impl Tools<'_> {
    /// Takes down the bottle whose state directory is held.
    pub async fn take_down(&self, slug: &Slug, held: Held, cause: Cause) -> Result<Settled> {
        let keep = keeps_state(cause, is_preserved(self.home, slug)?);
        if keep {
            // First of all: a launcher that is killed in here must not lose what shall be kept.
            fs_err::write(held.state.preserve(), "")?;
        }
        // Nobody can answer what was asked in it any more, and what became of its grants outlasts its files.
        if let Err(error) = crate::proposals::settle::session_over(self.home, slug) {
            self.printer.warning(&format!("{slug}: {error}"));
        }
        // A start that failed early has nothing for compose to take down, and perhaps no disk space for it either.
        let owned = self.engine.owned_by(&self.home.hash(), slug).await?;
        if !owned.is_empty() {
            self.in_order(slug, &held, &owned).await;
        }
        self.by_engine(slug).await?;
        if !keep {
            held.remove(self.home, slug)?;
            return Ok(Settled::Removed);
        }
        for mark in [held.state.ready(), held.state.launcher()] {
            match fs_err::remove_file(&mark) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Settled::Kept)
    }

    /// Logs and events kept, then down, as far as compose can. Where it cannot give the logs the engine does; what it leaves, the engine
    /// removes.
    async fn in_order(&self, slug: &Slug, held: &Held, owned: &Owned) {
        let project = Project {
            name: naming::project(slug),
            state: &held.state,
            lock: held.lock.as_fd(),
        };
        let compose = self.compose.filter(|_| held.state.compose_file().is_file());
        let log = held.state.compose_log();
        let given = match compose {
            Some(compose) => self.told(slug, compose.logs(&project).await),
            None => false,
        };
        let kept = if given {
            // Of what was decided nothing is lost when the state directory goes.
            super::events::keep(self.home, slug, &log).map(drop)
        } else {
            let logs = container_logs::keep(self.engine, self.home, slug, owned, &log, self.printer);
            logs.await.map(drop)
        };
        self.told(slug, kept);
        if let Some(compose) = compose {
            self.told(slug, compose.down(&project).await);
        }
    }

    /// Whether it went well; a warning when it did not.
    fn told(&self, slug: &Slug, outcome: Result<()>) -> bool {
        if let Err(error) = &outcome {
            self.printer.warning(&format!("{slug}: {error}"));
        }
        outcome.is_ok()
    }

    /// Whatever the engine still has of the bottle.
    pub async fn by_engine(&self, slug: &Slug) -> Result<()> {
        let mut failed = Vec::new();
        let removed = async {
            let left = self.engine.owned_by(&self.home.hash(), slug).await?;
            self.engine.remove(&left).await
        };
        if let Err(error) = removed.await {
            failed.push(error.to_string());
        }
        match self.engine.remove_image(&naming::bottle_image(slug)).await {
            Ok(true) => {}
            Ok(false) => failed.push(format!(
                "a container uses the image {}",
                naming::bottle_image(slug)
            )),
            Err(error) => failed.push(error.to_string()),
        }
        if failed.is_empty() {
            return Ok(());
        }
        let failed = failed
            .into_iter()
            .map(|why| format!("{slug} is not all down: {why}"));
        Err(Error::several(Kind::Failed, failed.collect()).hinted("`bottle cleanup` tries again"))
    }
}
