//! Access events: one JSON line on a guard's standard output for every decision.

use crate::{DenialReason, EventId, GrantId, Guard, ProposalId, Timestamp};
use serde::{Deserialize, Serialize};

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Forwarded (or answered by the guard itself).
    Allowed,
    /// Refused before anything was forwarded.
    Denied,
    /// Admitted, but cut or failed on the way.
    Failed,
}

/// A place in what was pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitPlace {
    /// The ref, where the decision is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The commit, or the object itself where no commit leads to it; hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The file in the repository; parts that may be secret come as `‹redacted:N›`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What the operator can allow it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<crate::gate::GateFingerprint>,
}

/// One decision. Never holds a query value, a header value or a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessEvent {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// This event's own identifier.
    pub event_id: EventId,
    /// When the request's head was complete.
    pub time: Timestamp,
    /// Whose event this is.
    pub guard: Guard,
    /// What was decided.
    pub decision: Decision,
    /// Why not, for a request that was denied or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DenialReason>,
    /// The rule that decided: the route's host, or a scanner's rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How the request came in: `absolute_form`, `connect_http1`, `connect_http2`, `websocket`, `connect`.
    pub way_in: String,
    /// The method, `CONNECT` for a refused tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path without query values; segments that may be secret come as `‹redacted:N›`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status that the agent saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Body bytes from the agent.
    pub request_bytes: u64,
    /// Body bytes to the agent.
    pub response_bytes: u64,
    /// From the complete request head to the end of the answer.
    pub microseconds: u64,
    /// The generation of the policy that decided.
    pub generation: u64,
    /// The grant that admitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<GrantId>,
    /// The proposal without which its route would not have admitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<ProposalId>,
    /// Where in a push, for git-gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitPlace>,
    /// Events before this one that could not be written: the reader was gone or too slow.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_before: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
