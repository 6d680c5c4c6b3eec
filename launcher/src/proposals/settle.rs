//! Carrying an approved proposal out, and going on with what an earlier command could not finish: killed, out of disk space, or with a
//! guard that did not answer.
//!
//! The order on disk is: answer (link), audit, state `applying`, the guards' files, audit of what came of it, final state. Whatever of
//! it is missing is done by the next command that looks: every step can be done twice with the same result. Only the audit tells
//! that something was done twice.

use super::decide::{change_of, link, response};
use super::notes::{decider, decision_notes, ended, is_new, joined, withdrawal_note};
use super::queue::{Item, Queue};
use crate::apply::{self, Change, Performed, Target, perform, recreate};
use crate::audit::{Index, Note};
use crate::cli::Context;
use crate::error::{Doing as _, Error, Result};
use crate::home::Home;
use crate::kill_points::reached;
use crate::lifecycle::folder;
use crate::lifecycle::lock::{How, Locked, Tried};
use crate::write;
use contract::audit::{AuditEvent, Outcome};
use contract::place::queue;
use contract::{
    Application, ApplyState, Ask, OperatorDecision, ProposalStatus, SCHEMA_VERSION, Slug, Timestamp,
};
use std::time::SystemTime;

/// What an approval came to.
#[derive(Debug, Clone)]
pub struct Carried {
    /// For supervise and the agent.
    pub state: ApplyState,
    /// For the operator: why, and what is true now.
    pub told: String,
}

/// Goes on with whatever any bottle has left undone. What fails is told as a warning: the command at hand goes on.
pub async fn all(context: &Context, home: &Home) {
    for slug in folder::slugs(home).unwrap_or_default() {
        if let Err(error) = one(context, home, &slug).await {
            context.printer.warning(&format!("{slug}: {error}"));
        }
    }
}

async fn one(context: &Context, home: &Home, slug: &Slug) -> Result<()> {
    let Ok(target) = Target::of(home, slug) else {
        return Ok(());
    };
    if !is_unsettled(&target)? {
        return Ok(());
    }
    // Whoever holds it settles what it finds, too.
    match Locked::attempt(&target.state.lock(), How::Alone)? {
        Tried::Ours(lock) => locked(context, &target, &lock).await,
        Tried::Held | Tried::NoFile => Ok(()),
    }
}

/// Whether there may be anything to do, found out without a lock, and without reading a long queue that nobody has answered yet.
fn is_unsettled(target: &Target) -> Result<bool> {
    let log = target.audit();
    let ended = ended(target)?;
    if !Queue::is_touched(target)? && ended.is_empty() && !log.has_edits()? {
        return Ok(false);
    }
    let queue = Queue::of(&target.home, &target.slug)?;
    let unfinished = |item: &Item| matches!(item.status, ProposalStatus::Approved | ProposalStatus::Applying);
    if queue.items.iter().any(unfinished) {
        return Ok(true);
    }
    let index = Index::of(&log)?;
    let unnoted = queue.items.iter().any(|item| {
        (item.response.is_some() && !decision_notes(&index, item).is_empty())
            || (item.status == ProposalStatus::Withdrawn && !index.withdrawn.contains(item.id()))
    });
    Ok(unnoted || index.open.is_some() || ended.iter().any(|note| is_new(&index, note)))
}

/// Does all of it, with the bottle's lock held by the caller.
pub async fn locked(context: &Context, target: &Target, lock: &Locked) -> Result<()> {
    let queue = Queue::of(&target.home, &target.slug)?;
    let index = Index::of(&target.audit())?;
    let mut notes: Vec<Note> = ended(target)?;
    notes.retain(|note| is_new(&index, note));
    for item in &queue.items {
        if matches!(item.status, ProposalStatus::Approved | ProposalStatus::Applying) {
            continue;
        }
        if item.response.is_some() {
            notes.extend(decision_notes(&index, item));
        }
        notes.extend(withdrawal_note(&index, item));
    }
    target.audit().append(notes)?;
    finish_open(target, &index).await?;
    for item in queue.items {
        if !matches!(item.status, ProposalStatus::Approved | ProposalStatus::Applying) {
            continue;
        }
        context.printer.message(&format!(
            "{}: going on with {}, which an earlier command left {}",
            target.slug,
            item.id(),
            item.status
        ));
        let carried = resume(context, target, lock, &item).await?;
        context
            .printer
            .message(&format!("{}: {}", item.id(), carried.told));
    }
    Ok(())
}

