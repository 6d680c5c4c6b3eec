//! Taking a permission back, and the operator's own edits: changes that no proposal asked for.

use super::change::{Change, GuardStep};
use super::perform::{Performed, perform};
use super::standing::Standing;
use super::{Target, ack, egress, git_gate, seat};
use crate::audit::{Index, Note};
use crate::cli::Context;
use crate::environment::Environment;
use crate::error::{Doing as _, Error, Result};
use contract::audit::{AuditEvent, FileChange, LastingChange, Outcome};
use contract::place::config;
use contract::{Grant, GrantId, HostName, ProposalId, Route, RouteTable, Sha256Hex, Timestamp};
use std::time::SystemTime;

/// A permission to take back.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// The host that it was for.
    pub host: HostName,
    /// The proposal that gave it.
    pub proposal: Option<ProposalId>,
    /// The grant, where it ends by itself.
    pub grant: Option<GrantId>,
    /// What would be done.
    pub change: Change,
    /// What others grant of the same and what so stays in force, and who does, such as `docs.rs/guide/: p-0000000b`.
    pub stays: Vec<String>,
}

/// What taking back a grant would change: its route, or its exemption at the seat. `None` when neither is there.
pub fn grant(target: &Target, environment: &Environment, id: &GrantId) -> Result<Option<Revocation>> {
    let before = egress::table(target)?;
    let is_it = |route: &&Route| route.grant.as_ref().is_some_and(|grant| grant.grant_id == *id);
    let host = before.routes().iter().find(is_it).map(|route| route.host.clone());
    let proposal = Some(id.proposal());
    if let Some(host) = host {
        let routes = before
            .routes()
            .iter()
            .filter(|route| !is_it(route))
            .cloned()
            .collect();
        let mut change = egress::to(target, environment, &before, table(&before, routes)?)?;
        change.statement = format!("the grant for {host} is revoked");
        let mut stays = grants_beside(target, &before, &host, Some(id))?;
        if before.lasting(&host).is_some() {
            stays.push(format!("{host}: the route that does not end"));
        }
        return Ok(Some(Revocation {
            host,
            proposal,
            grant: Some(id.clone()),
            change,
            stays,
        }));
    }
    Ok(
        seat::without_exemption(target, id)?.map(|(host, change)| Revocation {
            host,
            proposal,
            grant: Some(id.clone()),
            change,
            stays: Vec::new(),
        }),
    )
}

/// What taking back a lasting approval would change: what it alone granted goes, and what another one grants, too, stays. `None` when
/// there is nothing of it to take back.
pub fn lasting(
    target: &Target,
    environment: &Environment,
    proposal: &ProposalId,
    was: &LastingChange,
) -> Result<Option<Revocation>> {
    let before = egress::table(target)?;
    let host = &was.after.host;
    let Some(present) = before.lasting(host) else {
        return Ok(None);
    };
    let entries = crate::audit::read(&target.audit())?;
    let standing = Standing::of(&entries, host, Some(present));
    let Some(without) = standing.without(proposal, present) else {
        return Ok(None);
    };
    let routes = before
        .routes()
        .iter()
        .filter_map(|route| match std::ptr::eq(route, present) {
            true => without.route.clone(),
            false => Some(route.clone()),
        })
        .collect();
    let mut change = egress::to(target, environment, &before, table(&before, routes)?)?;
    let mut stays = without.stays;
    stays.extend(grants_beside(target, &before, host, None)?);
    change.statement = match stays.as_slice() {
        [] => format!("what was approved for {host} is revoked"),
        stays => format!(
            "what {proposal} alone granted for {host} is revoked; others still grant {}",
            stays.join(", ")
        ),
    };
    Ok(Some(Revocation {
        host: host.clone(),
        proposal: Some(proposal.clone()),
        grant: None,
        change,
        stays,
    }))
}

/// Permissions for the same host that end by themselves and have not: they keep their own terms.
fn grants_beside(
    target: &Target,
    table: &RouteTable,
    host: &HostName,
    except: Option<&GrantId>,
) -> Result<Vec<String>> {
    let ledger = egress::ledger(target)?;
    let has_ended = |grant: &Grant| {
        let records = ledger.iter().flat_map(|ledger| &ledger.grants);
        let mut ended = records.filter(|record| record.end.is_some());
        let now = Timestamp::from(SystemTime::now());
        ended.any(|record| record.grant_id == grant.grant_id)
            || grant.expires_at.is_some_and(|expires_at| expires_at <= now)
    };
    let grants = table.routes_of(host).filter_map(|route| route.grant.as_ref());
    Ok(grants
        .filter(|grant| Some(&grant.grant_id) != except && !has_ended(grant))
        .map(|grant| format!("{host}{}: {}", egress::until(Some(grant)), grant.grant_id))
        .collect())
}

