//! `egress probe`: would a proxy open a tunnel to a host? For a seat that writes no acknowledgement this is how a launcher
//! verifies that a host was let in; nothing is sent to the host.

use contract::HostName;

use super::Failure;
use crate::address::Address;
use crate::ask_guard;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the proxy listens: unix:PATH or ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: Address,
    /// The host
    #[arg(long, value_name = "NAME")]
    host: HostName,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let host = &arguments.host;
    let answer = ask_guard::probe(&arguments.listen, host)
        .map_err(|error| Failure::refused(format!("no proxy answers there: {error}")))?;
    if answer.status == 200 {
        return super::print(&format!("{host} is admitted\n"));
    }
    let said = String::from_utf8_lossy(&answer.body);
    Err(Failure::refused(format!(
        "{host} is refused: {} {}",
        answer.status,
        contract::text::harmless(said.trim())
    )))
}
