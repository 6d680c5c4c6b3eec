//! `bottle cleanup`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Remove what stopped and crashed bottles left behind.
#[derive(Debug, Args)]
pub struct Cleanup {
    /// Show what would be removed, and stop there.
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask for a yes.
    #[arg(long, short)]
    pub yes: bool,
}

impl Cleanup {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle cleanup` does not exist yet"))
    }
}
