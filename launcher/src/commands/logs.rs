//! `bottle logs`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Show what a bottle's containers logged.
#[derive(Debug, Args)]
pub struct Logs {
    /// The bottle, by the slug that `bottle list` shows.
    pub slug: contract::Slug,

    /// Only this guard, or `agent`.
    pub service: Option<String>,

    /// Go on until it ends.
    #[arg(long, short)]
    pub follow: bool,
}

impl Logs {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle logs` does not exist yet"))
    }
}