async fn resume(context: &Context, target: &Target, lock: &Locked, item: &Item) -> Result<Carried> {
    let index = Index::of(&target.audit())?;
    if let Some((outcome, now)) = index.outcomes.get(item.id()) {
        // Audited, and killed before the state was written.
        return end(target, item, *outcome, now.clone(), None);
    }
    if !target.state.ready().is_file() {
        let why = "the bottle was taken down before it could be applied".to_owned();
        note_decision(target, &index, item)?;
        return fail(target, item, why, "nothing changed".to_owned());
    }
    let decision = item.response.as_ref().map(|response| response.decision.clone());
    let Some(decision) = decision else {
        return Err(Error::failed(format!(
            "{} is being applied without an answer",
            item.id()
        )));
    };
    match change_of(context, target, item, &decision) {
        Ok(change) => carry_out(context, target, lock, item, change, true).await,
        Err(error) => {
            note_decision(target, &index, item)?;
            fail(target, item, error.to_string(), "nothing changed".to_owned())
        }
    }
}

/// Carries out an approved proposal. The caller holds the bottle's lock.
pub async fn carry_out(
    context: &Context,
    target: &Target,
    lock: &Locked,
    item: &Item,
    change: Change,
    resumed: bool,
) -> Result<Carried> {
    let index = Index::of(&target.audit())?;
    let log = target.audit();
    if item.withdrawn && item.status != ProposalStatus::Applying {
        log.append(
            decision_notes(&index, item)
                .into_iter()
                .chain(withdrawal_note(&index, item)),
        )?;
        return Err(Error::not_applied(format!(
            "the agent took {} back before it was applied; nothing changed",
            item.id()
        )));
    }
    if change.stored.is_none() && is_over(item) {
        note_decision(target, &index, item)?;
        // Written before the command was killed, its guards may have let requests in by it.
        let (why, now) = if resumed && change.is_nothing() {
            (
                "its time was over before anybody looked again",
                "it may have been in force until then",
            )
        } else {
            ("its time was over before it could be applied", "nothing changed")
        };
        return fail(target, item, why.to_owned(), now.to_owned());
    }
    let applying = AuditEvent::Applying {
        changes: change.changes(),
        lasting: change.lasting.clone().map(Box::new),
        resumed,
    };
    let mut notes = decision_notes(&index, item);
    notes.push(joined(Note::by(decider(item), applying), item));
    log.append(notes)?;
    let statement = format!("being applied: {}", super::show::asked(&item.proposal.ask));
    write_state(target, item, Application::Applying, statement)?;
    // Written by us, then read what supervise wrote: it may have been told that it was taken back in between.
    if !change.is_nothing()
        && target
            .state
            .proposals()
            .join(queue::withdrawn(item.id()))
            .exists()
    {
        log.append(withdrawal_note(&index, item))?;
        let why = "the agent took it back".to_owned();
        return fail(target, item, why, "nothing changed".to_owned());
    }
    if !change.new_slots.is_empty()
        && let Err(error) = recreate::resolvable(context, &change.new_slots)
    {
        return fail(target, item, error.to_string(), "nothing changed".to_owned());
    }
    let performed = if change.new_slots.is_empty() {
        perform(context, target, &change).await?
    } else {
        recreate::perform_anew(context, target, lock, &change).await?
    };
    match performed {
        Performed::InForce(notes) => {
            let now = change.now(SystemTime::now().into());
            if let Some(Ask::CapabilityBlock(_)) = Some(&item.proposal.ask) {
                // What was asked for must be there when the bottle is resumed.
                fs_err::write(target.state.preserve(), "")?;
            }
            let outcome = match item.response.as_ref().map(|response| &response.decision) {
                Some(OperatorDecision::Approved {
                    modified: Some(_), ..
                }) => Outcome::Modified,
                _ => Outcome::Applied,
            };
            let notes = notes.into_iter().map(|note| joined(note, item)).collect();
            end(target, item, outcome, now, Some(notes))
        }
        Performed::Failed { why, now } => fail(target, item, why, now),
    }
}

fn is_over(item: &Item) -> bool {
    let decision = item.response.as_ref().map(|response| &response.decision);
    let Some(OperatorDecision::Approved {
        expires_at: Some(expires_at),
        ..
    }) = decision
    else {
        return false;
    };
    *expires_at <= Timestamp::from(SystemTime::now())
}

fn fail(target: &Target, item: &Item, why: String, now: String) -> Result<Carried> {
    end(
        target,
        item,
        Outcome::Failed,
        format!("{why}; {now}"),
        Some(Vec::new()),
    )
}

