//! The audit log of one bottle: `audit/<slug>.jsonl`, one entry per line, in the order in which things were noted.
//!
//! Every entry names the SHA-256 of the line before it, so an edited, removed or reordered line shows. What joins entries, routes
//! and access events is the proposal's identifier and, for a permission that ends, the grant's, which is made of it
//! ([`ProposalId::grant`]). The denial before it is named by the proposal.
//!
//! What an entry refuses to hold: the value of a credential, and an agent's characters that could act on a terminal.

use crate::{
    EnvName, EventId, GrantEndCause, GrantId, Guard, HostName, Method, PathPrefix, ProposalId, Route,
    Sha256Hex, Slug, Timestamp,
};
use serde::{Deserialize, Serialize};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Counts the lines of the log, from 1.
    pub sequence: u64,
    /// SHA-256 of the line before, without its newline; of no bytes at all for the first line.
    pub previous_sha256: Sha256Hex,
    /// When it was noted.
    pub time: Timestamp,
    /// The bottle.
    pub slug: Slug,
    /// Whose doing it is.
    pub who: Who,
    /// The proposal that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<ProposalId>,
    /// The permission that ends, whose requests' access events carry the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<GrantId>,
    /// What happened.
    pub event: AuditEvent,
}

/// Whose doing something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case", deny_unknown_fields)]
pub enum Who {
    /// The person (or program) that ran `bottle`.
    Operator {
        /// The user, as the operating system names it.
        user: String,
        /// Its number, where the entry is made by that user's own command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
    },
    /// The agent, by what supervise wrote for it.
    Agent,
    /// A guard.
    Guard {
        /// Which.
        guard: Guard,
    },
    /// `bottle` by itself: settling what a crash or the end of a session left.
    Launcher,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuditEvent {
    /// A proposal was seen for the first time.
    Proposed {
        /// The tool that was called.
        tool: String,
        /// Hash of the proposal's file.
        proposal_sha256: Sha256Hex,
        /// When supervise wrote it.
        created_at: Timestamp,
        /// What it asks for.
        asked: Asked,
        /// Why, in the agent's words, made harmless.
        justification: String,
        /// The denial that it follows, as the agent says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        denial_id: Option<EventId>,
    },
    /// It was answered.
    Decided {
        /// How.
        verdict: Verdict,
        /// Hash of the response's file.
        response_sha256: Sha256Hex,
        /// What was approved, where it is not what was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approved: Option<Asked>,
        /// When the permission ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// The permission is for one request.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        once: bool,
        /// Why not, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The agent took it back before it was answered.
    Withdrawn,
    /// Nobody answered it while its session lived.
    Expired,
    /// An approved change is about to be written.
    Applying {
        /// Every file that changes.
        changes: Vec<FileChange>,
        /// What becomes of the host's lasting route: what `revoke` takes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasting: Option<Box<LastingChange>>,
        /// This goes on with what an earlier command began.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resumed: bool,
    },
    /// A guard has in force what was written for it.
    Acknowledged {
        /// The guard.
        guard: Guard,
        /// Hash of the file that it read.
        file_sha256: Sha256Hex,
        /// How that is known.
        verified: Verified,
        /// Hash of the policy in force, where the guard says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effective_sha256: Option<Sha256Hex>,
        /// Its generation, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<u64>,
    },
    /// A guard could not be asked, because the bottle has none in that place.
    NoGuard {
        /// The guard that there is not.
        guard: Guard,
    },
    /// A guard acknowledges nothing, and was not probed: its files are as they were to be, and that is all that is known.
    NotVerified {
        /// The guard.
        guard: Guard,
    },
    /// What became of an approved change.
    Outcome {
        /// Whether it is in force.
        outcome: Outcome,
        /// What is true now, in a sentence.
        now: String,
    },
    /// The operator takes a permission back; whether it is gone, the next [`AuditEvent::Outcome`] says.
    Revoking {
        /// The host that it was for.
        host: HostName,
        /// Every file that changes.
        changes: Vec<FileChange>,
    },
    /// A permission ended by itself.
    GrantEnded {
        /// The host that it was for.
        host: HostName,
        /// Why.
        cause: GrantEndCause,
        /// When the guard noted it.
        at: Timestamp,
    },
    /// The operator edits a guard's live file; whether it is in force, the next [`AuditEvent::Outcome`] says.
    Editing {
        /// Every file that changes.
        changes: Vec<FileChange>,
    },
    /// The last line was torn by a crash while it was written, and was taken away: nothing had gone by it.
    TornLine {
        /// Its length.
        bytes: u64,
        /// Hash of what there was of it.
        sha256: Sha256Hex,
    },
}

/// What a proposal asks for, as far as it joins with access events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// A route.
    Route {
        /// The host.
        host: HostName,
        /// Path prefixes; empty: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path_allowlist: Vec<PathPrefix>,
        /// Methods; empty: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        methods: Vec<Method>,
        /// The operator's name for a credential.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_ref: Option<EnvName>,
    },
    /// A host at the seat, or the exemption of one rule for it.
    Pipelock {
        /// The host.
        host: HostName,
        /// The rule.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// A new Dockerfile.
    Capability {
        /// Hash of it.
        dockerfile_sha256: Sha256Hex,
    },
}

/// The operator's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it was asked, or as the operator edited it.
    Approved,
    /// No.
    Rejected,
}

/// What became of an approved change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In force as it was asked.
    Applied,
    /// In force as the operator edited it.
    Modified,
    /// Not in force.
    Failed,
}

/// How it is known that a guard has a file in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// It acknowledged the file's hash with this launch's nonce.
    Acknowledgement,
    /// It does not acknowledge; a probe through it was let through.
    Probe,
}

/// A host's lasting route before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastingChange {
    /// Absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Route>,
    /// What it becomes.
    pub after: Route,
}

/// A file before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileChange {
    /// Its name in the guard's config directory, such as `routes.yaml`.
    pub file: String,
    /// Hash of it before.
    pub before_sha256: Sha256Hex,
    /// Hash of it after.
    pub after_sha256: Sha256Hex,
    /// From the one to the other, as a unified diff.
    pub diff: String,
}

impl AuditEntry {
    /// What the first line names as the hash of the line before it.
    pub fn beginning() -> Sha256Hex {
        Sha256Hex::of(b"")
    }
}
