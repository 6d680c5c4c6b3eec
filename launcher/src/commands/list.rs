//! `bottle list`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// List the bottles.
#[derive(Debug, Args)]
pub struct List {
    /// Also those that are no longer running.
    #[arg(long, short)]
    pub all: bool,
}

impl List {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle list` does not exist yet"))
    }
}
