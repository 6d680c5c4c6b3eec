//! What `git receive-pack` runs: a question to the running gate, and its answer.
//!
//! Whatever goes wrong here (no gate, a broken answer, one that ends early) is a *no*: only the one word `accept`, and for a
//! forwarded push the result of every single ref, is anything else.

pub mod message;

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use crate::git::{SESSION_VARIABLE, SOCKET_VARIABLE};
use crate::pkt;
use message::{Answer, Kind, Question, RefResult, Update};

/// Runs before anything of a push is taken over from quarantine.
pub const PRE_RECEIVE: &str = "pre-receive";
/// Runs in place of git's own updating of refs.
pub const PROC_RECEIVE: &str = "proc-receive";

/// The longest list of updates that is read, in bytes: 50,000 refs take about 7 MiB.
const LONGEST: u64 = 32 << 20;

/// Why a hook says no by itself.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0} is not set: this hook is run by the gate alone")]
    Variable(&'static str),
    #[error("the gate does not answer ({0})")]
    Io(#[from] io::Error),
    #[error("the gate's answer is broken ({0})")]
    Json(#[from] serde_json::Error),
    #[error("the gate's answer ended early")]
    Ended,
    #[error("git sent what no hook is sent: {0}")]
    Git(&'static str),
}

/// The hook's whole life.
pub fn main(kind: Kind) -> ExitCode {
    let done = match kind {
        Kind::PreReceive => pre_receive(),
        Kind::ProcReceive => proc_receive(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("git-gate: the push is refused: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn pre_receive() -> Result<bool, NoAnswer> {
    let mut text = String::new();
    io::stdin().lock().take(LONGEST).read_to_string(&mut text)?;
    let updates = text
        .lines()
        .map(|line| Update::parse(line.as_bytes()))
        .collect::<Option<Vec<_>>>()
        .ok_or(NoAnswer::Git("an update that is not three words"))?;
    let question = Question {
        session: variable(SESSION_VARIABLE)?,
        kind: Kind::PreReceive,
        // There is none when refs are only deleted.
        quarantine: variable("GIT_QUARANTINE_PATH").ok(),
        atomic: false,
        updates,
    };
    match ask(&question)? {
        Answer::Verdict { accept } => Ok(accept),
        _ => Err(NoAnswer::Ended),
    }
}

fn proc_receive() -> Result<bool, NoAnswer> {
    let mut from = io::stdin().lock();
    let (mut atomic, mut version) = (false, false);
    while let Some(line) = pkt::read(&mut from)? {
        let (head, features) = split_nul(&line);
        version |= head == b"version=1";
        atomic |= features.split(|byte| *byte == b' ').any(|word| word == b"atomic");
    }
    if !version {
        return Err(NoAnswer::Git("another version of proc-receive"));
    }
    let mut out = Vec::new();
    pkt::append(
        &mut out,
        if atomic {
            b"version=1\0atomic"
        } else {
            b"version=1"
        },
    );
    out.extend_from_slice(pkt::FLUSH);
    write_out(&out)?;

    let (mut updates, mut read) = (Vec::new(), 0);
    while let Some(line) = pkt::read(&mut from)? {
        read += u64::try_from(line.len()).unwrap_or(LONGEST);
        if read > LONGEST {
            return Err(NoAnswer::Git("too many updates"));
        }
        updates.push(Update::parse(&line).ok_or(NoAnswer::Git("an update that is not three words"))?);
    }
    let question = Question {
        session: variable(SESSION_VARIABLE)?,
        kind: Kind::ProcReceive,
        quarantine: None,
        atomic,
        updates,
    };
    let results = match ask(&question)? {
        Answer::Results { results } => results,
        _ => return Err(NoAnswer::Ended),
    };
    let mut out = Vec::new();
    for update in &question.updates {
        pkt::append(&mut out, result_line(&update.reference, &results).as_bytes());
    }
    out.extend_from_slice(pkt::FLUSH);
    write_out(&out)?;
    Ok(true)
}

/// A ref that the answer does not name was not updated.
fn result_line(reference: &str, results: &[RefResult]) -> String {
    match results.iter().find(|result| result.reference == reference) {
        Some(RefResult { refused: None, .. }) => format!("ok {reference}"),
        Some(RefResult {
            refused: Some(why), ..
        }) => format!("ng {reference} {why}"),
        None => format!("ng {reference} the gate does not say what became of it"),
    }
}

fn ask(question: &Question) -> Result<Answer, NoAnswer> {
    let mut stream = UnixStream::connect(variable(SOCKET_VARIABLE)?)?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut lines = BufReader::new(stream.take(LONGEST));
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(NoAnswer::Ended);
        }
        match serde_json::from_str(&line)? {
            Answer::Say { text } => say(&text),
            last => return Ok(last),
        }
    }
}

fn variable(name: &'static str) -> Result<String, NoAnswer> {
    std::env::var(name).map_err(|_| NoAnswer::Variable(name))
}

fn split_nul(line: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = line.splitn(2, |byte| *byte == 0);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// git passes this on to the client, each line after `remote: `.
fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// The hook that a program name stands for.
pub fn by_name(program: &OsStr) -> Option<Kind> {
    match program.to_str() {
        Some(PRE_RECEIVE) => Some(Kind::PreReceive),
        Some(PROC_RECEIVE) => Some(Kind::ProcReceive),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_without_a_result_is_refused() {
        let results = [
            RefResult {
                reference: "refs/heads/a".to_owned(),
                refused: None,
            },
            RefResult {
                reference: "refs/heads/b".to_owned(),
                refused: Some("no".to_owned()),
            },
        ];
        assert_eq!(result_line("refs/heads/a", &results), "ok refs/heads/a");
        assert_eq!(result_line("refs/heads/b", &results), "ng refs/heads/b no");
        assert!(result_line("refs/heads/c", &results).starts_with("ng refs/heads/c "));
    }
}
