//! What has become of a proposal, as its files say.

use contract::{
    Application, ApplyState, GrantId, OperatorDecision, Proposal, ProposalId, ProposalStatus, Response,
    Sha256Hex, Timestamp, Withdrawal,
};

use super::files::{BrokenFile, Files};

/// A proposal's status, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it has come.
    pub status: ProposalStatus,
    /// Since when.
    pub since: Timestamp,
    /// The words of the operator or the launcher, or why it was withdrawn.
    pub words: Option<String>,
    /// The grant under which it is live, when it ends by itself.
    pub grant_id: Option<GrantId>,
    /// When that ends.
    pub expires_at: Option<Timestamp>,
    /// It ends with its first use.
    pub once: bool,
}

// === impl Standing ===

impl Standing {
    /// Nobody has decided.
    pub fn pending(since: Timestamp) -> Self {
        Self {
            status: ProposalStatus::Pending,
            since,
            words: None,
            grant_id: None,
            expires_at: None,
            once: false,
        }
    }

    /// Taken back.
    pub fn withdrawn(since: Timestamp, why: String) -> Self {
        Self {
            status: ProposalStatus::Withdrawn,
            words: Some(why),
            ..Self::pending(since)
        }
    }

    /// Reads what the files say about a proposal with this hash. A broken or foreign answer counts as none, and is logged.
    pub fn read(files: &Files, id: &ProposalId, sha256: &Sha256Hex, asked_at: Timestamp) -> Self {
        let response = or_logged(id, files.response(id, sha256));
        let state = or_logged(id, files.state(id, sha256));
        // Read last: what withdraws reads the state after it has written.
        let withdrawal = or_logged(id, files.withdrawal(id));
        Self::of(asked_at, response.as_ref(), state.as_ref(), withdrawal)
    }

    fn of(
        asked_at: Timestamp,
        response: Option<&Response>,
        state: Option<&ApplyState>,
        withdrawal: Option<Option<Withdrawal>>,
    ) -> Self {
        let status = ProposalStatus::of(withdrawal.is_some(), response, state);
        let mut standing = Self {
            status,
            ..Self::pending(asked_at)
        };
        if let Some(response) = response {
            standing.since = response.decided_at;
            match &response.decision {
                OperatorDecision::Approved { expires_at, once, .. } => {
                    standing.expires_at = *expires_at;
                    standing.once = *once;
                }
                OperatorDecision::Rejected { reason } => standing.words = Some(reason.clone()),
                OperatorDecision::Expired => {}
            }
        }
        if let Some(state) = state {
            standing.since = state.at;
            standing.words = Some(state.statement.clone());
            if matches!(state.state, Application::Applied | Application::Modified) {
                standing.grant_id.clone_from(&state.grant_id);
            }
        }
        if status == ProposalStatus::Withdrawn {
            let withdrawal = withdrawal.flatten();
            standing.since = withdrawal.as_ref().map_or(asked_at, |taken| taken.withdrawn_at);
            standing.words = withdrawal.map(|taken| taken.reason);
        }
        standing
    }

    /// What has become of a proposal whose file may long be old; none when there is no such proposal.
    pub fn of_any(files: &Files, id: &ProposalId) -> Result<Option<(Proposal, Sha256Hex, Self)>, BrokenFile> {
        Ok(files.proposal(id)?.map(|(proposal, sha256)| {
            let standing = Self::read(files, id, &sha256, proposal.asked_at);
            (proposal, sha256, standing)
        }))
    }
}

fn or_logged<T>(id: &ProposalId, read: Result<Option<T>, BrokenFile>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::warn!("{id}: ignored: {error}");
        None
    })
}
