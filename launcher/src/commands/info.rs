//! `bottle info`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Show what this program and its engine are.
#[derive(Debug, Args)]
pub struct Info {}

impl Info {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle info` does not exist yet"))
    }
}
