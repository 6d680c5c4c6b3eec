//! The command line: `dlp run | check | healthcheck`.
//!
//! Data goes to standard output, messages to standard error. Exit codes: 0 done, 1 failed (for `check`: what was asked about would
//! be refused), 2 usage or configuration.

mod check;
mod healthcheck;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ::guard::program;
use clap::{Parser, Subcommand};

use crate::config::ConfigError;
use crate::reload::NotApplied;

/// Our engine for the pipelock seat: looks at everything that leaves, and lets no secret through.
#[derive(Debug, Parser)]
#[command(name = "dlp", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard: listen as a forward proxy and look at every request
    Run(run::Arguments),
    /// Read a config directory and print what would be in force, or judge a URL or a body by it
    Check(check::Arguments),
    /// Ask a running seat for its state; exit 0 when it answers
    Healthcheck(healthcheck::Arguments),
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// a file of the config directory
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// files that cannot come into force
    #[error("{0}")]
    NotApplied(#[from] NotApplied),
    /// the authority
    #[error("{file}: {why}")]
    Authority {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        why: mitm::CertificateError,
    },
    /// trust upstream
    #[error("{file}: {why}")]
    Trust {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        why: mitm::TrustError,
    },
    /// the front door
    #[error("{0}. Stop what listens there, or listen elsewhere")]
    Listen(#[from] mitm::ListenError),
    /// the operating system, or the other side
    #[error("{0}")]
    Program(#[from] program::Failure),
    /// an argument that says nothing
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// 2 when the operator's files or arguments are at fault, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::NotApplied(_)
            | Self::Authority { .. }
            | Self::Trust { .. }
            | Self::Usage(_) => 2,
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
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
    };
    program::ended("dlp", done, Failure::exit_code)
}

/// Writes data for the caller.
fn print(text: &str) -> Result<(), Failure> {
    Ok(program::print(text)?)
}