/// Audits what it came to, unless that was done (`None`), then writes the final state.
fn end(
    target: &Target,
    item: &Item,
    outcome: Outcome,
    now: String,
    notes: Option<Vec<Note>>,
) -> Result<Carried> {
    if let Some(mut notes) = notes {
        let event = AuditEvent::Outcome {
            outcome,
            now: now.clone(),
        };
        notes.push(joined(Note::launcher(event), item));
        target.audit().append(notes)?;
    }
    let (state, statement) = match outcome {
        Outcome::Applied => (Application::Applied, now.clone()),
        Outcome::Modified => (Application::Modified, now.clone()),
        // Why it failed is the operator's: it may name files of the host.
        Outcome::Failed => (
            Application::Failed,
            format!(
                "{} was approved and could not be applied; nothing changed, and the operator knows why",
                super::show::asked(&item.proposal.ask)
            ),
        ),
    };
    let state = write_state(target, item, state, statement)?;
    Ok(Carried { state, told: now })
}

fn write_state(target: &Target, item: &Item, state: Application, statement: String) -> Result<ApplyState> {
    let ends = item.response.as_ref().is_some_and(|response| {
        matches!(
            response.decision,
            OperatorDecision::Approved { expires_at, once, .. } if expires_at.is_some() || once
        )
    });
    let state = ApplyState {
        schema_version: SCHEMA_VERSION,
        proposal_id: item.id().clone(),
        proposal_sha256: item.sha256.clone(),
        at: Timestamp::from(SystemTime::now()),
        state,
        statement,
        grant_id: ends.then(|| item.id().grant()),
    };
    let mut json =
        serde_json::to_vec_pretty(&state).doing(|| "the state cannot be written as JSON".to_owned())?;
    json.push(b'\n');
    write::atomically(
        &target.state.responses().join(queue::state(item.id())),
        &json,
        0o644,
    )?;
    Ok(state)
}

fn note_decision(target: &Target, index: &Index, item: &Item) -> Result<()> {
    target.audit().append(decision_notes(index, item))
}

/// An edit or a revocation whose end was not noted: says what is in force now.
async fn finish_open(target: &Target, index: &Index) -> Result<()> {
    let Some(open) = &index.open else {
        return Ok(());
    };
    let (AuditEvent::Editing { changes } | AuditEvent::Revoking { changes, .. }) = &open.event else {
        return Ok(());
    };
    let (outcome, now) = apply::revoke::finish(target, changes).await?;
    let event = AuditEvent::Outcome { outcome, now };
    let note = Note::launcher(event).joined(open.proposal_id.as_ref(), open.grant_id.as_ref());
    target.audit().append([note])
}

/// Ends every question of a bottle whose session is over, as far as they can be read. The caller holds the bottle's lock; its guards may
/// still run.
pub fn session_over(home: &Home, slug: &Slug) -> Result<()> {
    let Some(target) = Target::of(home, slug)
        .ok()
        .or_else(|| Target::unasked(home, slug))
    else {
        return Ok(());
    };
    let index = Index::of(&target.audit())?;
    // What became of its grants may be unreadable; its questions are answered all the same.
    let (mut notes, unread) = match ended(&target) {
        Ok(notes) => (notes, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    notes.retain(|note| is_new(&index, note));
    if let Some(open) = &index.open {
        let event = AuditEvent::Outcome {
            outcome: Outcome::Failed,
            now: "the session ended before it was known to be in force; nothing is in force any more"
                .to_owned(),
        };
        // Before any other outcome, which would be taken for its own.
        let note = Note::launcher(event).joined(open.proposal_id.as_ref(), open.grant_id.as_ref());
        target.audit().append([note])?;
    }
    for mut item in Queue::of(home, slug)?.items {
        if item.is_pending() {
            let answer = response(&item, OperatorDecision::Expired, "session end".to_owned());
            if link(&target, &answer)? {
                reached("expired")?;
                item.response = Some(answer);
            }
        }
        let unfinished = matches!(item.status, ProposalStatus::Approved | ProposalStatus::Applying);
        if item.response.is_some() {
            notes.extend(decision_notes(&index, &item));
        }
        notes.extend(withdrawal_note(&index, &item));
        if unfinished && !index.outcomes.contains_key(item.id()) {
            target.audit().append(std::mem::take(&mut notes))?;
            let why = "the session ended before it could be applied".to_owned();
            fail(&target, &item, why, "nothing is in force any more".to_owned())?;
        }
    }
    target.audit().append(notes)?;
    unread
}
