//! Asking a guard: it must answer in HTTP, and well (2xx). Without that answer the way through it is not there.

use crate::arguments::GuardDoor;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How soon to ask again: a guard that is still starting has not bound its socket, and the shim closes at once.
const PAUSE: Duration = Duration::from_millis(10);
/// A status line is far shorter.
const LONGEST_ANSWER: usize = 1024;

/// The status line that it answers with; asks again until it does.
///
/// # Errors
/// With the last reason, when the deadline passes; or with its status line, when that is no 2xx.
pub(crate) fn ask(guard: &GuardDoor, deadline: Duration) -> Result<String, String> {
    let until = Instant::now() + deadline;
    loop {
        // Once at least, however slow this machine is.
        let left = until
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        match once(guard, left) {
            Ok(answer)
                if answer
                    .split(' ')
                    .nth(1)
                    .is_some_and(|status| status.starts_with('2')) =>
            {
                return Ok(answer);
            }
            Ok(answer) => return Err(format!("it answered {answer}")),
            Err(error) if Instant::now() + PAUSE >= until => {
                return Err(format!("no HTTP answer within {deadline:?}: {error}"));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn once(guard: &GuardDoor, patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&guard.address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        guard.request_target,
        authority(&guard.request_target).unwrap_or(&guard.name)
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; LONGEST_ANSWER];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend(chunk.iter().take(read));
        if let Some(line) = status_line(&answer) {
            return line;
        }
    }
}

/// The authority of an absolute URI, which the `Host` field must agree with.
fn authority(request_target: &str) -> Option<&str> {
    let (_, rest) = request_target.split_once("://")?;
    rest.split(['/', '?'])
        .next()
        .filter(|authority| !authority.is_empty())
}

/// The first line once it is whole; an error once it can be no status line any more.
fn status_line(answer: &[u8]) -> Option<io::Result<String>> {
    const WRONG: &str = "what answered does not speak HTTP";
    let begin = b"HTTP/1.";
    if answer
        .iter()
        .zip(begin)
        .any(|(found, expected)| found != expected)
        || answer.len() > LONGEST_ANSWER
    {
        return Some(Err(io::Error::other(WRONG)));
    }
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let line = String::from_utf8_lossy(answer.get(..end).unwrap_or_default());
    let line = line.trim_end();
    let status = line.split(' ').nth(1).unwrap_or_default();
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Err(io::Error::other(WRONG)));
    }
    // It ends up on the operator's terminal.
    let shown = line
        .chars()
        .map(|character| if character.is_control() { '?' } else { character });
    Some(Ok(shown.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    /// A server that gives its answers one connection after the other, and the requests that it got.
    fn serve(answers: &'static [&'static [u8]]) -> (GuardDoor, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let guard = GuardDoor {
            name: "egress".to_owned(),
            address: listener.local_addr().unwrap(),
            request_target: "/health".to_owned(),
        };
        let served = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let read = stream.read(&mut request).unwrap();
                requests.push(String::from_utf8_lossy(&request[..read]).into_owned());
                stream.write_all(answer).unwrap();
            }
            requests
        });
        (guard, served)
    }

    #[test]
    fn a_good_answer_counts_and_a_refusal_does_not() {
        let (guard, served) = serve(&[
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        ]);
        assert_eq!(ask(&guard, Duration::from_secs(60)).unwrap(), "HTTP/1.1 200 OK");
        assert_eq!(
            ask(&guard, Duration::from_secs(60)).unwrap_err(),
            "it answered HTTP/1.1 502 Bad Gateway"
        );
        assert_eq!(
            served.join().unwrap()[..1],
            ["GET /health HTTP/1.1\r\nHost: egress\r\nConnection: close\r\n\r\n"]
        );
    }

    #[test]
    fn a_guard_that_is_still_starting_is_asked_again() {
        let (guard, served) = serve(&[b"", b"HTTP/1.1 200 OK\r\n"]);
        assert_eq!(ask(&guard, Duration::from_secs(60)).unwrap(), "HTTP/1.1 200 OK");
        assert_eq!(served.join().unwrap().len(), 2);
    }

    #[test]
    fn a_guard_that_speaks_something_else_is_none() {
        let (guard, served) = serve(&[b"SSH-2.0-OpenSSH\r\n"]);
        let reason = once(&guard, Duration::from_secs(60)).unwrap_err();
        assert!(reason.to_string().contains("does not speak HTTP"), "{reason}");
        served.join().unwrap();
    }

    #[test]
    fn where_nobody_listens_the_reason_is_told() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let guard = GuardDoor {
            name: "egress".to_owned(),
            address,
            request_target: "/".to_owned(),
        };
        let reason = ask(&guard, Duration::from_millis(30)).unwrap_err();
        assert!(reason.contains("refused"), "{reason}");
    }

    #[test]
    fn the_host_agrees_with_an_absolute_target() {
        assert_eq!(authority("http://_egress.local/allowlist"), Some("_egress.local"));
        assert_eq!(authority("http://host:8080?x"), Some("host:8080"));
        assert_eq!(authority("/path"), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_a_panic(answer in prop::collection::vec(any::<u8>(), 0..64), prefix in "(HTTP/1\\.[01] )?") {
            let mut bytes = prefix.into_bytes();
            bytes.extend(answer);
            if let Some(Ok(line)) = status_line(&bytes) {
                prop_assert!(line.starts_with("HTTP/1.") && !line.chars().any(char::is_control));
            }
        }
    }
}
