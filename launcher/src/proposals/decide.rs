//! The operator's answer: bound to the bytes that were shown, and to what would be enforced by them.
//!
//! The answer is a file made by `link(2)`: of two operators one wins. It is durable and audited before anything is written that a
//! guard reads.

use super::notes;
use super::queue::{Item, Queue};
use super::risk::{self, Risk};
use super::settle::{self, Carried};
use crate::apply::{self, Change, Target};
use crate::audit::{AuditLog, Index};
use crate::cli::Context;
use crate::error::{Doing as _, Error, Kind, Result};
use crate::home::Home;
use crate::lifecycle::folder;
use crate::write;
use contract::audit::Who;
use contract::place::queue;
use contract::{
    Ask, Grant, HostName, OperatorDecision, ProposalStatus, Response, RouteTable, SCHEMA_VERSION, Timestamp,
};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// How long an exemption holds when the operator does not say: a working day.
const EXEMPTION: Duration = Duration::from_secs(8 * 3600);
/// The longest permission that ends: a year.
pub const LONGEST: Duration = Duration::from_secs(365 * 86400);

/// A proposal with what saying yes would do.
#[derive(Debug, Clone)]
pub struct Considered {
    /// As it was read.
    pub item: Item,
    /// What the operator made of it.
    pub modified: Option<Ask>,
    /// When the permission ends.
    pub expires_at: Option<Timestamp>,
    /// It is for one request.
    pub once: bool,
    /// What would be done.
    pub change: Change,
    /// What to mind.
    pub risks: Vec<Risk>,
}

/// How long an approval lasts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lasts {
    /// For this long.
    pub for_: Option<Duration>,
    /// For one request.
    pub once: bool,
}

impl Considered {
    /// What is approved: the ask, or what the operator made of it.
    pub fn ask(&self) -> &Ask {
        self.modified.as_ref().unwrap_or(&self.item.proposal.ask)
    }

    fn decision(&self) -> OperatorDecision {
        OperatorDecision::Approved {
            modified: self.modified.clone(),
            expires_at: self.expires_at,
            once: self.once,
        }
    }
}

/// Works out what saying yes would do. Nothing is written.
pub fn consider(
    context: &Context,
    target: &Target,
    item: &Item,
    modified: Option<Ask>,
    lasts: Lasts,
) -> Result<Considered> {
    refuse_answered(item)?;
    let modified = modified.filter(|modified| *modified != item.proposal.ask);
    let ask = modified.as_ref().unwrap_or(&item.proposal.ask);
    if ask.tool() != item.proposal.ask.tool() {
        return Err(Error::usage(format!(
            "{} asks for an {}; an edit cannot make another kind of it",
            item.id(),
            item.proposal.ask.tool()
        )));
    }
    ask.check()
        .map_err(|error| Error::usage("what was made of it is no ask").because(error))?;
    let for_ = match ask {
        Ask::EgressBlock(_) => lasts.for_,
        Ask::PipelockBlock(asked) if asked.rule.is_some() => Some(lasts.for_.unwrap_or(EXEMPTION)),
        Ask::PipelockBlock(_) | Ask::CapabilityBlock(_) => None,
    };
    let cannot_end = lasts.for_.is_some() && for_.is_none();
    if cannot_end || (lasts.once && !matches!(ask, Ask::EgressBlock(_))) {
        return Err(Error::usage(format!(
            "`--for` and `--once` make a permission that ends, and {} is none that can",
            item.id()
        ))
        .hinted("`--once` is for egress-block, `--for` also for an exemption at the seat"));
    }
    let expires_at = for_.map(|for_| Timestamp::from(SystemTime::now() + for_.min(LONGEST)));
    let decision = OperatorDecision::Approved {
        modified: modified.clone(),
        expires_at,
        once: lasts.once,
    };
    let change = change_of(context, target, item, &decision)?;
    Ok(Considered {
        risks: risks(target, ask),
        item: item.clone(),
        modified,
        expires_at,
        once: lasts.once,
        change,
    })
}

/// What carrying out an approval would change now.
pub fn change_of(
    context: &Context,
    target: &Target,
    item: &Item,
    decision: &OperatorDecision,
) -> Result<Change> {
    let OperatorDecision::Approved {
        modified,
        expires_at,
        once,
    } = decision
    else {
        return Ok(Change::default());
    };
    let grant_id = item.id().grant();
    match modified.as_ref().unwrap_or(&item.proposal.ask) {
        Ask::EgressBlock(asked) => {
            let grant = (expires_at.is_some() || *once).then_some(Grant {
                grant_id,
                expires_at: *expires_at,
                once: *once,
            });
            apply::egress::block(target, &context.environment, item.id(), &asked.ask, grant)
        }
        Ask::PipelockBlock(asked) => apply::seat::block(target, asked, &grant_id, *expires_at),
        Ask::CapabilityBlock(asked) => apply::capability::block(target, asked),
    }
}

/// The flags of an ask in a bottle.
pub fn risks(target: &Target, ask: &Ask) -> Vec<Risk> {
    let empty = RouteTable::default();
    let table = apply::egress::table(target).unwrap_or(empty);
    let dockerfile = apply::capability::present(target);
    let seen = hosts_of_home(&target.home);
    risk::of(
        ask,
        &risk::Known {
            table: &table,
            dockerfile: dockerfile.as_deref(),
            seen_before: &|host| seen.contains(host),
        },
    )
}

