//! `bottle stop`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Take a bottle down.
#[derive(Debug, Args)]
pub struct Stop {
    /// The bottle, by the slug that `bottle list` shows.
    #[arg(required_unless_present = "all")]
    pub slug: Option<contract::Slug>,

    /// Every running bottle.
    #[arg(long, conflicts_with = "slug")]
    pub all: bool,

    /// Keep its state directory.
    #[arg(long)]
    pub preserve: bool,
}

impl Stop {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle stop` does not exist yet"))
    }
}
