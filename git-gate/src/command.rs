//! The command line: `git-gate run | check | healthcheck | hook`.
//!
//! Data goes to standard output, messages to standard error. Exit codes: 0 done, 1 failed, 2 usage or configuration.
//!
//! git runs this program under the names of its hooks, and as its ssh: then the name alone says what to do.

mod check;
mod first;
mod healthcheck;
mod run;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use guard::listen::ListenError;
use guard::program;

use crate::config::ConfigError;
use crate::hook::message::Kind;
use crate::{hook, ssh};

/// The git guard: serves mirrors of the configured upstreams, scans every object of a push, and forwards it over SSH.
#[derive(Debug, Parser)]
#[command(name = "git-gate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard: serve smart HTTP and judge every push
    Run(run::Arguments),
    /// Read a config directory and print what would be in force
    Check(check::Arguments),
    /// Ask whether a gate answers; exit 0 when it does
    Healthcheck(healthcheck::Arguments),
    /// What git runs for a push: asks the running gate
    Hook {
        /// Which
        #[arg(value_enum)]
        kind: HookName,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum HookName {
    /// May this come in?
    PreReceive,
    /// Send it on
    ProcReceive,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// the config directory
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// the front door
    #[error("{0}. Stop what listens there, or listen elsewhere")]
    Listen(#[from] ListenError),
    /// the operating system, or the other side
    #[error("{0}")]
    Program(#[from] program::Failure),
}

impl Failure {
    /// 2 when the operator's files are at fault, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
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
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some((program, rest)) = arguments.split_first()
        && let Some(name) = Path::new(program).file_name()
    {
        if let Some(kind) = hook::by_name(name) {
            return hook::main(kind);
        }
        if name == ssh::PROGRAM {
            return ssh::main(rest);
        }
    }
    let arguments = match program::arguments::<Arguments>(arguments) {
        Ok(arguments) => arguments,
        Err(ended) => return ended,
    };
    if first::is_first() && matches!(arguments.command, Command::Run(_)) {
        return match first::run() {
            Ok(code) => code,
            failed => ended(failed.map(|_| ())),
        };
    }
    let done = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
        Command::Hook { kind } => {
            return hook::main(match kind {
                HookName::PreReceive => Kind::PreReceive,
                HookName::ProcReceive => Kind::ProcReceive,
            });
        }
    };
    ended(done)
}

fn ended(done: Result<(), Failure>) -> ExitCode {
    program::ended("git-gate", done, Failure::exit_code)
}

/// Writes data for the caller.
fn print(text: &str) -> Result<(), Failure> {
    Ok(program::print(text)?)
}
