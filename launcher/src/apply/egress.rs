//! `egress-block`, and every other change of `routes.yaml`: the table after it, mirrored into the seat.

use super::change::{Change, FileStep, GuardStep, NewSlot};
use super::{Target, seat};
use crate::environment::Environment;
use crate::error::{Doing as _, Error, Result};
use crate::written_inside;
use contract::audit::LastingChange;
use contract::place::{config, run};
use contract::{
    Grant, GrantId, GrantLedger, Guard, HostName, ProposalId, Route, RouteAsk, RouteTable, Sha256Hex, merge,
};
use std::collections::BTreeSet;

/// The table in force, as its file says; refused by name on a bottle without egress.
pub fn table(target: &Target) -> Result<RouteTable> {
    parse(target, &routes(target)?.before)
}

/// `routes.yaml`, unchanged.
pub fn routes(target: &Target) -> Result<FileStep> {
    let path = target.state.egress_config().join(config::ROUTES);
    if !path.is_file() {
        return Err(Error::failed(format!(
            "{} has no egress: there are no routes to it",
            target.slug
        ))
        .hinted("`bottle list` shows the bottles"));
    }
    FileStep::read(config::ROUTES, path)
}

fn parse(target: &Target, bytes: &[u8]) -> Result<RouteTable> {
    RouteTable::parse(bytes).doing(|| format!("the routes of {} cannot be read", target.slug))
}

/// What approving a route would change. With a grant it ends by itself.
pub fn block(
    target: &Target,
    environment: &Environment,
    proposal: &ProposalId,
    ask: &RouteAsk,
    grant: Option<Grant>,
) -> Result<Change> {
    let before = table(target)?;
    let pruned = without_ended(target, &before, grant.as_ref().map(|grant| &grant.grant_id))?;
    let there = |grant: &Grant| {
        before.routes().iter().any(|route| {
            route
                .grant
                .as_ref()
                .is_some_and(|other| other.grant_id == grant.grant_id)
        })
    };
    let is_there = grant.as_ref().is_some_and(there);
    let failed = |error: merge::MergeError| {
        Error::failed(format!(
            "the route cannot be merged into those of {}",
            target.slug
        ))
        .because(error)
    };
    let mut change;
    if is_there {
        // What an interrupted command has written already.
        change = to(target, environment, &before, before.clone())?;
    } else {
        let merged = pruned
            .merge_proposal(proposal, ask, grant.clone())
            .map_err(failed)?;
        change = to(target, environment, &before, merged.table.clone())?;
        if merged.ignored_auth {
            change.notes.push(format!(
                "the credential that was asked for is ignored: {} keeps its own",
                ask.host
            ));
        }
        if merged.change == merge::Change::Unchanged {
            change.notes.push(filters_stay(&before, ask));
        }
        if grant.is_none()
            && let Some(after) = merged.table.lasting(&ask.host)
        {
            change.lasting = Some(LastingChange {
                before: before.lasting(&ask.host).cloned(),
                after: after.clone(),
            });
        }
    }
    change.probes(std::slice::from_ref(&ask.host));
    change.statement = format!("{} is live", ask.host);
    change.until = until(grant.as_ref());
    Ok(change)
}

fn filters_stay(before: &RouteTable, ask: &RouteAsk) -> String {
    let host = &ask.host;
    let filtered = before
        .lasting(host)
        .is_some_and(|route| route.path_allowlist.is_some() || route.methods.is_some());
    if filtered {
        format!(
            "the routes admit this already; {host} keeps its filters, and an ask without paths or methods adds none"
        )
    } else {
        format!("the routes admit all of {host} already")
    }
}

/// When it ends, to follow a statement: such as `, until 2026-11-21T18:00:00.000Z`.
pub(super) fn until(grant: Option<&Grant>) -> String {
    let mut told = String::new();
    if let Some(grant) = grant {
        if let Some(expires_at) = grant.expires_at {
            told.push_str(&format!(", until {expires_at}"));
        }
        if grant.once {
            told.push_str(", for one request");
        }
    }
    told
}

