//! `bottle routes`

use super::revoke::apply_edit;
use super::which::target;
use crate::apply::{Change, Target, egress};
use crate::cli::Context;
use crate::editor;
use crate::error::{Error, Result};
use clap::{Args, Subcommand};
use contract::{GrantEnd, GrantEndCause, Route, RouteTable};
use serde::Serialize;

/// Show or edit where a bottle may go.
#[derive(Debug, Args)]
pub struct Routes {
    /// What to do.
    #[command(subcommand)]
    pub command: RoutesCommand,
}

/// What can be done with routes.
#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// Show the routes in force
    Show {
        /// The bottle, by its slug or the beginning of it. Default: the only one.
        slug: Option<String>,
    },
    /// Edit the live routes in your editor; they are checked, shown and applied
    Edit {
        /// The bottle, by its slug or the beginning of it. Default: the only one.
        slug: Option<String>,
        /// Do not ask for a yes.
        #[arg(long, short)]
        yes: bool,
    },
}

/// One route, in JSON: the route, and how its grant ended.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    route: &'a Route,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<GrantEnd>,
}

impl Routes {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        match self.command {
            RoutesCommand::Show { slug } => show(context, &target(&home, slug.as_deref())?),
            RoutesCommand::Edit { slug, yes } => edit(context, &target(&home, slug.as_deref())?, yes).await,
        }
    }
}

fn show(context: &Context, target: &Target) -> Result<()> {
    let table = egress::table(target)?;
    let ledger = egress::ledger(target)?;
    let end = |route: &Route| {
        let grant = route.grant.as_ref()?;
        let records = ledger.iter().flat_map(|ledger| &ledger.grants);
        records
            .filter(|record| record.grant_id == grant.grant_id)
            .find_map(|record| record.end.clone())
    };
    let rows: Vec<Row<'_>> = table
        .routes()
        .iter()
        .map(|route| Row {
            route,
            ended: end(route),
        })
        .collect();
    if context.printer.wants_json() {
        return context.printer.json(&rows);
    }
    if rows.is_empty() {
        context
            .printer
            .message(&format!("{} may go nowhere", target.slug));
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    context
        .printer
        .table(&["HOST", "METHODS", "PATHS", "AUTH", "ENDS"], &cells);
    Ok(())
}

fn cells(row: &Row<'_>) -> Vec<String> {
    let list = |items: Option<Vec<String>>| items.map_or_else(|| "all".to_owned(), |items| items.join(","));
    let route = row.route;
    let methods = route.methods.as_ref();
    let paths = route.path_allowlist.as_ref();
    let ends = match (&route.grant, &row.ended) {
        (None, _) => "-".to_owned(),
        (Some(grant), Some(end)) => match end.cause {
            GrantEndCause::Used => format!("{}: used", grant.grant_id),
            GrantEndCause::Expired => format!("{}: expired", grant.grant_id),
        },
        (Some(grant), None) => {
            let at = grant.expires_at.map(|at| format!(" {at}")).unwrap_or_default();
            let once = if grant.once { " after one request" } else { "" };
            format!("{}:{at}{once}", grant.grant_id)
        }
    };
    vec![
        route.host.to_string(),
        list(methods.map(|methods| methods.iter().map(ToString::to_string).collect())),
        list(paths.map(|paths| paths.iter().map(ToString::to_string).collect())),
        route.auth.as_ref().map_or_else(
            || "-".to_owned(),
            |auth| format!("{} {}", auth.scheme, auth.token_ref),
        ),
        ends,
    ]
}

async fn edit(context: &Context, target: &Target, yes: bool) -> Result<()> {
    let live = egress::routes(target)?;
    let Some(text) = editor::edit(&context.environment, live.name, live.text()?)? else {
        context.printer.message("nothing was changed");
        return Ok(());
    };
    let after = RouteTable::parse(text.as_bytes())
        .map_err(|error| Error::usage("this is no routes.yaml, so nothing was changed").because(error))?;
    let change = || -> Result<Change> {
        // What the file was edited from must still be what is there.
        if egress::routes(target)?.before != live.before {
            return Err(super::revoke::changed(target));
        }
        let before = egress::table(target)?;
        let mut change = egress::to(target, &context.environment, &before, after.clone())?;
        change.statement = format!("the routes of {} are in force as edited", target.slug);
        Ok(change)
    };
    let shown = change()?;
    if let Some(slot) = shown.new_slots.first() {
        return Err(Error::usage(format!(
            "the running egress holds no {} for {}; nothing was changed",
            slot.slot, slot.token_ref
        ))
        .hinted("a credential comes with a proposal (egress-block with auth) or with the next start"));
    }
    apply_edit(context, target, yes, &shown, change).await
}
