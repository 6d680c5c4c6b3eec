//! `metadata.json`: what a launch is, for every later `bottle` command.

use crate::{AgentName, BottleName, LaunchNonce, Timestamp};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One launched bottle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The agent that runs in it.
    pub agent_name: AgentName,
    /// The bottle that it runs in.
    pub bottle: BottleName,
    /// The host directory given with `--cwd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// `true`: a copy of it was made; `false`: it is mounted.
    pub copy_cwd: bool,
    /// When the launch began.
    pub started_at: Timestamp,
    /// The compose project, `claude-bottle-<slug>`.
    pub compose_project: String,
    /// This launch's own mark.
    pub launch_nonce: LaunchNonce,
}
