//! `bottle images`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Build the images.
#[derive(Debug, Args)]
pub struct Images {
    /// What to do with them.
    #[command(subcommand)]
    pub action: Action,
}

impl Images {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle images` does not exist yet"))
    }
}

/// What can be done with the images.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Build what is missing or out of date.
    Build {
        /// Build it all, whatever is there.
        #[arg(long)]
        force: bool,
    },
}
