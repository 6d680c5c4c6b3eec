//! `bottle completions`

use crate::cli::Context;
use crate::error::{Error, Result};
use clap::Args;

/// Write a completion script for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

impl Completions {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<()> {
        Err(Error::failed("`bottle completions` does not exist yet"))
    }
}