/// Every host that a bottle of this home has a route for, or was given one. What cannot be read counts as never seen.
fn hosts_of_home(home: &Home) -> BTreeSet<HostName> {
    let mut hosts = BTreeSet::new();
    for slug in folder::slugs(home).unwrap_or_default() {
        if let Ok(target) = Target::of(home, &slug)
            && let Ok(table) = apply::egress::table(&target)
        {
            hosts.extend(table.routes().iter().map(|route| route.host.clone()));
        }
    }
    for slug in AuditLog::slugs(home).unwrap_or_default() {
        if let Ok(index) = Index::of(&AuditLog::of(home, &slug)) {
            hosts.extend(index.hosts().cloned());
        }
    }
    hosts
}

/// Says yes to what was shown, carries it out, and says what it came to.
pub async fn approve(context: &Context, target: &Target, shown: &Considered) -> Result<Carried> {
    let lock = target.lock().await?;
    target.refuse_down()?;
    settle::locked(context, target, &lock).await?;
    let item = still_pending(target, &shown.item)?;
    let change = change_of(context, target, &item, &shown.decision())?;
    if !change.enforces_the_same(&shown.change) {
        return Err(Error::not_applied(format!(
            "the policy of {} has changed since {} was shown, so nothing was decided",
            target.slug,
            item.id()
        ))
        .hinted(format!("look again: `bottle approve {}`", item.id())));
    }
    let item = answer(target, item, shown.decision())?;
    settle::carry_out(context, target, &lock, &item, change, false).await
}

/// Says no.
pub async fn reject(target: &Target, shown: &Item, reason: &str) -> Result<()> {
    let _lock = target.lock().await?;
    let item = still_pending(target, shown)?;
    let decision = OperatorDecision::Rejected {
        reason: reason.to_owned(),
    };
    let item = answer(target, item, decision)?;
    let index = Index::of(&target.audit())?;
    target.audit().append(notes::decision_notes(&index, &item))
}

/// The proposal as it is now, if it is still the one that was shown and nobody has answered.
fn still_pending(target: &Target, shown: &Item) -> Result<Item> {
    let queue = Queue::of(&target.home, &target.slug)?;
    let Some(item) = queue.items.into_iter().find(|item| item.id() == shown.id()) else {
        let why = queue.unreadable.join("; ");
        return Err(Error::not_applied(format!(
            "{} is no longer what was shown, so nothing was decided {why}",
            shown.id()
        )));
    };
    if item.sha256 != shown.sha256 {
        return Err(Error::not_applied(format!(
            "the file of {} was changed after it was shown, so nothing was decided",
            shown.id()
        ))
        .hinted(format!("reject it: `bottle reject {} --reason …`", shown.id())));
    }
    refuse_answered(&item)?;
    Ok(item)
}

fn answer(target: &Target, item: Item, decision: OperatorDecision) -> Result<Item> {
    let response = response(&item, decision, decided_by());
    if !link(target, &response)? {
        return Err(Error::failed(format!(
            "somebody else has just answered {}; theirs counts",
            item.id()
        ))
        .hinted(format!("`bottle proposals {}` shows how", item.id())));
    }
    Ok(Item {
        status: ProposalStatus::of(item.withdrawn, Some(&response), None),
        response: Some(response),
        ..item
    })
}

fn decided_by() -> String {
    match crate::audit::operator() {
        Who::Operator { user, .. } => user,
        _ => "operator".to_owned(),
    }
}

/// An answer as a file.
pub(super) fn response(item: &Item, decision: OperatorDecision, decided_by: String) -> Response {
    Response {
        schema_version: SCHEMA_VERSION,
        proposal_id: item.id().clone(),
        proposal_sha256: item.sha256.clone(),
        decided_at: Timestamp::from(SystemTime::now()),
        decided_by,
        decision,
    }
}

/// Makes the answer's file; `false` when there is one already.
pub(super) fn link(target: &Target, response: &Response) -> Result<bool> {
    let mut json =
        serde_json::to_vec_pretty(response).doing(|| "the answer cannot be written as JSON".to_owned())?;
    json.push(b'\n');
    let path = target
        .state
        .responses()
        .join(queue::decision(&response.proposal_id));
    write::linked(&path, &json, 0o644)
}

/// An error of the kind that a script tells apart, for a proposal that cannot be answered any more.
pub fn refuse_answered(item: &Item) -> Result<()> {
    let kind = match item.status {
        ProposalStatus::Pending => return Ok(()),
        ProposalStatus::Rejected => Kind::Rejected,
        ProposalStatus::Expired => Kind::Pending,
        ProposalStatus::Withdrawn | ProposalStatus::Failed => Kind::NotApplied,
        ProposalStatus::Approved
        | ProposalStatus::Applying
        | ProposalStatus::Applied
        | ProposalStatus::Modified => Kind::Failed,
    };
    Err(Error::new(
        kind,
        format!("{} cannot be answered any more: it is {}", item.id(), item.status),
    )
    .hinted(format!("`bottle audit --of {}` tells what came of it", item.id())))
}
