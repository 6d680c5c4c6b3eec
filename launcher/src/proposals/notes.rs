//! What the audit is told of a proposal: that it was seen, how it was answered, that it was taken back, how its permission ended. Each is
//! noted once, whoever comes across it first.

use super::queue::{Item, Queue};
use super::show::escaped;
use crate::apply::{self, Target};
use crate::audit::{AuditLog, Index, Note};
use crate::error::Result;
use crate::home::Home;
use contract::audit::{Asked, AuditEvent, Verdict, Who};
use contract::{
    Ask, GrantEnd, GrantEndCause, Guard, OperatorDecision, ProposalStatus, Sha256Hex, Slug, Timestamp,
};
use std::time::SystemTime;

pub(super) fn decider(item: &Item) -> Who {
    match item.response.as_ref() {
        Some(response) => Who::Operator {
            user: response.decided_by.clone(),
            uid: None,
        },
        None => Who::Launcher,
    }
}

pub(super) fn joined(note: Note, item: &Item) -> Note {
    let ends = item.response.as_ref().is_some_and(|response| {
        matches!(
            response.decision,
            OperatorDecision::Approved { expires_at, once, .. } if expires_at.is_some() || once
        )
    });
    let grant = ends.then(|| item.id().grant());
    note.joined(Some(item.id()), grant.as_ref())
}

/// What the audit does not say yet of a proposal and its answer.
pub(super) fn decision_notes(index: &Index, item: &Item) -> Vec<Note> {
    let mut notes: Vec<Note> = seen_note(index, item).into_iter().collect();
    let Some(response) = &item.response else {
        return notes;
    };
    let decided = |verdict, approved, expires_at, once, reason| {
        let json = serde_json::to_vec_pretty(response).map(|mut json| {
            json.push(b'\n');
            json
        });
        AuditEvent::Decided {
            verdict,
            response_sha256: Sha256Hex::of(&json.unwrap_or_default()),
            approved,
            expires_at,
            once,
            reason,
        }
    };
    let event = match &response.decision {
        OperatorDecision::Approved {
            modified,
            expires_at,
            once,
        } => decided(
            Verdict::Approved,
            modified.as_ref().map(asked),
            *expires_at,
            *once,
            None,
        ),
        OperatorDecision::Rejected { reason } => {
            decided(Verdict::Rejected, None, None, false, Some(escaped(reason)))
        }
        OperatorDecision::Expired => AuditEvent::Expired,
    };
    let is_noted = match &event {
        AuditEvent::Expired => index.expired.contains(item.id()),
        _ => index.decided.contains(item.id()),
    };
    if !is_noted {
        let who = match &event {
            AuditEvent::Expired => Who::Launcher,
            _ => decider(item),
        };
        notes.push(joined(Note::by(who, event), item));
    }
    notes
}

fn seen_note(index: &Index, item: &Item) -> Option<Note> {
    (!index.proposed.contains(item.id())).then(|| proposed_note(item))
}

fn proposed_note(item: &Item) -> Note {
    let event = AuditEvent::Proposed {
        tool: item.proposal.ask.tool().to_owned(),
        proposal_sha256: item.sha256.clone(),
        created_at: item.proposal.asked_at,
        asked: asked(&item.proposal.ask),
        justification: escaped(item.proposal.ask.justification()),
        denial_id: item.proposal.ask.denial_id().cloned(),
    };
    Note::by(Who::Agent, event).joined(Some(item.id()), None)
}

pub(super) fn withdrawal_note(index: &Index, item: &Item) -> Vec<Note> {
    // What was begun or answered first is not undone by a file that comes after it.
    let withdrawn = item.status == ProposalStatus::Withdrawn && !index.withdrawn.contains(item.id());
    let mut notes = Vec::new();
    if withdrawn {
        notes.extend(seen_note(index, item).filter(|_| item.response.is_none()));
        notes.push(Note::by(Who::Agent, AuditEvent::Withdrawn).joined(Some(item.id()), None));
    }
    notes
}

fn asked(ask: &Ask) -> Asked {
    match ask {
        Ask::EgressBlock(asked) => Asked::Route {
            host: asked.ask.host.clone(),
            path_allowlist: asked.ask.path_allowlist.clone(),
            methods: asked.ask.methods.clone(),
            token_ref: asked.ask.auth.as_ref().map(|auth| auth.token_ref.clone()),
        },
        Ask::PipelockBlock(asked) => Asked::Pipelock {
            host: asked.host.clone(),
            rule: asked.rule.clone(),
        },
        Ask::CapabilityBlock(asked) => Asked::Capability {
            dockerfile_sha256: Sha256Hex::of(asked.dockerfile.as_bytes()),
        },
    }
}

/// Notes every proposal that was not seen before. For one that lists them. From then on its file is that one and no other: whatever
/// supervise puts in its place is taken out of the queue.
pub fn note_seen(home: &Home, queue: &mut Queue) -> Result<()> {
    let mut slugs: Vec<Slug> = queue.items.iter().map(|item| item.slug.clone()).collect();
    slugs.sort();
    slugs.dedup();
    for slug in slugs {
        let log = AuditLog::of(home, &slug);
        let seen = log.proposed()?;
        let of_it = queue.items.iter().filter(|item| item.slug == slug);
        let fresh = of_it.filter(|item| !seen.contains_key(item.id().as_str()));
        log.append(fresh.map(proposed_note))?;
        queue.refuse_exchanged(&slug, &seen);
    }
    Ok(())
}

/// The ends of grants and exemptions that the guards noted, or that time brought.
pub(super) fn ended(target: &Target) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    let ledger = apply::egress::ledger(target)?;
    for record in ledger.iter().flat_map(|ledger| &ledger.grants) {
        if let Some(GrantEnd { at, cause }) = &record.end {
            let event = AuditEvent::GrantEnded {
                host: record.host.clone(),
                cause: *cause,
                at: *at,
            };
            notes.push(guard_note(Guard::Egress, event, &record.grant_id));
        }
    }
    let now = Timestamp::from(SystemTime::now());
    for exemption in apply::seat::exemptions(target)? {
        if let Some(at) = exemption.expires_at.filter(|at| *at <= now) {
            let event = AuditEvent::GrantEnded {
                host: exemption.host,
                cause: GrantEndCause::Expired,
                at,
            };
            notes.push(guard_note(Guard::Pipelock, event, &exemption.id));
        }
    }
    Ok(notes)
}

fn guard_note(guard: Guard, event: AuditEvent, grant: &contract::GrantId) -> Note {
    Note::by(Who::Guard { guard }, event).joined(None, Some(grant))
}

/// Whether the log does not have this end yet.
pub(super) fn is_new(index: &Index, note: &Note) -> bool {
    note.grant_id.as_ref().is_none_or(|id| !index.ended.contains(id))
}
