//! `grants.json`: what became of expiring and single-use grants.
//!
//! The guard writes it (temporary file, fsync, rename) before a use takes effect; the launcher copies ends into
//! the audit. A grant with an end here never holds again, whatever the clocks or `routes.yaml` say.

use crate::{GrantId, HostName, Timestamp};
use serde::{Deserialize, Serialize};

/// The file whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantLedger {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Every grant that this bottle's guard has seen, in the order of first sight.
    pub grants: Vec<GrantRecord>,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRecord {
    /// The grant.
    pub grant_id: GrantId,
    /// The host that it was for.
    pub host: HostName,
    /// When the guard saw it first.
    pub first_seen: Timestamp,
    /// The boot-time clock's deadline, for a grant that expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_deadline: Option<BootDeadline>,
    /// How it ended; absent while it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<GrantEnd>,
}

/// A deadline on the clock that counts since boot, suspended time too: setting the wall clock back does not move it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootDeadline {
    /// The boot that the deadline counts from (`/proc/sys/kernel/random/boot_id`); in another boot it says nothing.
    pub boot_id: String,
    /// Milliseconds since that boot.
    pub millis: u64,
}

/// The end of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantEnd {
    /// When the guard noted it.
    pub at: Timestamp,
    /// Why.
    pub cause: GrantEndCause,
}

/// Why a grant ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantEndCause {
    /// It admitted its one request.
    Used,
    /// Its time is over.
    Expired,
}
