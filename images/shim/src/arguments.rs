//! The command line: which side is copied to which.
//!
//! Refuses whatever it does not know, so that a mistake in the compose file ends the container at once.

use crate::endpoint::{Endpoint, EndpointError};
use std::ffi::OsString;

/// Connections held at once unless told otherwise. Each may hold up to two leftovers of
/// [`crate::flow::CHUNK`] bytes: 128 MiB in the worst case, and nothing for idle ones.
pub const DEFAULT_MAX_CONNECTIONS: usize = 1024;

const USAGE: &str = "\
Copies bytes between loopback ports and Unix sockets, and reaps orphans when it is process 1.

Usage: shim --forward LISTEN=CONNECT [--forward …] [--max-connections N]

  --forward LISTEN=CONNECT  listen here and connect there; each side is 127.0.0.1:PORT or unix:/PATH
                            (a listening port of 0 is picked by the kernel; a listening path holds no '=')
  --max-connections N       connections at once, over all forwards (default 1024); more wait in the backlog
  --version                 print the version
  --help                    print this

Exits 0 on SIGTERM and SIGINT, 1 when a side cannot be bound, 2 on a mistake in the command line.
";

/// One `--forward`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where clients connect.
    pub listen: Endpoint,
    /// Where their bytes go.
    pub connect: Endpoint,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// At least one.
    pub forwards: Vec<Forward>,
    /// At least one.
    pub max_connections: usize,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print this and end.
    Print(String),
    /// Forward until told to end.
    Run(Settings),
}

/// A command line that cannot be meant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UsageError {
    /// An argument nobody knows.
    #[error("unknown argument '{0}'; see `shim --help`")]
    Unknown(String),
    /// An option at the end without its value.
    #[error("{0} needs a value; see `shim --help`")]
    ValueMissing(&'static str),
    /// Nothing to do.
    #[error("no --forward was given; see `shim --help`")]
    NoForward,
    /// A `--forward` without a `=`.
    #[error("--forward '{0}' is not of the form LISTEN=CONNECT")]
    NoPair(String),
    /// One of its sides is no address.
    #[error("--forward '{forward}': {reason}")]
    Endpoint {
        /// As given.
        forward: String,
        /// What is wrong with the side.
        reason: EndpointError,
    },
    /// Two forwards on one listening side.
    #[error("{0} is listened on twice")]
    ListenTwice(Endpoint),
    /// Not a count.
    #[error("--max-connections '{0}' is not a number from 1 to 1000000")]
    MaxConnections(String),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// On the first argument that cannot be meant.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut arguments = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned());
    let mut settings = Settings {
        forwards: Vec::new(),
        max_connections: DEFAULT_MAX_CONNECTIONS,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Command::Print(USAGE.to_owned())),
            "--version" | "-V" => return Ok(Command::Print(format!("shim {}\n", env!("CARGO_PKG_VERSION")))),
            "--forward" => {
                let value = arguments.next().ok_or(UsageError::ValueMissing("--forward"))?;
                let forward = parse_forward(&value)?;
                if !may_share(&settings.forwards, &forward.listen) {
                    return Err(UsageError::ListenTwice(forward.listen));
                }
                settings.forwards.push(forward);
            }
            "--max-connections" => {
                let value = arguments
                    .next()
                    .ok_or(UsageError::ValueMissing("--max-connections"))?;
                settings.max_connections = value
                    .parse()
                    .ok()
                    .filter(|count| (1..=1_000_000).contains(count))
                    .ok_or(UsageError::MaxConnections(value))?;
            }
            _ => return Err(UsageError::Unknown(argument)),
        }
    }
    if settings.forwards.is_empty() {
        return Err(UsageError::NoForward);
    }
    Ok(Command::Run(settings))
}

/// Whether one more forward may listen here: each side once, but port 0 is a new port each time.
fn may_share(forwards: &[Forward], listen: &Endpoint) -> bool {
    matches!(listen, Endpoint::Tcp(address) if address.port() == 0)
        || forwards.iter().all(|forward| forward.listen != *listen)
}

fn parse_forward(text: &str) -> Result<Forward, UsageError> {
    let (listen, connect) = text
        .split_once('=')
        .ok_or_else(|| UsageError::NoPair(text.to_owned()))?;
    let side = |reason| UsageError::Endpoint {
        forward: text.to_owned(),
        reason,
    };
    let forward = Forward {
        listen: listen.parse().map_err(side)?,
        connect: connect.parse().map_err(side)?,
    };
    if matches!(&forward.connect, Endpoint::Tcp(address) if address.port() == 0) {
        return Err(side(EndpointError::Port(connect.to_owned())));
    }
    Ok(forward)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn both_ways_and_the_cap_are_read() {
        let Ok(Command::Run(settings)) = parsed(
            "--forward 127.0.0.1:3128=unix:/doors/egress.sock --forward unix:/run/seat.sock=127.0.0.1:8888 --max-connections 7",
        ) else {
            panic!("refused")
        };
        let sides: Vec<(String, String)> = settings
            .forwards
            .iter()
            .map(|forward| (forward.listen.to_string(), forward.connect.to_string()))
            .collect();
        assert_eq!(
            sides,
            [
                ("127.0.0.1:3128".to_owned(), "unix:/doors/egress.sock".to_owned()),
                ("unix:/run/seat.sock".to_owned(), "127.0.0.1:8888".to_owned()),
            ]
        );
        assert_eq!(settings.max_connections, 7);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "",
            "--forward",
            "--forward 127.0.0.1:1",
            "--forward 127.0.0.1:1=",
            "--forward =unix:/a",
            "--forward 0.0.0.0:1=unix:/a",
            "--forward 127.0.0.1:65536=unix:/a",
            "--forward localhost:1=unix:/a",
            "--forward 127.0.0.1:1=unix:a",
            "--forward 127.0.0.1:1=unix:/a --forward 127.0.0.1:1=unix:/b",
            "--forward 127.0.0.1:1=127.0.0.1:0",
            "--forward 127.0.0.1:1=unix:/a --max-connections 0",
            "--forward 127.0.0.1:1=unix:/a --max-connections",
            "--forward 127.0.0.1:1=unix:/a extra",
        ] {
            assert!(parsed(line).is_err(), "`{line}` was accepted");
        }
    }

    #[test]
    fn help_and_version_are_printed_whatever_else_is_asked() {
        assert!(matches!(parsed("--help"), Ok(Command::Print(text)) if text.contains("--forward")));
        assert!(matches!(parsed("--version"), Ok(Command::Print(text)) if text.starts_with("shim ")));
    }

    proptest! {
        #[test]
        fn no_command_line_is_a_panic(words in prop::collection::vec("(--forward|--max-connections|127\\.0\\.0\\.1:[0-9]{0,6}(=unix:/?[a-z]{0,3})?|.{0,12})", 0..6)) {
            let _ = parse(words.into_iter().map(OsString::from));
        }
    }
}
