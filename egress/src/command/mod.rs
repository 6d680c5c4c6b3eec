//! The command line: `egress run | check | healthcheck | probe`.
//!
//! Data goes to standard output, messages to standard error. Exit codes: 0 done, 1 failed (or refused, for `probe`), 2 usage or
//! configuration.

mod check;
mod healthcheck;
mod probe;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ::guard::program;
use clap::{Parser, Subcommand};

use crate::address::AddressError;
use crate::config::ConfigError;
use crate::grants::LedgerError;
use crate::reload::NotApplied;
use crate::upstream::UntrustedError;

/// The egress guard: lets an agent reach the hosts, methods and paths of its routes, puts the operator's credentials in,
/// and refuses the rest.
#[derive(Debug, Parser)]
#[command(name = "egress", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard: listen as a forward proxy and decide every request
    Run(run::Arguments),
    /// Read a config directory and print what would be in force
    Check(check::Arguments),
    /// Ask a running guard for its live table; exit 0 when it answers
    Healthcheck(healthcheck::Arguments),
    /// Ask a running proxy (this guard or a seat) whether it would open a tunnel to a host; exit 0 when it would
    Probe(probe::Arguments),
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// a file of the config directory
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// a table that cannot come into force
    #[error("{0}")]
    NotApplied(#[from] NotApplied),
    /// an address on the command line
    #[error("{argument}: {why}")]
    Address {
        /// Which.
        argument: &'static str,
        /// What is wrong.
        why: AddressError,
    },
    /// the authority
    #[error("{file}: {why}")]
    Authority {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        why: mitm::CertificateError,
    },
    /// trust upstream
    #[error("{0}")]
    Trust(#[from] UntrustedError),
    /// the grants of earlier runs
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    /// the front door
    #[error("{0}. Stop what listens there, or listen elsewhere")]
    Listen(#[from] mitm::ListenError),
    /// the operating system, or the other side
    #[error("{0}")]
    Program(#[from] program::Failure),
}

impl Failure {
    /// 2 when the operator's files or arguments are at fault, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::NotApplied(_)
            | Self::Address { .. }
            | Self::Authority { .. }
            | Self::Trust(_) => 2,
            Self::Ledger(_) | Self::Listen(_) | Self::Program(_) => 1,
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
        Command::Probe(arguments) => probe::run(&arguments),
    };
    program::ended("egress", done, Failure::exit_code)
}

/// Writes data for the caller.
fn print(text: &str) -> Result<(), Failure> {
    Ok(program::print(text)?)
}
