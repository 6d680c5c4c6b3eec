//! A client of a running proxy: what `healthcheck` and `probe` ask over its front door.
//!
//! Plain blocking sockets and one bounded answer; every step has a deadline.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use contract::HostName;
use contract::place::{INTROSPECTION_HOST, INTROSPECTION_PATH};

use crate::address::Address;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer.
const MAX_ANSWER: u64 = 2 * 1024 * 1024;

/// What a proxy answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, as far as it came.
    pub body: Vec<u8>,
}

/// Asks a running egress for its live table.
pub fn introspect(proxy: &Address) -> io::Result<Answer> {
    ask(
        proxy,
        &format!(
            "GET http://{INTROSPECTION_HOST}{INTROSPECTION_PATH} HTTP/1.1\r\nHost: {INTROSPECTION_HOST}\r\n\
             Connection: close\r\n\r\n"
        ),
    )
}

/// Asks a proxy for a tunnel to port 443 of a host, and lets go of it. Nothing is sent through.
pub fn probe(proxy: &Address, host: &HostName) -> io::Result<Answer> {
    ask(
        proxy,
        &format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"),
    )
}

fn ask(proxy: &Address, request: &str) -> io::Result<Answer> {
    match proxy {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream, request)
        }
        Address::Tcp(authority) => {
            let stream = std::net::TcpStream::connect(authority.to_string())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream, request)
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let count = stream.read(&mut piece)?;
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        let complete = read_answer(&answer)?;
        let too_long = u64::try_from(answer.len()).unwrap_or(u64::MAX) > MAX_ANSWER;
        match complete {
            Some(complete) => return Ok(complete),
            None if count == 0 || too_long => return Err(broken()),
            None => {}
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer is not a whole HTTP response",
    )
}

/// The answer, once head and body are there. A 200 to CONNECT has no body.
fn read_answer(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let head_length = match head.parse(bytes).map_err(|_| broken())? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = head.code.ok_or_else(broken)?;
    let length = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    let body = bytes.get(head_length..).unwrap_or_default();
    Ok(body.get(..length).map(|body| Answer {
        status,
        body: body.to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        for cut in 0..text.len() {
            assert_eq!(read_answer(&text[..cut]).unwrap(), None);
        }
        let whole = read_answer(text).unwrap().unwrap();
        assert_eq!((whole.status, whole.body.as_slice()), (403, &b"no"[..]));
        assert_eq!(
            read_answer(b"HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap().status,
            200
        );
        assert!(read_answer(b"SSH-2.0-x\r\n").is_err());
    }
}
