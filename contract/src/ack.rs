//! A guard's acknowledgement: `applied.json`. "Applied" means that the launcher read back the hash of what it
//! wrote, with this launch's nonce.

use crate::{LaunchNonce, Sha256Hex, Timestamp};
use serde::{Deserialize, Serialize};

/// What a guard has in force. Written (temporary file, fsync, rename) at start and whenever its config changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Hash of the file that was read last, whether or not it could be applied.
    pub file_sha256: Sha256Hex,
    /// Hash of the policy in force.
    pub effective_sha256: Sha256Hex,
    /// The generation in force.
    pub generation: u64,
    /// The launch that this guard belongs to.
    pub launch_nonce: LaunchNonce,
    /// When this was decided.
    pub at: Timestamp,
    /// Why the file read last is not in force; the policy before it still is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
