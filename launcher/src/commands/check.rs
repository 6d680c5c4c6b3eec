//! `bottle check`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Check the manifests.
#[derive(Debug, Args)]
pub struct Check {
    /// Only this agent and its bottle.
    pub agent: Option<contract::AgentName>,
}

impl Check {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle check` does not exist yet"))
    }
}
