//! `bottle pipelock`

use super::revoke::apply_edit;
use super::which::target;
use crate::apply::{Target, seat};
use crate::cli::Context;
use crate::editor;
use crate::error::Result;
use clap::{Args, Subcommand};

/// Show or edit what a bottle's seat scans by.
#[derive(Debug, Args)]
pub struct Pipelock {
    /// What to do.
    #[command(subcommand)]
    pub command: PipelockCommand,
}

/// What can be done with the seat's configuration.
#[derive(Debug, Subcommand)]
pub enum PipelockCommand {
    /// Show pipelock.yaml, and the exemptions that hold
    Show {
        /// The bottle, by its slug or the beginning of it. Default: the only one.
        slug: Option<String>,
    },
    /// Edit the live pipelock.yaml in your editor; it is checked, shown and applied
    Edit {
        /// The bottle, by its slug or the beginning of it. Default: the only one.
        slug: Option<String>,
        /// Do not ask for a yes.
        #[arg(long, short)]
        yes: bool,
    },
}

impl Pipelock {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        match self.command {
            PipelockCommand::Show { slug } => show(context, &target(&home, slug.as_deref())?),
            PipelockCommand::Edit { slug, yes } => edit(context, &target(&home, slug.as_deref())?, yes).await,
        }
    }
}

fn show(context: &Context, target: &Target) -> Result<()> {
    let files = seat::Files::of(target)?;
    let exemptions = seat::exemptions(target)?;
    let printer = &context.printer;
    if printer.wants_json() {
        return printer.json(&serde_json::json!({
            "pipelock_yaml": files.pipelock.text()?,
            "exemptions": exemptions,
        }));
    }
    printer.data(files.pipelock.text()?.trim_end());
    let cells: Vec<Vec<String>> = exemptions
        .iter()
        .map(|one| {
            vec![
                one.id.to_string(),
                one.rule.clone(),
                one.host.to_string(),
                one.expires_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            ]
        })
        .collect();
    if !cells.is_empty() {
        printer.data("");
    }
    printer.table(&["EXEMPTION", "RULE", "HOST", "ENDS"], &cells);
    Ok(())
}

async fn edit(context: &Context, target: &Target, yes: bool) -> Result<()> {
    let files = seat::Files::of(target)?;
    let live = files.pipelock;
    let Some(text) = editor::edit(&context.environment, live.name, live.text()?)? else {
        context.printer.message("nothing was changed");
        return Ok(());
    };
    let change = || seat::edited(target, &text);
    let shown = change()?;
    // What the file was edited from must still be what is there.
    let same_base = || -> Result<_> {
        let change = change()?;
        let base = change.guards.iter().flat_map(|step| &step.files);
        match base
            .into_iter()
            .any(|file| file.name == live.name && file.before != live.before)
        {
            true => Err(super::revoke::changed(target)),
            false => Ok(change),
        }
    };
    apply_edit(context, target, yes, &shown, same_base).await
}
