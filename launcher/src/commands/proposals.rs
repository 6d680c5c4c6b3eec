//! `bottle proposals`

use crate::cli::Context;
use crate::error::Result;
use crate::home::Home;
use crate::lifecycle::interrupt::Interrupts;
use crate::proposals::notice::{LOOK_EVERY, Notices};
use crate::proposals::risk::Risk;
use crate::proposals::{Item, Queue, decide, notes, show};
use clap::Args;
use contract::{Proposal, ProposalStatus, Sha256Hex, Slug};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How many problems a watch tells: whoever makes more of them is not to push the proposals off the screen.
const MOST_PROBLEMS: usize = 100;

/// Show what agents ask for.
#[derive(Debug, Args)]
pub struct Proposals {
    /// Only this one, with everything to decide by.
    pub id: Option<String>,

    /// Go on showing what comes, and call for the operator: bell, terminal notification, and `notify` of config.yaml.
    #[arg(long, conflicts_with = "id")]
    pub watch: bool,

    /// Also those that were answered, expired or taken back.
    #[arg(long)]
    pub all: bool,
}

/// One proposal, in JSON.
#[derive(Serialize)]
struct Row<'a> {
    slug: &'a Slug,
    status: ProposalStatus,
    age_seconds: i64,
    proposal_sha256: &'a Sha256Hex,
    proposal: &'a Proposal,
    /// What was told to the agent, once it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<&'a str>,
    /// Only where one proposal is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    risks: Option<Vec<Risk>>,
    /// Likewise: the whole difference in what would be enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

impl Proposals {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        if self.watch {
            return self.watch(context, &home).await;
        }
        let queue = read(context, &home)?;
        match &self.id {
            Some(id) => one(context, &home, queue.find(id)?),
            None => self.list(context, &queue),
        }
    }

    fn shown<'q>(&self, queue: &'q Queue) -> Vec<&'q Item> {
        let shows = |item: &&Item| self.all || !item.status.is_final();
        queue.items.iter().filter(shows).collect()
    }

    fn list(&self, context: &Context, queue: &Queue) -> Result<()> {
        let printer = &context.printer;
        let items = self.shown(queue);
        if printer.wants_json() {
            let rows: Vec<Row<'_>> = items.iter().map(|item| row(item)).collect();
            return printer.json(&rows);
        }
        if items.is_empty() {
            printer.message("nobody asks for anything");
            return Ok(());
        }
        let cells: Vec<Vec<String>> = items.iter().map(|item| cells(item)).collect();
        printer.table(&["ID", "BOTTLE", "STATE", "AGE", "ASKS FOR"], &cells);
        if queue.pending().next().is_some() {
            printer.hint("`bottle approve ID` shows everything to decide by, and asks; `bottle reject ID --reason …` says no");
        }
        Ok(())
    }

    async fn watch(&self, context: &Context, home: &Home) -> Result<()> {
        let printer = &context.printer;
        let mut notices = Notices::of(home)?;
        let mut interrupts = Interrupts::listen()?;
        let mut told: BTreeMap<(Slug, contract::ProposalId), ProposalStatus> = BTreeMap::new();
        let mut problems: BTreeSet<String> = BTreeSet::new();
        let mut begin = true;
        loop {
            let queue = seen(home)?;
            // Told once: a file that cannot be read is there at every look.
            for problem in &queue.unreadable {
                if problems.len() < MOST_PROBLEMS && problems.insert(problem.clone()) {
                    printer.warning(problem);
                }
            }
            for item in &queue.items {
                let key = (item.slug.clone(), item.id().clone());
                let news = told.insert(key, item.status) != Some(item.status);
                let is_old = begin && item.status.is_final() && !self.all;
                if news && !is_old {
                    if printer.wants_json() {
                        printer.json(&row(item))?;
                    } else {
                        printer.data(&cells(item).join("  "));
                    }
                }
            }
            begin = false;
            if !printer.has_reader() {
                return Ok(());
            }
            let calling = async {
                for item in notices.fresh(&queue) {
                    let text = format!("{} asks for {}", item.slug, show::asked(&item.proposal.ask));
                    printer.ring("bottle", &text);
                    notices.run_hook(printer, item).await;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            };
            // The operator's command may take its time; the operator is not held up by it.
            tokio::select! {
                () = calling => {}
                _ = interrupts.next() => return Ok(()),
            }
        }
    }
}

/// The queues, every proposal noted as seen; what cannot be read is told.
pub(super) fn read(context: &Context, home: &Home) -> Result<Queue> {
    let queue = seen(home)?;
    for problem in &queue.unreadable {
        context.printer.warning(problem);
    }
    Ok(queue)
}

fn seen(home: &Home) -> Result<Queue> {
    let mut queue = Queue::of_home(home)?;
    notes::note_seen(home, &mut queue)?;
    Ok(queue)
}

fn one(context: &Context, home: &Home, item: &Item) -> Result<()> {
    let printer = &context.printer;
    let target = crate::apply::Target::of(home, &item.slug)?;
    let considered = item
        .is_pending()
        .then(|| decide::consider(context, &target, item, None, decide::Lasts::default()));
    if printer.wants_json() {
        let mut row = row(item);
        if let Some(Ok(considered)) = &considered {
            row.risks = Some(considered.risks.clone());
            row.diff = Some(considered.change.diff());
        }
        return printer.json(&row);
    }
    match considered {
        Some(Ok(considered)) => printer.data_quoting(&show::considered(&considered)),
        Some(Err(error)) => {
            printer.data_quoting(&show::head(item));
            printer.error(&error);
        }
        None => {
            printer.data_quoting(&show::head(item));
            printer.data(&format!("it is {}", item.status));
        }
    }
    Ok(())
}

fn row(item: &Item) -> Row<'_> {
    Row {
        slug: &item.slug,
        status: item.status,
        age_seconds: item.age_seconds(),
        proposal_sha256: &item.sha256,
        proposal: &item.proposal,
        statement: item.applied.as_ref().map(|state| state.statement.as_str()),
        risks: None,
        diff: None,
    }
}

fn cells(item: &Item) -> Vec<String> {
    vec![
        item.id().to_string(),
        item.slug.to_string(),
        item.status.to_string(),
        show::age(item.age_seconds()),
        show::asked(&item.proposal.ask),
    ]
}