/// What it would take to get from one table to another. The generation counts on when anything changes.
pub fn to(
    target: &Target,
    environment: &Environment,
    before: &RouteTable,
    mut after: RouteTable,
) -> Result<Change> {
    let mut change = Change::default();
    let mut file = routes(target)?;
    if after.routes() != before.routes() {
        after.generation = before.generation.saturating_add(1);
        let rendered = after
            .render()
            .doing(|| "routes.yaml cannot be written".to_owned())?;
        file.after = rendered.into_bytes();
    }
    change.new_slots = new_slots(before, &after);
    match seat::mirror(target, environment, before, &after)? {
        Some(mirrored) => {
            change.notes.extend(mirrored.notes);
            change.guards.push(mirrored.step);
        }
        None => change.absent.push(Guard::Pipelock),
    }
    change.guards.push(step(target, file));
    let mut fresh: Vec<HostName> = after.routes().iter().map(|route| route.host.clone()).collect();
    fresh.retain(|host| !before.knows(host));
    fresh.dedup();
    change.probes(&fresh);
    Ok(change)
}

/// The step that makes `routes.yaml` so.
pub fn step(target: &Target, file: FileStep) -> GuardStep {
    GuardStep {
        guard: Guard::Egress,
        applied: Some(target.state.egress_run().join(run::APPLIED)),
        before_sha256: Sha256Hex::of(&file.before),
        after_sha256: Sha256Hex::of(&file.after),
        files: vec![file],
        probes: Vec::new(),
    }
}

/// Credentials that the table after names and the one before does not.
fn new_slots(before: &RouteTable, after: &RouteTable) -> Vec<NewSlot> {
    let known: BTreeSet<(u16, &str)> = before
        .routes()
        .iter()
        .filter_map(|route| route.auth.as_ref())
        .map(|auth| (auth.token_env.number(), auth.token_ref.as_str()))
        .collect();
    let mut slots: Vec<NewSlot> = Vec::new();
    for auth in after.routes().iter().filter_map(|route| route.auth.as_ref()) {
        let is_new = !known.contains(&(auth.token_env.number(), auth.token_ref.as_str()));
        if is_new && !slots.iter().any(|new| new.slot == auth.token_env) {
            slots.push(NewSlot {
                slot: auth.token_env,
                token_ref: auth.token_ref.clone(),
            });
        }
    }
    slots
}

/// What the guard has noted of its grants; `None` before its first.
pub fn ledger(target: &Target) -> Result<Option<GrantLedger>> {
    let path = target.state.egress_run().join(run::GRANTS);
    let Some(bytes) = written_inside::read(&path)? else {
        return Ok(None);
    };
    let ledger = serde_json::from_slice(&bytes).doing(|| {
        format!(
            "what egress noted of its grants ({}) cannot be read",
            path.display()
        )
    })?;
    Ok(Some(ledger))
}

/// The table without the grants that the guard has ended: they admit nothing any more, and would pile up.
fn without_ended(target: &Target, table: &RouteTable, except: Option<&GrantId>) -> Result<RouteTable> {
    let Some(ledger) = ledger(target)? else {
        return Ok(table.clone());
    };
    let ended: BTreeSet<&GrantId> = ledger
        .grants
        .iter()
        .filter(|record| record.end.is_some())
        .map(|record| &record.grant_id)
        .collect();
    let holds = |route: &&Route| {
        route
            .grant
            .as_ref()
            .is_none_or(|grant| !ended.contains(&grant.grant_id) || except == Some(&grant.grant_id))
    };
    let routes = table.routes().iter().filter(holds).cloned().collect();
    RouteTable::new(table.generation, routes).doing(|| "the routes do not make a table".to_owned())
}
