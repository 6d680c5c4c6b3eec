//! What the log already says, by what it belongs to: nothing is noted twice.

use super::{AuditLog, read};
use crate::error::Result;
use contract::audit::{Asked, AuditEntry, AuditEvent, LastingChange, Outcome};
use contract::{GrantId, HostName, ProposalId};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Proposals that were seen.
    pub proposed: BTreeSet<ProposalId>,
    /// Proposals whose answer was noted.
    pub decided: BTreeSet<ProposalId>,
    /// Proposals that were taken back.
    pub withdrawn: BTreeSet<ProposalId>,
    /// Proposals that nobody answered.
    pub expired: BTreeSet<ProposalId>,
    /// What became of approved ones, and what was true then.
    pub outcomes: BTreeMap<ProposalId, (Outcome, String)>,
    /// What each asked for, or was approved as.
    pub asked: BTreeMap<ProposalId, Asked>,
    /// What each changed for good.
    pub lasting: BTreeMap<ProposalId, LastingChange>,
    /// Grants whose end was noted.
    pub ended: BTreeSet<GrantId>,
    /// An edit or a revocation was begun, and its outcome was not noted.
    pub open: Option<AuditEntry>,
}

impl Index {
    /// Of a log; empty when there is none.
    pub fn of(log: &AuditLog) -> Result<Self> {
        let mut index = Self::default();
        for entry in read(log)? {
            index.note(entry);
        }
        Ok(index)
    }

    /// The hosts of every proposal that came into force.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        let in_force = |id: &ProposalId| {
            self.outcomes
                .get(id)
                .is_some_and(|(outcome, _)| *outcome != Outcome::Failed)
        };
        self.asked
            .iter()
            .filter(move |(id, _)| in_force(id))
            .filter_map(|(_, asked)| match asked {
                Asked::Route { host, .. } | Asked::Pipelock { host, .. } => Some(host),
                Asked::Capability { .. } => None,
            })
    }

    fn note(&mut self, entry: AuditEntry) {
        match &entry.event {
            AuditEvent::Editing { .. } | AuditEvent::Revoking { .. } => {
                self.open = Some(entry);
                return;
            }
            // A revocation carries its proposal, too, and is over with the first outcome after it.
            AuditEvent::Outcome { .. } if self.open.take().is_some() => return,
            AuditEvent::GrantEnded { .. } => {
                self.ended.extend(entry.grant_id.clone());
            }
            _ => {}
        }
        let Some(id) = entry.proposal_id else { return };
        match entry.event {
            AuditEvent::Proposed { asked, .. } => {
                self.proposed.insert(id.clone());
                self.asked.insert(id, asked);
            }
            AuditEvent::Decided { approved, .. } => {
                self.decided.insert(id.clone());
                if let Some(asked) = approved {
                    self.asked.insert(id, asked);
                }
            }
            AuditEvent::Withdrawn => drop(self.withdrawn.insert(id)),
            AuditEvent::Expired => drop(self.expired.insert(id)),
            // The first one says what there was before.
            AuditEvent::Applying {
                lasting: Some(lasting),
                resumed,
                ..
            } if !resumed || !self.lasting.contains_key(&id) => {
                self.lasting.insert(id, *lasting);
            }
            AuditEvent::Outcome { outcome, now } => drop(self.outcomes.insert(id, (outcome, now))),
            _ => {}
        }
    }
}
