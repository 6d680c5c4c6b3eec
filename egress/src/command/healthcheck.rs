//! `egress healthcheck`: is a guard there, and does it have a table?

use contract::LiveTable;

use super::Failure;
use crate::address::Address;
use crate::ask_guard;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the guard listens: unix:PATH or ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: Address,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = ask_guard::introspect(&arguments.listen)
        .map_err(|error| Failure::refused(format!("no guard answers there: {error}")))?;
    let table: Option<LiveTable> = serde_json::from_slice(&answer.body).ok();
    match table.filter(|_| answer.status == 200) {
        Some(table) => super::print(&format!("generation {} is in force\n", table.generation)),
        None => Err(Failure::refused(format!(
            "what listens there is no egress guard: it answered {} and no live table",
            answer.status
        ))),
    }
}
