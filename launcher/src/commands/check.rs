//! `bottle check`

use crate::cli::Context;
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use crate::manifest;
use crate::plan::Plan;
use crate::proposals::notice::Notices;
use clap::Args;
use contract::{AgentName, BottleName};
use serde::Serialize;
use std::str::FromStr;

/// Check the manifests, and that what they name is there.
///
/// Every mistake is told with its file and line. Host variables and git keys are not looked at: `bottle start --dry-run` does that.
#[derive(Debug, Args)]
pub struct Check {
    /// Only this agent and its bottle.
    pub agent: Option<AgentName>,
}

/// What was looked at, and what is wrong.
#[derive(Default, Serialize)]
struct Report {
    agents: usize,
    bottles: usize,
    errors: Vec<String>,
}

impl Check {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let mut report = Report::default();
        match &self.agent {
            Some(agent) => {
                report.agents = 1;
                report.bottles = 1;
                report.note(Plan::check(agent, &home, &context.environment))?;
            }
            None => report.everything(&home, context)?,
        }
        if context.printer.wants_json() {
            context.printer.json(&report)?;
        }
        if !report.errors.is_empty() {
            return Err(Error::several(Kind::Usage, report.errors));
        }
        context.printer.message(&format!(
            "{} and {}: no mistakes",
            counted(report.agents, "agent"),
            counted(report.bottles, "bottle")
        ));
        Ok(())
    }
}

impl Report {
    fn everything(&mut self, home: &Home, context: &Context) -> Result<()> {
        let bottles: Vec<BottleName> = self.names(home, "bottles")?;
        let agents: Vec<AgentName> = self.names(home, "agents")?;
        if bottles.is_empty() && agents.is_empty() && self.errors.is_empty() {
            return Err(
                Error::usage(format!("there are no manifests in {}", home.root().display()))
                    .hinted("run `bottle init` to write a first agent and bottle"),
            );
        }
        (self.agents, self.bottles) = (agents.len(), bottles.len());
        for bottle in &bottles {
            self.note(manifest::bottle(home, bottle).map(drop))?;
        }
        self.note(Notices::of(home).map(drop))?;
        for agent in &agents {
            self.note(Plan::check(agent, home, &context.environment))?;
        }
        Ok(())
    }

    /// The names of one kind; a file whose name is none is a mistake.
    fn names<N: FromStr<Err: std::fmt::Display>>(&mut self, home: &Home, folder: &str) -> Result<Vec<N>> {
        let mut names = Vec::new();
        for stem in manifest::stems(&home.root().join(folder))? {
            match stem.parse() {
                Ok(name) => names.push(name),
                Err(error) => self.errors.push(format!(
                    "{folder}/{}.md: {error}",
                    contract::text::harmless(&stem)
                )),
            }
        }
        Ok(names)
    }

    /// Keeps mistakes in manifests; anything else ends the check.
    fn note(&mut self, result: Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        if error.kind() != Kind::Usage {
            return Err(error);
        }
        for message in told(&error) {
            if !self.errors.contains(&message) {
                self.errors.push(message);
            }
        }
        Ok(())
    }
}

/// Each mistake in one line, with the suggestion that belongs to it.
fn told(error: &Error) -> Vec<String> {
    let mut messages = error.messages().to_vec();
    if let [only] = messages.as_mut_slice() {
        for more in error.causes().iter().chain(error.hints()) {
            only.push_str("; ");
            only.push_str(more);
        }
    }
    messages
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