fn table(before: &RouteTable, routes: Vec<Route>) -> Result<RouteTable> {
    RouteTable::new(before.generation, routes).doing(|| "the routes do not make a table".to_owned())
}

/// Does a change of the operator's own, audited by what it is. What is true then; an error when it is not in force.
pub async fn carry_out(
    context: &Context,
    target: &Target,
    change: &Change,
    event: AuditEvent,
    proposal: Option<&ProposalId>,
    grant: Option<&GrantId>,
) -> Result<String> {
    let log = target.audit();
    log.append([Note::operator(event).joined(proposal, grant)])?;
    let (outcome, now, notes) = match perform(context, target, change).await? {
        Performed::InForce(notes) => (Outcome::Applied, change.statement.clone(), notes),
        Performed::Failed { why, now } => (Outcome::Failed, format!("{why}; {now}"), Vec::new()),
    };
    let outcome_note = Note::launcher(AuditEvent::Outcome {
        outcome,
        now: now.clone(),
    });
    let notes = notes.into_iter().chain([outcome_note]);
    log.append(notes.map(|note| note.joined(proposal, grant)))?;
    match outcome {
        Outcome::Failed => Err(Error::not_applied(now).hinted(format!(
            "`bottle logs {}` shows what the guards say; then do it again",
            target.slug
        ))),
        Outcome::Applied | Outcome::Modified => Ok(now),
    }
}

/// What became of an edit or revocation that was killed half-way: in force when every file is as it was to be and its guard says so.
pub async fn finish(target: &Target, changes: &[FileChange]) -> Result<(Outcome, String)> {
    let mut written = 0;
    for change in changes {
        let folder = match change.file.as_str() {
            config::ROUTES => target.state.egress_config(),
            config::GATE => target.state.git_gate_config(),
            _ => target.state.pipelock_config(),
        };
        let bytes = fs_err::read(folder.join(&change.file))?;
        if Sha256Hex::of(&bytes) == change.after_sha256 {
            written += 1;
        }
    }
    if written < changes.len() {
        let now = match written {
            0 => "it was interrupted before anything was written",
            _ => "it was interrupted: the seat has it, egress does not; do it again",
        };
        return Ok((Outcome::Failed, now.to_owned()));
    }
    for step in in_place(target)? {
        if let Some(applied) = &step.applied
            && let Err(why) = ack::wait(applied, &target.nonce, &step.after_sha256, target.patience).await
        {
            return Ok((
                Outcome::Failed,
                format!("it was written, and {} {why}", step.guard),
            ));
        }
    }
    Ok((
        Outcome::Applied,
        "it was interrupted after everything was written; it is in force".to_owned(),
    ))
}

/// Every guard's files as they are.
fn in_place(target: &Target) -> Result<Vec<GuardStep>> {
    let mut steps = Vec::new();
    steps.extend(seat::Files::read(target)?.map(|files| files.step(target)));
    steps.push(egress::step(target, egress::routes(target)?));
    if target.state.git_gate_config().join(config::GATE).is_file() {
        steps.push(git_gate::step(target, git_gate::file(target)?));
    }
    Ok(steps)
}

/// The revocation that an argument means, in a bottle.
pub fn meant(target: &Target, environment: &Environment, argument: &str) -> Result<Option<Revocation>> {
    let index = Index::of(&target.audit())?;
    if let Ok(id) = argument.parse::<GrantId>() {
        return grant(target, environment, &id);
    }
    let Ok(id) = argument.parse::<ProposalId>() else {
        return Ok(None);
    };
    if let Some(found) = grant(target, environment, &id.grant())? {
        return Ok(Some(found));
    }
    match index.lasting.get(&id) {
        Some(was)
            if index
                .outcomes
                .get(&id)
                .is_some_and(|(outcome, _)| *outcome != Outcome::Failed) =>
        {
            lasting(target, environment, &id, was)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
