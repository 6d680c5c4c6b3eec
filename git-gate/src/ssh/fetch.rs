//! ssh as a child, while an upstream is asked for refs and objects: what it sends is counted, and must keep coming.
//!
//! git is given none of its own pipes: a connection that ssh keeps holds what it was given for as long as the upstream likes.
//! While this waits for the upstream, git holds the mirror's locks. Here alone is it seen whether the upstream says nothing or
//! git itself is busy.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use super::{Limits, Way, complain};

/// How much is read at a time, in bytes: what a pipe holds.
const PIECE: usize = 64 << 10;

/// Pieces that may wait for git.
const WAITING: usize = 4;

/// How long ssh may go on speaking once the upstream has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often it is seen whether ssh has ended.
const LOOK: Duration = Duration::from_millis(5);

/// How much of what ssh and the upstream say besides is passed on, in bytes.
const SAID: u64 = 64 << 10;

/// Why a fetch ends before the upstream has.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error(
        "the upstream has sent nothing for {0} s and is not waited for any longer (git.remotes[].policy.max_stall_seconds)"
    )]
    Stalled(u64),
    #[error(
        "the upstream sends more than its mirror may hold, {0} bytes altogether (git.remotes[].policy.max_mirror_bytes)"
    )]
    TooMuch(u64),
    #[error("ssh cannot be read: {0}")]
    Ssh(io::Error),
    #[error("git reads no longer: {0}")]
    Git(io::Error),
}

/// Runs ssh to its end; its exit code.
pub(super) fn run(arguments: &[OsString], way: &Way) -> ExitCode {
    let rest = arguments.get(1..).unwrap_or_default();
    let ssh = Command::new("ssh")
        .args(rest)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut ssh = match ssh {
        Ok(ssh) => ssh,
        Err(error) => {
            complain(&format!("ssh cannot be run: {error}"));
            return ExitCode::from(255);
        }
    };
    let said = ssh.stderr.take().map(say_as_well);
    match through(&mut ssh, way.limits).and_then(|()| end_of(&mut ssh, way.limits)) {
        Ok(status) => {
            if let Some(said) = said {
                // Nothing is ever sent: it ends.
                let _ = said.recv_timeout(LAST_WORDS);
            }
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            ExitCode::from(code.unwrap_or(255))
        }
        Err(cut) => {
            let _ = ssh.kill();
            let _ = ssh.wait();
            complain(&cut.to_string());
            ExitCode::from(255)
        }
    }
}

fn through(ssh: &mut Child, limits: Limits) -> Result<(), Cut> {
    let Some(from) = ssh.stdout.take() else {
        return Err(Cut::Ssh(io::ErrorKind::BrokenPipe.into()));
    };
    let pieces = pieces_of(from);
    relay(&pieces, io::stdout().lock(), limits)
}

/// Waits for ssh, which ends with what runs at the upstream: that may close its output and stay.
fn end_of(ssh: &mut Child, limits: Limits) -> Result<ExitStatus, Cut> {
    let until = Instant::now().checked_add(Duration::from_secs(limits.stall_seconds));
    loop {
        if let Some(status) = ssh.try_wait().map_err(Cut::Ssh)? {
            return Ok(status);
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return Err(Cut::Stalled(limits.stall_seconds));
        }
        std::thread::sleep(LOOK);
    }
}

/// Passes on what ssh says first, and reads the rest; who waits for the other end of this waits for its last word.
fn say_as_well(mut from: impl Read + Send + 'static) -> Receiver<()> {
    let (sender, ended) = sync_channel(0);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from.by_ref().take(SAID), &mut io::stderr());
        // ssh must never wait for a reader.
        let _ = io::copy(&mut from, &mut io::sink());
        drop(sender);
    });
    ended
}

/// What is read there, piece by piece: a thread of its own waits for it.
fn pieces_of(mut from: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, pieces) = sync_channel(WAITING);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let read = match from.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let ended = read.is_err();
            let sent = sender.send(read.map(|read| {
                piece.truncate(read);
                piece
            }));
            if ended || sent.is_err() {
                return;
            }
        }
    });
    pieces
}

fn relay(pieces: &Receiver<io::Result<Vec<u8>>>, mut to: impl Write, limits: Limits) -> Result<(), Cut> {
    let mut left = limits.left_bytes;
    loop {
        let piece = match pieces.recv_timeout(Duration::from_secs(limits.stall_seconds)) {
            Ok(piece) => piece.map_err(Cut::Ssh)?,
            Err(RecvTimeoutError::Timeout) => return Err(Cut::Stalled(limits.stall_seconds)),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let taken = u64::try_from(piece.len()).ok();
        left = taken
            .and_then(|taken| left.checked_sub(taken))
            .ok_or(Cut::TooMuch(limits.most_bytes))?;
        to.write_all(&piece).and_then(|()| to.flush()).map_err(Cut::Git)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(left_bytes: u64, stall_seconds: u64) -> Limits {
        Limits {
            most_bytes: 1000,
            left_bytes,
            stall_seconds,
        }
    }

    #[test]
    fn all_that_may_come_is_passed_on_and_not_a_piece_more() {
        let text = vec![7; 3 * PIECE + 1];
        let length = u64::try_from(text.len()).unwrap();
        let mut out = Vec::new();
        relay(
            &pieces_of(io::Cursor::new(text.clone())),
            &mut out,
            limits(length, 60),
        )
        .unwrap();
        assert_eq!(out, text);
        out.clear();
        let cut = relay(
            &pieces_of(io::Cursor::new(text)),
            &mut out,
            limits(length - 1, 60),
        )
        .unwrap_err();
        assert!(cut.to_string().contains("1000 bytes altogether"), "{cut}");
        assert_eq!(out.len(), 3 * PIECE);
    }

    #[test]
    fn who_says_nothing_is_not_waited_for() {
        let (_held, pieces) = sync_channel(1);
        assert!(matches!(
            relay(&pieces, io::sink(), limits(10, 0)),
            Err(Cut::Stalled(0))
        ));
    }
}
