//! `bottle completions`

use crate::cli::{Cli, Context};
use crate::error::Result;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Write a completion script for a shell.
///
/// For bash: `bottle completions bash > ~/.local/share/bash-completion/completions/bottle`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

impl Completions {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bottle", &mut script);
        context.printer.data(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}
