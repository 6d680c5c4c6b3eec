//! The command line: what can be asked for. What each command does is in `commands/`, one file each.

use crate::commands;
use crate::environment::Environment;
use crate::error::Result;
use crate::home::Home;
use crate::printer::Printer;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// Run a coding agent in a container without a network, behind guards that hold its credentials.
#[derive(Debug, Parser)]
#[command(
    name = "bottle",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_long_help = crate::environment::help()
)]
pub struct Cli {
    /// Write data as JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command. One variant per line, in the order of the help text.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(commands::init::Init),
    Check(commands::check::Check),
    Start(commands::start::Start),
    List(commands::list::List),
    Attach(commands::attach::Attach),
    Stop(commands::stop::Stop),
    Proposals(commands::proposals::Proposals),
    Approve(commands::approve::Approve),
    Reject(commands::reject::Reject),
    Revoke(commands::revoke::Revoke),
    Routes(commands::routes::Routes),
    Pipelock(commands::pipelock::Pipelock),
    Git(commands::git::Git),
    Audit(commands::audit::Audit),
    Logs(commands::logs::Logs),
    Info(commands::info::Info),
    Doctor(commands::doctor::Doctor),
    Cleanup(commands::cleanup::Cleanup),
    Images(commands::images::Images),
    Completions(commands::completions::Completions),
}

/// What every command is given.
#[derive(Clone)]
pub struct Context {
    /// The host environment as it was at start.
    pub environment: Environment,
    /// The one way out.
    pub printer: Printer,
}

impl Context {
    /// The operator's folder.
    pub fn home(&self) -> Result<Home> {
        Home::of(&self.environment)
    }
}

/// A mistake on the command line (`arguments` of the process), with the way out that clap cannot know: `--cwd` takes a directory where
/// one follows, and so takes an agent that was meant for the command; `attach` runs nothing that does not stand behind `--`.
pub fn explained(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let lacks_agent = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::Strings(missing)) if missing.iter().any(|argument| argument == "<AGENT>")
    );
    if error.kind() == ErrorKind::MissingRequiredArgument
        && lacks_agent
        && arguments.iter().any(|argument| argument == "--cwd")
    {
        let tip = "the word after `--cwd` is its directory; write the agent first, as in `bottle start AGENT --cwd`";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    } else if error.kind() == ErrorKind::UnknownArgument
        && error.get(ContextKind::Suggested).is_none()
        && arguments.get(1).is_some_and(|command| command == "attach")
    {
        let tip = "a command of your own stands behind `--`, as in `bottle attach SLUG -- bash`";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

impl Command {
    /// Whether it has to do with bottles, and so goes on first with what an earlier command left undone in one.
    pub fn looks_at_bottles(&self) -> bool {
        !matches!(
            self,
            Self::Init(_) | Self::Check(_) | Self::Doctor(_) | Self::Images(_) | Self::Completions(_)
        )
    }

    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Init(command) => command.run(context),
            Self::Check(command) => command.run(context),
            Self::Start(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Attach(command) => command.run(context).await,
            Self::Stop(command) => command.run(context).await,
            Self::Proposals(command) => command.run(context).await,
            Self::Approve(command) => command.run(context).await,
            Self::Reject(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
            Self::Routes(command) => command.run(context).await,
            Self::Pipelock(command) => command.run(context).await,
            Self::Git(command) => command.run(context).await,
            Self::Audit(command) => command.run(context).await,
            Self::Logs(command) => command.run(context).await,
            Self::Info(command) => command.run(context).await,
            Self::Doctor(command) => command.run(context).await,
            Self::Cleanup(command) => command.run(context).await,
            Self::Images(command) => command.run(context).await,
            Self::Completions(command) => command.run(context),
        }
    }
}
