//! Sends a judged push on, and brings back the upstream's answer for each ref.
//!
//! Each ref goes with a lease on what the client believes is there: nothing is overwritten that the client has not seen.
//! Whether a branch is rewritten was decided before, since a lease alone would allow it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc::UnboundedSender;

use super::porcelain::{self, Outcome};
use crate::git::{Git, Group};
use crate::hook::message::{RefResult, Update};
use crate::repository::reason_in;
use crate::table::Remote;

/// How long an upstream may take: its own checks run meanwhile.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The most of a report that is read.
const LONGEST: u64 = 4 << 20;

/// The most of what the upstream says besides that is passed on, in bytes.
const SAID: usize = 64 << 10;

/// The most of one line of it, in characters.
const LONGEST_LINE: usize = 4096;

/// What ssh and the upstream answered.
#[derive(Debug)]
pub struct Forwarded {
    /// Of each ref that was asked for, in that order.
    pub results: Vec<RefResult>,
}

/// Pushes `updates`. Lines for the client go to `say` as they come.
pub async fn forward(
    git: &Git,
    remote: &Remote,
    updates: &[Update],
    atomic: bool,
    say: &UnboundedSender<String>,
) -> Forwarded {
    match push(git, remote, updates, atomic, say).await {
        Ok((outcomes, said)) => Forwarded {
            results: results(updates, &outcomes, &said),
        },
        Err(error) => Forwarded {
            results: results(updates, &[], error.to_string().as_bytes()),
        },
    }
}

async fn push(
    git: &Git,
    remote: &Remote,
    updates: &[Update],
    atomic: bool,
    say: &UnboundedSender<String>,
) -> std::io::Result<(Vec<Outcome>, Vec<u8>)> {
    let mut command = git.with_upstream(remote.repository.directory(), &remote.settings)?;
    command.args([
        "push",
        "--porcelain",
        "--no-verify",
        "--no-progress",
        "--no-signed",
    ]);
    if atomic {
        command.arg("--atomic");
    }
    for update in updates {
        let old = match update.ids() {
            Some((Some(old), _)) => old.to_string(),
            _ => String::new(),
        };
        command.arg(format!("--force-with-lease={}:{old}", update.reference));
    }
    command.arg("--").arg(remote.settings.upstream.url());
    for update in updates {
        let new = match update.ids() {
            Some((_, Some(new))) => new.to_string(),
            _ => String::new(),
        };
        command.arg(format!("{new}:{}", update.reference));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // An upstream that hangs takes ssh along, not git alone.
    let mut group = Group::of(&child);
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(std::io::Error::other("git has no output"));
    };
    let reading = async { tokio::join!(report(out), relay(err, say)) };
    let Ok((report, said)) = tokio::time::timeout(PATIENCE, reading).await else {
        return Err(std::io::Error::other("the upstream took longer than 15 minutes"));
    };
    child.wait().await?;
    group.over();
    Ok((porcelain::parse(&report), said))
}

async fn report(out: ChildStdout) -> String {
    let mut text = Vec::new();
    // What could not be read has no outcome, and is told as unknown.
    let _ = out.take(LONGEST).read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Passes on what the upstream said (git puts `remote: ` before it, and so will the client's git), and keeps the rest.
async fn relay(err: ChildStderr, say: &UnboundedSender<String>) -> Vec<u8> {
    let (mut rest, mut passed) = (Vec::new(), 0);
    let mut lines = BufReader::new(err.take(LONGEST));
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return rest,
            Ok(_) => {}
        }
        match line.strip_prefix(b"remote: ").or(line.strip_prefix(b"remote:")) {
            Some(said) if passed < SAID => {
                passed += said.len();
                let text: String = String::from_utf8_lossy(said)
                    .trim_end()
                    .chars()
                    .filter(|character| !contract::text::is_deceptive(*character))
                    .take(LONGEST_LINE)
                    .collect();
                // Nobody listens any more: the push itself goes on.
                let _ = say.send(format!("{text}\n"));
            }
            Some(_) => {}
            None => rest.extend_from_slice(&line),
        }
    }
}

fn results(updates: &[Update], outcomes: &[Outcome], said: &[u8]) -> Vec<RefResult> {
    updates
        .iter()
        .map(|update| {
            let outcome = outcomes
                .iter()
                .find(|outcome| outcome.reference == update.reference);
            let refused = match outcome {
                Some(outcome) => outcome.refused.clone(),
                None => Some(format!("the upstream gave no answer: {}", reason_in(said))),
            };
            RefResult {
                reference: update.reference.clone(),
                refused,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_that_the_upstream_did_not_answer_for_is_refused_with_what_ssh_said() {
        let update = Update {
            old: "0".repeat(40),
            new: "1".repeat(40),
            reference: "refs/heads/a".to_owned(),
        };
        let results = results(&[update], &[], b"Host key verification failed.\n");
        assert!(
            results[0]
                .refused
                .as_deref()
                .unwrap()
                .contains("Host key verification failed."),
            "{results:?}"
        );
    }
}
