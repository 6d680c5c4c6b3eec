//! Bringing the mirror up to date with its upstream: one at a time, and nobody who waited for one starts another.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::gate::GateRemote;
use contract::text::is_deceptive;
use git2::Oid;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Repository;
use crate::git::{Git, Group};

/// How long one refresh may take: the first is a whole clone.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The upstream's HEAD seldom moves.
const HEAD_FRESH: Duration = Duration::from_secs(60);

/// How many bytes of what git said are kept.
const SAID: usize = 8 * 1024;

/// How many bytes of what git lists are kept: two lines are asked for.
const LISTED: usize = 64 * 1024;

/// The mirror could not be brought up to date: what git or ssh said.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NotMirrored(Arc<str>);

impl Repository {
    /// Sees to it that the mirror is at most `fresh` old.
    pub async fn refresh(&self, git: &Git, remote: &GateRemote, fresh: Duration) -> Result<(), NotMirrored> {
        let wanted_since = Instant::now();
        if self.is_fresh(fresh) {
            return Ok(());
        }
        let _mirroring = self.mirroring.lock().await;
        if self.is_fresh(fresh) {
            return Ok(());
        }
        // An attempt that ended while this one waited its turn would not go otherwise now.
        if let Some((ended, why)) = self.state.lock().failed.clone()
            && ended > wanted_since
        {
            return Err(why);
        }
        let began = Instant::now();
        let ask_for_head = self
            .state
            .lock()
            .asked_for_head
            .is_none_or(|asked| asked.elapsed() > HEAD_FRESH);
        let fetched = self.fetch(git, remote).await;
        let mut head = None;
        if fetched.is_ok() && ask_for_head {
            head = self.ask_for_head(git, remote).await;
        }
        if let Err(why) = fetched {
            {
                let mut state = self.state.lock();
                state.refreshed = None;
                state.failed = Some((Instant::now(), why.clone()));
            }
            self.give_up(git, remote).await;
            return Err(why);
        }
        let mut state = self.state.lock();
        state.refreshed = Some(began);
        state.failed = None;
        if ask_for_head {
            state.asked_for_head = Some(began);
        }
        drop(state);
        if let Some(head) = head {
            self.set_head(&head);
        }
        Ok(())
    }

    /// After a fetch that failed: nothing of it stays.
    async fn give_up(&self, git: &Git, remote: &GateRemote) {
        if let Err(error) = super::remove_half_packs(&self.directory) {
            tracing::warn!("what a failed fetch left stays until the next start: {error}");
        }
        // It may be the connection that hangs, or an upstream that goes on for ever with what nobody reads any more. Only a
        // push that is under way is worth more.
        if let Ok(_nobody_pushes) = self.pushing.try_lock() {
            git.hang_up(remote).await;
        }
    }

    /// The next reader asks the upstream anew.
    pub fn is_stale_now(&self) {
        self.state.lock().refreshed = None;
    }

