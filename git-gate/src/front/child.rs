//! git, run for one request: its output is the answer, and it does not outlive its client.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc::{self, Sender};

use super::answer::Answer;
use super::body::{self, Cut};
use super::request::Service;
use crate::git::Git;
use crate::table::Remote;

/// Refs of one repository: 500,000 take about 40 MiB.
const MOST_REFS: u64 = 64 << 20;

/// How much of git's output is read at a time.
const PIECE: usize = 64 << 10;

/// How long one exchange may take altogether.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

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
    let group = Group(child.id());
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("git has no input or output"));
    };
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::spawn(log_errors(stderr));
    tokio::spawn(async move {
        let exchanged = async {
            tokio::join!(
                async {
                    let fed = body::feed(body, stdin, gzip, limit).await;
                    if fed.is_err() {
                        group.kill();
                    }
                    fed
                },
                pump(stdout, &sender)
            )
        };
        let done = tokio::select! {
            done = tokio::time::timeout(PATIENCE, exchanged) => done.ok(),
            // Nobody reads the answer any more.
            () = sender.closed() => None,
        };
        finish(child, &group, done, &sender).await;
        drop(held);
    });
    let frames = stream::unfold(receiver, |mut receiver| async {
        let next = receiver.recv().await?;
        Some((next.map(Frame::data), receiver))
    });
    Ok(StreamBody::new(frames).boxed_unsync())
}

/// Waits for git, or ends it if the exchange did not come to its own end.
async fn finish(
    mut child: Child,
    group: &Group,
    done: Option<(Result<(), Cut>, io::Result<()>)>,
    sender: &Sender<io::Result<Bytes>>,
) {
    let cut = match done {
        Some((Ok(()), Ok(()))) => None,
        Some((Err(cut), _)) => Some(cut.to_string()),
        Some((_, Err(error))) => Some(error.to_string()),
        None => Some("it was given up".to_owned()),
    };
    if let Some(cut) = cut {
        group.kill();
        tracing::info!("an exchange was cut: {cut}");
        // The answer must not look complete.
        let _ = sender.send(Err(io::Error::other(cut))).await;
    }
    if let Err(error) = child.wait().await {
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

/// git and what it started.
struct Group(Option<u32>);

impl Group {
    fn kill(&self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // Gone already is as good.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}
