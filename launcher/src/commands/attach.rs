//! `bottle attach`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Open another session in a running bottle.
#[derive(Debug, Args)]
pub struct Attach {
    /// The bottle, by the slug that `bottle list` shows.
    pub slug: contract::Slug,

    /// What to run instead of the agent.
    #[arg(last = true)]
    pub command: Vec<String>,
}

impl Attach {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle attach` does not exist yet"))
    }
}
