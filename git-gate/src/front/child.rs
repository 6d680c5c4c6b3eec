//! git, run for one request: its output is the answer, and it does not outlive its client.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc::{self, Sender};

use super::answer::Answer;
use super::body;
use super::request::Service;
use crate::git::{Git, Group};
use crate::table::Remote;

/// Refs of one repository: 500,000 take about 40 MiB.
const MOST_REFS: u64 = 64 << 20;

/// How much of git's output is read at a time.
const PIECE: usize = 64 << 10;

/// How long one exchange may take altogether.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How long git may take to remove what it had not finished.
const PARTING: Duration = Duration::from_secs(5);

/// What git may say on its standard error and have it logged.
const SAID: u64 = 4 * 1024;

/// `git <service> --stateless-rpc`, in the repository.
pub(super) fn command(git: &Git, remote: &Arc<Remote>, service: Service, protocol: Option<&str>) -> Command {
    let mut command = git.command(remote.repository.directory());
    if service == Service::ReceivePack {
        let most = remote.settings.policy.caps.push_bytes;
        command.arg("-c").arg(format!("receive.maxInputSize={most}"));
    }
    command.arg(service.subcommand());
    if service == Service::UploadPack {
        command.args(["--strict", "--timeout=300"]);
    }
    command.arg("--stateless-rpc");
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    command
}

/// Runs git to its end and gives all that it says.
pub(super) async fn whole(mut command: Command) -> io::Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut out = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST_REFS).read_to_end(&mut out).await?;
    }
    let status = child.wait().await?;
    if status.success() {
        Ok(out)
    } else {
        Err(io::Error::other(format!("git ended with {status}")))
    }
}

/// Runs git on what the client sends; `held` is let go when git has ended.
pub(super) fn exchange(
    mut command: Command,
    body: Incoming,
    gzip: bool,
    limit: u64,
    held: impl Send + 'static,
) -> io::Result<Answer> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut group = Group::of(&child);
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("git has no input or output"));
    };
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::spawn(log_errors(stderr));
    tokio::spawn(async move {
        let exchanged = async {
            tokio::try_join!(
                async {
                    body::feed(body, stdin, gzip, limit)
                        .await
                        .map_err(|cut| cut.to_string())
                },
                async { pump(stdout, &sender).await.map_err(|error| error.to_string()) }
            )
        };
        let cut = tokio::select! {
            done = tokio::time::timeout(PATIENCE, exchanged) => match done {
                Ok(Ok(_)) => None,
                Ok(Err(cut)) => Some(cut),
                Err(_) => Some("it took longer than an hour".to_owned()),
            },
            () = sender.closed() => Some("nobody reads the answer any more".to_owned()),
        };
        if let Some(cut) = &cut {
            group.end();
            tracing::info!("an exchange was cut: {cut}");
        }
        finish(child, &group, cut.is_some()).await;
        group.over();
        // Whoever does not read the end of an answer takes nobody's place.
        drop(held);
        if let Some(cut) = cut {
            // The answer must not look complete.
            let _ = sender.send(Err(io::Error::other(cut))).await;
        }
    });
    let frames = stream::unfold(receiver, |mut receiver| async {
        let next = receiver.recv().await?;
        Some((next.map(Frame::data), receiver))
    });
    Ok(StreamBody::new(frames).boxed_unsync())
}

/// Waits for git; one that was asked to end has only a moment left.
async fn finish(mut child: Child, group: &Group, asked_to_end: bool) {
    let mut ended = None;
    if asked_to_end {
        ended = tokio::time::timeout(PARTING, child.wait()).await.ok();
        if ended.is_none() {
            group.kill();
        }
    }
    let ended = match ended {
        Some(ended) => ended,
        None => child.wait().await,
    };
    if asked_to_end {
        // What git started and did not wait for.
        group.kill();
    }
    if let Err(error) = ended {
        tracing::warn!("git's end is not known: {error}");
    }
}

async fn pump(mut stdout: ChildStdout, sender: &Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        if stdout.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        if sender.send(Ok(buffer.split().freeze())).await.is_err() {
            return Err(io::Error::other("the client went away"));
        }
    }
}

async fn log_errors(mut stderr: impl AsyncRead + Unpin) {
    let mut text = Vec::new();
    let _ = (&mut stderr).take(SAID).read_to_end(&mut text).await;
    if !text.is_empty() {
        tracing::debug!(
            "git: {}",
            contract::text::harmless(String::from_utf8_lossy(&text).trim())
        );
    }
    // git must never wait for a reader.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
}
