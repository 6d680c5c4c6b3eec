//! Telling the operator that somebody waits: the terminal's bell, and a command of the operator's own.
//!
//! The command is a list of words in `config.yaml`; what it is told comes by environment, so that nothing an agent wrote is ever a part
//! of a command line.

use super::queue::{Item, Queue};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::printer::Printer;
use contract::{ProposalId, Slug};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

/// How often the queues are read: an operator does not notice half a second.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the command may take before it is ended.
const HOOK: Duration = Duration::from_secs(10);

/// How many proposals are told of at one look: a flood of them is not to become one of processes.
const AT_ONCE: usize = 5;

/// `config.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Program and arguments, run once for every new proposal.
    #[serde(default)]
    notify: Vec<String>,
}

/// Who has been told of what.
#[derive(Debug)]
pub struct Notices {
    hook: Vec<String>,
    known: BTreeSet<(Slug, ProposalId)>,
}

impl Notices {
    /// As `config.yaml` says.
    pub fn of(home: &Home) -> Result<Self> {
        let path = home.config();
        let config = match fs_err::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Config::default(),
            Ok(text) => serde_yaml::from_str(&text).map_err(|error| {
                Error::usage(format!("{} cannot be read", path.display()))
                    .because(error)
                    .hinted("it holds `notify: [program, argument, …]` or nothing")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Config::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            hook: config.notify,
            known: BTreeSet::new(),
        })
    }

    /// The pending proposals that nobody was told of yet, a few at a time; they count as told from now on.
    pub fn fresh<'q>(&mut self, queue: &'q Queue) -> Vec<&'q Item> {
        let known = &mut self.known;
        queue
            .pending()
            .filter(|item| known.insert((item.slug.clone(), item.id().clone())))
            .take(AT_ONCE)
            .collect()
    }

    /// Runs the operator's command for one. What fails is told and harms nothing.
    pub async fn run_hook(&self, printer: &Printer, item: &Item) {
        let Some((program, arguments)) = self.hook.split_first() else {
            return;
        };
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .envs(facts(item))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let ended = async { command.spawn()?.wait().await };
        match tokio::time::timeout(HOOK, ended).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => printer.warning(&format!("the notify command `{program}` ended with {status}")),
            Ok(Err(error)) => {
                printer.warning(&format!("the notify command `{program}` cannot be run: {error}"))
            }
            Err(_) => printer.warning(&format!(
                "the notify command `{program}` was ended after {} s",
                HOOK.as_secs()
            )),
        }
    }
}

/// Runs the operator's command for every new proposal, for ever: beside a session, whose terminal is the agent's.
pub async fn watch(home: &Home, printer: &Printer) {
    let Ok(mut notices) = Notices::of(home) else {
        return;
    };
    if notices.hook.is_empty() {
        return;
    }
    loop {
        // In a thread of its own: the session's bytes pass through this one.
        let home = home.clone();
        if let Ok(Ok(queue)) = tokio::task::spawn_blocking(move || Queue::of_home(&home)).await {
            for item in notices.fresh(&queue) {
                notices.run_hook(printer, item).await;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the command is told, by environment.
fn facts(item: &Item) -> [(&'static str, String); 6] {
    [
        ("BOTTLE_PROPOSAL_ID", item.id().to_string()),
        ("BOTTLE_SLUG", item.slug.to_string()),
        ("BOTTLE_TOOL", item.proposal.ask.tool().to_owned()),
        (
            "BOTTLE_ASKED",
            super::show::escaped(&super::show::asked(&item.proposal.ask)),
        ),
        ("BOTTLE_AGE_SECONDS", item.age_seconds().to_string()),
        (
            "BOTTLE_JUSTIFICATION",
            contract::text::harmless(item.proposal.ask.justification()),
        ),
    ]
}
