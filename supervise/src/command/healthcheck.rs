//! `supervise healthcheck`: does a server answer there?

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ::guard::listen::ListenAddress;

use super::Failure;
use crate::service::HEALTH_PATH;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer, in bytes.
const MAX_ANSWER: u64 = 4096;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the server listens: unix:PATH or IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: ListenAddress,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = ask(&arguments.listen)
        .map_err(|error| Failure::refused(format!("no supervise answers there: {error}")))?;
    if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"serving\n") {
        return super::print("serving\n");
    }
    Err(Failure::refused("what listens there is no supervise".to_owned()))
}

fn ask(address: &ListenAddress) -> io::Result<Vec<u8>> {
    match address {
        ListenAddress::Unix { path, .. } => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
        ListenAddress::Tcp(address) => {
            let stream = std::net::TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
    }
}

fn exchange(mut stream: impl Read + Write) -> io::Result<Vec<u8>> {
    write!(
        stream,
        "GET {HEALTH_PATH} HTTP/1.1\r\nHost: supervise\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}
