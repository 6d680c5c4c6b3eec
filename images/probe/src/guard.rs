//! Asks each guard for an answer: one HTTP request, the first line of what comes back.

use crate::GuardAnswer;
use crate::arguments::{Arguments, Guard};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long a guard may take to answer. It has acknowledged its policy before the probe runs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks every guard, one after another.
pub fn all(arguments: &Arguments) -> Vec<GuardAnswer> {
    arguments
        .guards
        .iter()
        .map(|guard| match ask(guard) {
            Ok(status) => GuardAnswer {
                name: guard.name.clone(),
                ok: status.starts_with("HTTP/1.1 2"),
                detail: status,
            },
            Err(error) => GuardAnswer {
                name: guard.name.clone(),
                ok: false,
                detail: error.to_string(),
            },
        })
        .collect()
}

fn ask(guard: &Guard) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&guard.address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In absolute form the request names its host itself; the Host header must then agree.
    let host = match guard.request_target.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest).to_owned(),
        None => guard.address.to_string(),
    };
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        guard.request_target
    );
    stream.write_all(head.as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 256 && stream.read(&mut byte)? == 1 && byte != *b"\r" {
        line.extend_from_slice(&byte);
    }
    if line.is_empty() {
        return Err(std::io::Error::other("closed without an answer"));
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answer(with: &'static str) -> GuardAnswer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 512];
            let read = stream.read(&mut head).unwrap();
            stream.write_all(with.as_bytes()).unwrap();
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let guard = Guard {
            name: "egress".to_owned(),
            address,
            request_target: "http://_egress.local/allowlist".to_owned(),
        };
        let arguments = Arguments {
            guards: vec![guard],
            ..Arguments::default()
        };
        let answers = all(&arguments);
        let head = server.join().unwrap();
        assert!(
            head.starts_with("GET http://_egress.local/allowlist HTTP/1.1\r\nHost: _egress.local\r\n"),
            "{head}"
        );
        answers.into_iter().next().unwrap()
    }

    #[test]
    fn only_a_good_answer_counts() {
        assert!(answer("HTTP/1.1 200 OK\r\n\r\n").ok);
        assert!(!answer("HTTP/1.1 403 Forbidden\r\n\r\n").ok);
        assert!(!answer("").ok);
        assert!(!answer("SSH-2.0-x\r\n").ok);
    }
}
