//! `bottle cleanup`

use crate::ask;
use crate::cli::Context;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::images::Images;
use crate::images::libexec::Libexec;
use crate::lifecycle::{Bottle, BottleState, Machine, Outcome, Settled, folder, observe, tell_set_aside};
use clap::Args;
use contract::Slug;
use std::collections::BTreeSet;

/// Remove what crashed and stopped bottles of this home left behind. What runs, and what is kept, is left alone; bottles whose state
/// directory is damaged or gone are asked about.
#[derive(Debug, Args)]
pub struct Cleanup {
    /// Show what would be removed, and stop there.
    #[arg(long)]
    pub dry_run: bool,

    /// End bottles whose state directory is damaged or gone without asking.
    #[arg(long, short)]
    pub yes: bool,

    /// Remove the kept state directory of this bottle, too, or what was set aside of it.
    #[arg(long, value_name = "SLUG")]
    pub discard: Vec<String>,
}

impl Cleanup {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let machine = Machine::connect(context).await?;
        let libexec = Libexec::of_process()?;
        let images = Images {
            engine: &machine.engine,
            libexec: &libexec,
            home: &machine.home,
            printer: &machine.printer,
        };
        let bottles = observe::all(&machine.engine, &machine.home).await?;
        let discarded = self.discarded(&machine.home, &bottles)?;
        // What is discarded is on the operator's word already.
        let unjudged: Vec<Bottle> = bottles
            .iter()
            .filter(|bottle| bottle.state.is_unjudged() && !discarded.contains(&bottle.slug))
            .cloned()
            .collect();
        let kept: Vec<&str> = bottles
            .iter()
            .filter(|bottle| bottle.state == BottleState::Preserved && !discarded.contains(&bottle.slug))
            .map(|bottle| bottle.slug.as_str())
            .collect();
        if !kept.is_empty() {
            machine.printer.hint(&format!(
                "left alone, since it is kept: {}; `--discard SLUG` removes it, too",
                kept.join(", ")
            ));
        }
        let dead: Vec<&Bottle> = bottles.iter().filter(|bottle| is_dead(bottle)).collect();
        let live: BTreeSet<Slug> = bottles
            .iter()
            .filter(|bottle| !is_dead(bottle) && !discarded.contains(&bottle.slug))
            .map(|bottle| bottle.slug.clone())
            .collect();
        if self.dry_run {
            for bottle in unjudged.iter().filter(|bottle| bottle.evidence.has_resources) {
                observe::tell_what_ends(&machine.printer, &machine.home, bottle);
                machine
                    .printer
                    .hint("that is asked about; `--yes` does it without asking");
            }
            return show(&machine, &images, &dead, &discarded, &live).await;
        }
        let mut work = Work {
            machine: &machine,
            count: 0,
            failed: Vec::new(),
        };
        for bottle in dead {
            work.settle(&bottle.slug).await;
        }
        for slug in &discarded {
            work.discard(slug).await;
        }
        for bottle in &unjudged {
            work.unjudged(bottle, self.yes).await;
        }
        work.remains();
        work.images(&images, &live).await;
        work.end()
    }

    fn discarded(&self, home: &Home, bottles: &[Bottle]) -> Result<BTreeSet<Slug>> {
        let mut discarded = BTreeSet::new();
        for argument in &self.discard {
            let set_aside = argument
                .parse()
                .ok()
                .filter(|slug| folder::is_set_aside(home, slug));
            let bottle = match (observe::find(bottles, argument), set_aside) {
                (Ok(bottle), None) => bottle,
                (Ok(bottle), Some(slug)) if bottle.slug == slug => bottle,
                // Not one whose slug only begins so.
                (_, Some(slug)) => {
                    discarded.insert(slug);
                    continue;
                }
                (Err(error), None) => return Err(error),
            };
            let is_unjudged_and_runs = bottle.state.is_unjudged() && bottle.owned.any_runs();
            if is_unjudged_and_runs
                || bottle.state == BottleState::Running
                || bottle.state == BottleState::Starting
            {
                return Err(
                    Error::failed(format!("{} is {}", bottle.slug, bottle.state.word()))
                        .hinted(format!("`bottle stop {}` takes it down", bottle.slug)),
                );
            }
            discarded.insert(bottle.slug.clone());
        }
        Ok(discarded)
    }
}

fn is_dead(bottle: &Bottle) -> bool {
    matches!(bottle.state, BottleState::Crashed | BottleState::Stopped)
}

