//! Responses: what the operator decided about a proposal, and how far the launcher has come with it.
//!
//! `<id>.json` is the decision, made by `link(2)` (the first of two operators wins) and never changed; it names the SHA-256 of the
//! proposal that was shown. `<id>.state.json` is replaced by rename: `applying → applied | modified | failed`. Both are the
//! launcher's alone; supervise reads them. A response for another hash than the proposal's is no response.

use crate::{Ask, GrantId, ProposalId, Sha256Hex, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// About which proposal.
    pub proposal_id: ProposalId,
    /// SHA-256 of the bytes of the proposal's file as they were shown.
    pub proposal_sha256: Sha256Hex,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Who: the operator's user name, or `session end`.
    pub decided_by: String,
    /// What.
    pub decision: OperatorDecision,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorDecision {
    /// To be applied.
    Approved {
        /// What the operator made of the ask; absent: as it was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modified: Option<Ask>,
        /// It ends at this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// It ends with its first use.
        #[serde(default, skip_serializing_if = "is_false")]
        once: bool,
    },
    /// Not to be applied.
    Rejected {
        /// The operator's words to the agent.
        reason: String,
    },
    /// Nobody decided before the session ended.
    Expired,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// How far the launcher has come with an approved proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyState {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which proposal.
    pub proposal_id: ProposalId,
    /// SHA-256 of its file.
    pub proposal_sha256: Sha256Hex,
    /// Since when.
    pub at: Timestamp,
    /// How far.
    pub state: Application,
    /// For the agent: a statement of what is true now, such as `api.github.com is live since …`.
    pub statement: String,
    /// The grant under which it is live, when it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<GrantId>,
}

/// How far an approved proposal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Application {
    /// Begun; from here on it cannot be withdrawn.
    Applying,
    /// In force as it was asked, verified.
    Applied,
    /// In force as the operator changed it, verified.
    Modified,
    /// Not in force; the statement says what is.
    Failed,
}

/// What a proposal has come to, as people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalStatus {
    /// Nobody has decided.
    Pending,
    /// Decided, not begun.
    Approved,
    /// Begun.
    Applying,
    /// In force as asked.
    Applied,
    /// In force as the operator changed it.
    Modified,
    /// The operator said no.
    Rejected,
    /// The session ended first.
    Expired,
    /// The agent took it back first.
    Withdrawn,
    /// Approved, and could not be applied.
    Failed,
}

// === impl ProposalStatus ===

impl ProposalStatus {
    /// What the files say together. `response` and `state` must have been checked to name this proposal's hash. The withdrawal wins
    /// unless applying has begun.
    pub fn of(withdrawn: bool, response: Option<&Response>, state: Option<&ApplyState>) -> Self {
        match (state, response) {
            (Some(state), _) => match state.state {
                Application::Applying => Self::Applying,
                Application::Applied => Self::Applied,
                Application::Modified => Self::Modified,
                Application::Failed => Self::Failed,
            },
            (None, _) if withdrawn => Self::Withdrawn,
            (None, None) => Self::Pending,
            (None, Some(response)) => match response.decision {
                OperatorDecision::Approved { .. } => Self::Approved,
                OperatorDecision::Rejected { .. } => Self::Rejected,
                OperatorDecision::Expired => Self::Expired,
            },
        }
    }

    /// Nothing more will become of it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Approved | Self::Applying)
    }

    /// The spelling in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Modified => "modified",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ProposalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(decision: OperatorDecision) -> Response {
        Response {
            schema_version: crate::SCHEMA_VERSION,
            proposal_id: "p-00000001".parse().unwrap(),
            proposal_sha256: Sha256Hex::of(b""),
            decided_at: Timestamp::from_millis(0),
            decided_by: "operator".to_owned(),
            decision,
        }
    }

    fn state(state: Application) -> ApplyState {
        ApplyState {
            schema_version: crate::SCHEMA_VERSION,
            proposal_id: "p-00000001".parse().unwrap(),
            proposal_sha256: Sha256Hex::of(b""),
            at: Timestamp::from_millis(0),
            state,
            statement: String::new(),
            grant_id: None,
        }
    }

    #[test]
    fn a_withdrawal_wins_over_a_decision_and_loses_to_applying() {
        let rejected = response(OperatorDecision::Rejected {
            reason: "no".to_owned(),
        });
        assert_eq!(ProposalStatus::of(false, None, None), ProposalStatus::Pending);
        assert_eq!(ProposalStatus::of(true, None, None), ProposalStatus::Withdrawn);
        assert_eq!(
            ProposalStatus::of(false, Some(&rejected), None),
            ProposalStatus::Rejected
        );
        assert_eq!(
            ProposalStatus::of(true, Some(&rejected), None),
            ProposalStatus::Withdrawn
        );
        for (application, status) in [
            (Application::Applying, ProposalStatus::Applying),
            (Application::Applied, ProposalStatus::Applied),
            (Application::Modified, ProposalStatus::Modified),
            (Application::Failed, ProposalStatus::Failed),
        ] {
            assert_eq!(ProposalStatus::of(true, None, Some(&state(application))), status);
        }
    }

    #[test]
    fn every_status_is_spelled_as_in_json() {
        for status in [
            ProposalStatus::Pending,
            ProposalStatus::Approved,
            ProposalStatus::Applying,
            ProposalStatus::Applied,
            ProposalStatus::Modified,
            ProposalStatus::Rejected,
            ProposalStatus::Expired,
            ProposalStatus::Withdrawn,
            ProposalStatus::Failed,
        ] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
