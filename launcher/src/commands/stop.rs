//! `bottle stop`

use crate::cli::Context;
use crate::error::{Error, Result};
use crate::lifecycle::{Bottle, BottleState, Machine, Outcome, Settled, observe, tell_set_aside};
use clap::Args;

/// Take bottles down.
#[derive(Debug, Args)]
#[command(override_usage = "bottle stop [OPTIONS] <SLUG>...\n       bottle stop [OPTIONS] --all")]
pub struct Stop {
    /// The bottles, by the slugs that `bottle list` shows or the beginnings of them.
    #[arg(required_unless_present = "all", value_name = "SLUG")]
    pub slugs: Vec<String>,

    /// Every bottle that runs.
    #[arg(long, conflicts_with = "slugs")]
    pub all: bool,

    /// Keep their state directories, with the copies that the agents worked in.
    #[arg(long)]
    pub preserve: bool,
}

impl Stop {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let machine = Machine::connect(context).await?;
        let bottles = observe::all(&machine.engine, &machine.home).await?;
        let meant = self.meant(&bottles)?;
        if meant.is_empty() {
            context.printer.message("no bottle is running");
        }
        let mut failed = Vec::new();
        for bottle in meant {
            if let Err(error) = self.stop(&machine, bottle).await {
                failed.push(error);
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            let error = Error::all(&failed);
            // A bottle that is damaged has its own way out.
            Err(match error.hints() {
                [] => error.hinted("`bottle cleanup` tries again"),
                _ => error,
            })
        }
    }

    fn meant<'b>(&self, bottles: &'b [Bottle]) -> Result<Vec<&'b Bottle>> {
        if self.all {
            let runs = |bottle: &&Bottle| match bottle.state {
                BottleState::Preserved | BottleState::Stopped => false,
                BottleState::Damaged | BottleState::Orphaned => bottle.evidence.has_resources,
                BottleState::Starting | BottleState::Running | BottleState::Crashed => true,
            };
            return Ok(bottles.iter().filter(runs).collect());
        }
        let mut meant: Vec<&Bottle> = Vec::new();
        for argument in &self.slugs {
            let bottle = observe::find(bottles, argument)?;
            if !meant.iter().any(|other| other.slug == bottle.slug) {
                meant.push(bottle);
            }
        }
        Ok(meant)
    }

    async fn stop(&self, machine: &Machine, bottle: &Bottle) -> Result<()> {
        let slug = &bottle.slug;
        if bottle.state == BottleState::Preserved {
            machine
                .printer
                .message(&format!("{slug} does not run; its state is kept"));
            machine
                .printer
                .hint(&format!("`bottle cleanup --discard {slug}` removes it"));
            return Ok(());
        }
        if bottle.state.is_unjudged() {
            observe::tell_what_ends(&machine.printer, &machine.home, bottle);
        }
        let progress = machine.printer.progress(&format!("stopping {slug}"));
        match machine.stop(bottle, self.preserve).await? {
            Outcome::Down(Settled::Removed) => progress.done(),
            Outcome::Down(Settled::Kept) => {
                progress.ended("down; its state is kept");
                machine
                    .printer
                    .hint(&format!("`bottle cleanup --discard {slug}` removes it"));
            }
            Outcome::SetAside(aside) => {
                progress.done();
                tell_set_aside(&machine.printer, slug, aside.as_deref());
            }
            Outcome::LeftAlone => progress.ended("somebody else took it down"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::resources::Owned;
    use crate::lifecycle::lock::Launcher;
    use crate::lifecycle::settle::Evidence;

    fn bottle(slug: &str, state: BottleState) -> Bottle {
        Bottle {
            slug: slug.parse().unwrap(),
            state,
            evidence: Evidence {
                has_folder: true,
                being_changed: false,
                launcher: Launcher::None,
                was_ready: true,
                preserve: false,
                agent_runs: false,
                has_resources: false,
            },
            metadata: None,
            owned: Owned::default(),
            damage: None,
        }
    }

    #[test]
    fn all_means_what_may_run_and_never_what_is_kept() {
        let bottles = [
            bottle("a-00000", BottleState::Running),
            bottle("b-00000", BottleState::Preserved),
            bottle("c-00000", BottleState::Crashed),
            bottle("d-00000", BottleState::Stopped),
            bottle("e-00000", BottleState::Damaged),
        ];
        let stop = |slugs: &[&str], all| Stop {
            slugs: slugs.iter().map(|slug| (*slug).to_owned()).collect(),
            all,
            preserve: false,
        };
        let meant = |stop: Stop| -> Vec<String> {
            let meant = stop.meant(&bottles).unwrap();
            meant.iter().map(|bottle| bottle.slug.to_string()).collect()
        };
        assert_eq!(meant(stop(&[], true)), ["a-00000", "c-00000"]);
        assert_eq!(meant(stop(&["b", "b-00000"], false)), ["b-00000"]);
        assert!(stop(&["a", "nothing"], false).meant(&bottles).is_err());
    }
}
