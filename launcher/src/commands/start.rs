//! `bottle start`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Start an agent in a bottle of its own.
#[derive(Debug, Args)]
pub struct Start {
    /// The agent, as in agents/AGENT.md.
    pub agent: contract::AgentName,

    /// Give the agent a copy of this directory (default: the current one).
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".", require_equals = false)]
    pub cwd: Option<std::path::PathBuf>,

    /// Give it the directory itself instead of a copy.
    #[arg(long, requires = "cwd")]
    pub mount: bool,

    /// Leave it running in the background; `bottle attach` opens a session.
    #[arg(long)]
    pub detach: bool,

    /// Show what would be started, and stop there.
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask for a yes.
    #[arg(long, short)]
    pub yes: bool,
}

impl Start {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle start` does not exist yet"))
    }
}
