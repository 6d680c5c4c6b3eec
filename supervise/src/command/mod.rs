//! The command line: `supervise run | check | healthcheck`.
//!
//! Data goes to standard output, messages to standard error. Exit codes: 0 done, 1 failed, 2 usage or directories.

mod check;
mod healthcheck;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use ::guard::program;
use clap::{Parser, Subcommand};

use crate::queue::OpenError;

/// The MCP server by which an agent asks its operator for what it may not do: it puts questions into files, waits for the
/// answers, and decides nothing.
#[derive(Debug, Parser)]
#[command(name = "supervise", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the four tools over MCP
    Run(run::Arguments),
    /// Read the two directories and print every proposal with its state
    Check(check::Arguments),
    /// Ask a running server whether it serves; exit 0 when it does
    Healthcheck(healthcheck::Arguments),
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// a directory that cannot be used
    #[error("{0}")]
    Queue(#[from] OpenError),
    /// the front door
    #[error("{0}. Stop what listens there, or listen elsewhere")]
    Listen(#[from] ::guard::listen::ListenError),
    /// the operating system, or the other side
    #[error("{0}")]
    Program(#[from] program::Failure),
}

impl Failure {
    /// 2 when the operator's directories or arguments are at fault, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Queue(_) => 2,
            Self::Listen(_) | Self::Program(_) => 1,
        }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |why| program::Failure::System { what, why }.into()
    }

    pub(crate) fn refused(why: impl Into<String>) -> Self {
        program::Failure::Refused(why.into()).into()
    }
}

/// The program: what `main` calls.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match program::arguments::<Arguments>(arguments) {
        Ok(arguments) => arguments,
        Err(ended) => return ended,
    };
    let done = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
    };
    program::ended("supervise", done, Failure::exit_code)
}

/// Writes data for the caller.
fn print(text: &str) -> Result<(), Failure> {
    Ok(program::print(text)?)
}
