//! `git-gate healthcheck`: does a gate answer there?

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use guard::listen::ListenAddress;

use super::Failure;

/// A gate answers this at once.
const PATIENCE: Duration = Duration::from_secs(5);

const REQUEST: &[u8] = b"GET /_gate/health HTTP/1.1\r\nhost: git-gate\r\nconnection: close\r\n\r\n";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the gate listens: unix:PATH or IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: ListenAddress,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = ask(&arguments.listen)
        .map_err(|error| Failure::refused(format!("no gate answers there: {error}")))?;
    let generation = answer
        .strip_prefix("HTTP/1.1 200 ")
        .and_then(|answer| answer.rsplit_once("git-gate generation "))
        .map(|(_, generation)| generation.trim());
    match generation {
        Some(generation) => super::print(&format!("generation {generation} is in force\n")),
        None => Err(Failure::refused("what listens there is no git-gate".to_owned())),
    }
}

fn ask(address: &ListenAddress) -> io::Result<String> {
    match address {
        ListenAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
        ListenAddress::Unix { path, .. } => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
    }
}

fn exchange(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer)
}
