//! `bottle doctor`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Check that this machine can run a bottle.
#[derive(Debug, Args)]
pub struct Doctor {}

impl Doctor {
    /// Does it.
    pub async fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle doctor` does not exist yet"))
    }
}