    /// Moves refs to where the upstream has just put them; `None` removes one.
    pub async fn record(&self, moved: &[(String, Option<Oid>)]) -> Result<(), git2::Error> {
        let _mirroring = self.mirroring.lock().await;
        let repository = git2::Repository::open_bare(&self.directory)?;
        for (name, id) in moved {
            match id {
                Some(id) => drop(repository.reference(name, *id, true, "pushed")?),
                None => match repository.find_reference(name) {
                    Ok(mut reference) => reference.delete()?,
                    Err(error) if error.code() == git2::ErrorCode::NotFound => {}
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn is_fresh(&self, fresh: Duration) -> bool {
        self.state
            .lock()
            .refreshed
            .is_some_and(|refreshed| refreshed.elapsed() <= fresh)
    }

    async fn fetch(&self, git: &Git, remote: &GateRemote) -> Result<(), NotMirrored> {
        let arguments = [
            "fetch",
            "--quiet",
            "--prune",
            "--no-tags",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
            "--no-show-forced-updates",
            "--",
        ];
        let url = remote.upstream.url();
        let refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        self.run(
            git,
            remote,
            arguments.iter().copied().chain([url.as_str()]).chain(refs),
        )
        .await
        .map(drop)
    }

    async fn ask_for_head(&self, git: &Git, remote: &GateRemote) -> Option<String> {
        let url = remote.upstream.url();
        let said = self
            .run(git, remote, ["ls-remote", "--symref", "--", url.as_str(), "HEAD"])
            .await
            .ok()?;
        let said = String::from_utf8(said).ok()?;
        let target = said
            .lines()
            .find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"))?;
        target.starts_with("refs/heads/").then(|| target.to_owned())
    }

    fn set_head(&self, target: &str) {
        let set =
            git2::Repository::open_bare(&self.directory).and_then(|repository| repository.set_head(target));
        if let Err(error) = set {
            tracing::warn!("the upstream's HEAD cannot be mirrored: {error}");
        }
    }

    async fn run<'a>(
        &self,
        git: &Git,
        remote: &GateRemote,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<u8>, NotMirrored> {
        let failed = |why: &dyn std::fmt::Display| NotMirrored(format!("git: {why}").into());
        let mut command = git
            .with_upstream(&self.directory, remote)
            .map_err(|error| failed(&error))?;
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A reader who goes away may end this at any point. git killed leaves locks behind; asked to end it does not.
            .kill_on_drop(false);
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let mut group = Group::of(&child);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ending = async { tokio::join!(beginning(out, LISTED), beginning(err, SAID), child.wait()) };
        let (listed, said, status) = tokio::time::timeout(PATIENCE, ending)
            .await
            .map_err(|_| NotMirrored("it took longer than 30 minutes".into()))?;
        let status = status.map_err(|error| failed(&error))?;
        group.over();
        if status.success() {
            Ok(listed)
        } else {
            Err(NotMirrored(reason_in(&said).into()))
        }
    }
}

/// The first bytes of what is read there, to its end: how much there is, the upstream decides.
async fn beginning(from: Option<impl AsyncRead + Unpin>, most: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        // What cannot be read was not said.
        let _ = (&mut from).take(most).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    kept
}

/// The lines of what git and ssh said that a reader can use, on one line, harmless to a terminal.
pub fn reason_in(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said.get(..SAID).unwrap_or(said)).into_owned();
    let noise = [
        "fatal: Could not read from remote repository.",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
        "fatal: the remote end hung up unexpectedly",
        "fatal: early EOF",
        "fatal: fetch-pack: invalid index-pack output",
        "error: failed to push some refs",
        "@@@",
        "IT IS POSSIBLE THAT",
        "Someone could be eavesdropping",
        "It is also possible",
    ];
    let lines: Vec<String> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !noise.iter().any(|noise| line.starts_with(noise)))
        .take(6)
        .map(|line| line.trim_matches(['@', ' ']))
        .map(|line| line.chars().filter(|c| !is_deceptive(*c)).collect())
        .collect();
    if lines.is_empty() {
        "it did not say why".to_owned()
    } else {
        lines.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_what_an_upstream_says_a_little_is_kept_and_all_is_read() {
        let (mut from, mut to) = tokio::io::duplex(1000);
        let saying = tokio::spawn(async move {
            for _ in 0..100 {
                tokio::io::AsyncWriteExt::write_all(&mut to, &[b'x'; 1000])
                    .await
                    .unwrap();
            }
        });
        assert_eq!(beginning(Some(&mut from), 10).await, [b'x'; 10]);
        saying.await.unwrap();
        assert_eq!(beginning(None::<tokio::io::DuplexStream>, 10).await, b"");
    }

    #[test]
    fn what_ssh_said_is_told_without_git_s_advice() {
        let said = b"Host key verification failed.\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n";
        assert_eq!(reason_in(said), "Host key verification failed.");
        assert_eq!(reason_in(b"\n"), "it did not say why");
        assert_eq!(reason_in(b"a\x1b[2Jb"), "a[2Jb");
    }
}
