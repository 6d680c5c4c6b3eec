//! `bottle cleanup`

use crate::cli::Context;
use crate::error::{Error, Kind, Result};
use crate::images::Images;
use crate::images::libexec::Libexec;
use crate::lifecycle::{Bottle, BottleState, Machine, Outcome, Settled, folder, observe};
use clap::Args;
use contract::Slug;
use std::collections::BTreeSet;

/// Remove what crashed and stopped bottles of this home left behind. What runs, and what is kept, is left alone.
#[derive(Debug, Args)]
pub struct Cleanup {
    /// Show what would be removed, and stop there.
    #[arg(long)]
    pub dry_run: bool,

    /// Remove the kept state directory of this bottle, too.
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
        observe::tell_damaged(&machine.printer, &machine.home, &bottles);
        let discarded = self.discarded(&bottles)?;
        let dead: Vec<&Bottle> = bottles.iter().filter(|bottle| is_dead(bottle)).collect();
        let live: BTreeSet<Slug> = bottles
            .iter()
            .filter(|bottle| !is_dead(bottle) && !discarded.contains(&bottle.slug))
            .map(|bottle| bottle.slug.clone())
            .collect();
        if self.dry_run {
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
        work.remains();
        work.images(&images, &live).await;
        work.end()
    }

    fn discarded(&self, bottles: &[Bottle]) -> Result<BTreeSet<Slug>> {
        let mut discarded = BTreeSet::new();
        for argument in &self.discard {
            let bottle = observe::find(bottles, argument)?;
            if bottle.state == BottleState::Running || bottle.state == BottleState::Starting {
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
    failed: Vec<String>,
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
            Ok(Outcome::LeftAlone) => {}
            Err(error) => self.failed.push(error.to_string()),
        }
    }

    async fn discard(&mut self, slug: &Slug) {
        match self.machine.discard(slug).await {
            Ok(Outcome::Down(_)) => self.removed(&format!("the kept state of {slug}")),
            // Settled a moment ago, and nothing was kept.
            Ok(Outcome::LeftAlone) => {}
            Err(error) => self.failed.push(error.to_string()),
        }
    }

    fn remains(&mut self) {
        match self.machine.remove_remains() {
            Ok(folders) => {
                for folder in folders {
                    self.removed(&format!("folder {}", folder.display()));
                }
            }
            Err(error) => self.failed.push(error.to_string()),
        }
    }

    async fn images(&mut self, images: &Images<'_>, live: &BTreeSet<Slug>) {
        match images.prune(live).await {
            Ok(references) => {
                for reference in references {
                    self.removed(&format!("image {reference}"));
                }
            }
            Err(error) => self.failed.push(error.to_string()),
        }
    }

    fn end(self) -> Result<()> {
        if !self.failed.is_empty() {
            return Err(Error::several(Kind::Failed, self.failed));
        }
        if self.count == 0 {
            self.machine.printer.message("there is nothing to remove");
        }
        Ok(())
    }
}
