//! `supervise check`: reads the queue as `run` would, and prints what has become of every proposal.

use std::fmt::Write as _;
use std::path::PathBuf;

use contract::text::harmless;

use super::Failure;
use crate::queue::Queue;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where proposals are written
    #[arg(long, value_name = "DIR")]
    proposals: PathBuf,
    /// Where the operator's answers appear
    #[arg(long, value_name = "DIR")]
    responses: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let all = Queue::read_all(&arguments.proposals, &arguments.responses)
        .map_err(Failure::system("the queue cannot be read"))?;
    let mut text = String::new();
    let mut broken = 0;
    for (id, read) in all {
        let _ = match read {
            Ok((proposal, standing)) => writeln!(
                text,
                "{id}  {}  {}  {}",
                standing.status,
                proposal.ask.tool(),
                harmless(proposal.ask.justification())
            ),
            Err(error) => {
                broken += 1;
                writeln!(text, "{id}  broken  {error}")
            }
        };
    }
    super::print(&text)?;
    if broken > 0 {
        return Err(Failure::refused(format!(
            "{broken} proposals cannot be read; supervise withdraws them when it starts"
        )));
    }
    Ok(())
}
