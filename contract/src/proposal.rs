//! Proposals: what supervise writes about an ask.
//!
//! `<id>.json` is made by `link(2)` from a temporary and never changes. `<id>.withdrawn` beside it takes the proposal back; it, too,
//! is made once. Both are supervise's alone: the launcher reads them and answers in a directory of its own.

use crate::{Ask, ProposalId, Sha256Hex, Timestamp};
use serde::{Deserialize, Serialize};

/// One ask, durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Its identifier: the name of its files, and of its task.
    pub proposal_id: ProposalId,
    /// When it was asked first.
    pub asked_at: Timestamp,
    /// [`Ask::dedup_key`]: asking the same again attaches to this proposal while it is pending.
    pub dedup_key: Sha256Hex,
    /// What is asked.
    pub ask: Ask,
    /// The MCP client, as it calls itself. Untrusted text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<AskedBy>,
}

/// An MCP client by its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedBy {
    /// Such as `claude-code`.
    pub name: String,
    /// Such as `2.1.329`.
    pub version: String,
}

/// A proposal taken back: nobody waits for it any more. It wins over a response unless a state says that applying has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which.
    pub proposal_id: ProposalId,
    /// When.
    pub withdrawn_at: Timestamp,
    /// Why, such as `cancelled by the client`.
    pub reason: String,
}
