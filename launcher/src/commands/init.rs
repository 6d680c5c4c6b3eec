//! `bottle init`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Write a first agent and a first bottle.
#[derive(Debug, Args)]
pub struct Init {}

impl Init {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle init` does not exist yet"))
    }
}