async fn show(
    machine: &Machine,
    images: &Images<'_>,
    dead: &[&Bottle],
    discarded: &BTreeSet<Slug>,
    live: &BTreeSet<Slug>,
) -> Result<()> {
    let mut lines = Vec::new();
    for bottle in dead {
        lines.extend(bottle.owned.lines());
        if bottle.evidence.has_folder {
            lines.push(format!(
                "state directory of {} ({})",
                bottle.slug,
                bottle.state.word()
            ));
        }
    }
    lines.extend(
        discarded
            .iter()
            .map(|slug| format!("kept state directory of {slug}")),
    );
    let remains = folder::remains(&machine.home)?;
    lines.extend(
        remains
            .iter()
            .map(|folder| format!("folder {}", folder.display())),
    );
    let unneeded = images.unneeded(live).await?;
    lines.extend(unneeded.iter().map(|image| format!("image {image}")));
    if machine.printer.wants_json() {
        return machine.printer.json(&lines);
    }
    if lines.is_empty() {
        machine.printer.message("there is nothing to remove");
    }
    for line in lines {
        machine.printer.data(&line);
    }
    Ok(())
}

/// Goes on after a failure, and tells them all in the end.
struct Work<'a> {
    machine: &'a Machine,
    count: usize,
    failed: Vec<Error>,
}

impl Work<'_> {
    fn removed(&mut self, what: &str) {
        self.count += 1;
        self.machine.printer.message(&format!("removed {what}"));
    }

    async fn settle(&mut self, slug: &Slug) {
        match self.machine.settle_dead(slug).await {
            Ok(Outcome::Down(Settled::Removed)) => self.removed(&format!("bottle {slug}")),
            Ok(Outcome::Down(Settled::Kept)) => {
                self.removed(&format!(
                    "containers of {slug}; its state is kept, for there may be work in it"
                ));
                self.machine
                    .printer
                    .hint(&format!("`bottle cleanup --discard {slug}` removes that, too"));
            }
            Ok(Outcome::LeftAlone | Outcome::SetAside(_)) => {}
            Err(error) => self.failed.push(error),
        }
    }

    /// Only on the operator's word: it may be in use, and its state directory merely away.
    async fn unjudged(&mut self, bottle: &Bottle, yes: bool) {
        let (machine, printer) = (self.machine, &self.machine.printer);
        let bottle = match observe::one(&machine.engine, &machine.home, &bottle.slug).await {
            Ok(bottle) => bottle,
            Err(error) => return self.failed.push(error),
        };
        if !bottle.state.is_unjudged() || !bottle.evidence.has_folder && !bottle.evidence.has_resources {
            return;
        }
        if !bottle.evidence.has_resources || !yes && !ask::is_interactive() {
            return observe::tell_unjudged(printer, &machine.home, &[bottle]);
        }
        if let Some(why) = &bottle.damage {
            printer.warning(&format!(
                "{}: its state directory cannot be read: {why}",
                bottle.slug
            ));
        }
        observe::tell_what_ends(printer, &machine.home, &bottle);
        if !yes && !ask::confirm(printer, "End it?").unwrap_or(false) {
            return printer.message(&format!("{} is left alone", bottle.slug));
        }
        match machine.stop(&bottle, false).await {
            Ok(Outcome::SetAside(aside)) => {
                self.count += 1;
                tell_set_aside(printer, &bottle.slug, aside.as_deref());
            }
            Ok(Outcome::Down(_)) => self.removed(&format!("bottle {}", bottle.slug)),
            Ok(Outcome::LeftAlone) => {}
            Err(error) => self.failed.push(error),
        }
    }

    async fn discard(&mut self, slug: &Slug) {
        match self.machine.discard(slug).await {
            Ok(Outcome::Down(_)) => self.removed(&format!("the kept state of {slug}")),
            // Settled a moment ago, and nothing was kept.
            Ok(Outcome::LeftAlone | Outcome::SetAside(_)) => {}
            Err(error) => self.failed.push(error),
        }
    }

    fn remains(&mut self) {
        match self.machine.remove_remains() {
            Ok(folders) => {
                for folder in folders {
                    self.removed(&format!("folder {}", folder.display()));
                }
            }
            Err(error) => self.failed.push(error),
        }
    }

    async fn images(&mut self, images: &Images<'_>, live: &BTreeSet<Slug>) {
        match images.prune(live).await {
            Ok(references) => {
                for reference in references {
                    self.removed(&format!("image {reference}"));
                }
            }
            Err(error) => self.failed.push(error),
        }
    }

    fn end(self) -> Result<()> {
        if !self.failed.is_empty() {
            return Err(Error::all(&self.failed));
        }
        if self.count == 0 {
            self.machine.printer.message("there is nothing to remove");
        }
        Ok(())
    }
}
