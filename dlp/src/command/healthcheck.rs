//! `dlp healthcheck`: is a seat there, and does it have a policy?
//!
//! One plain request over the front door; every step has a deadline, and the answer is bounded.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mitm::ListenAddress;

use super::Failure;
use crate::health::{HOST, Health, PATH};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read of an answer.
const MAX_ANSWER: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the seat listens: unix:PATH or IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: ListenAddress,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = ask(&arguments.listen)
        .map_err(|error| Failure::refused(format!("no seat answers there: {error}")))?;
    let head_end = memchr::memmem::find(&answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let health: Option<Health> = answer
        .get(head_end..)
        .and_then(|body| serde_json::from_slice(body).ok());
    match health.filter(|_| answer.starts_with(b"HTTP/1.1 200 ")) {
        Some(health) => super::print(&format!("generation {} is in force\n", health.generation)),
        None => Err(Failure::refused(
            "what listens there is no seat of ours: it does not say what it has in force".to_owned(),
        )),
    }
}

fn ask(seat: &ListenAddress) -> io::Result<Vec<u8>> {
    match seat {
        ListenAddress::Unix { path, .. } => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
        ListenAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
    }
}

fn exchange(mut stream: impl Read + Write) -> io::Result<Vec<u8>> {
    let request = format!("GET http://{HOST}{PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}
