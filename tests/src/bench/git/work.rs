//! Working copies, what is committed in them, and the repositories that are cloned and pushed whole.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rand::RngCore as _;

use crate::bench::bare;

/// Lines of one commit.
const LINES: usize = 200;

/// Bytes of a file in the repository that is cloned.
const FILE: usize = 32 * 1024;

/// Files in a folder of the repository that has many.
const FOLDER: usize = 250;

/// A working copy.
pub(super) struct Work {
    folder: tempfile::TempDir,
    ssh: Option<String>,
}

// === impl Work ===

impl Work {
    /// An empty one that pushes to `url`.
    pub(super) fn new(url: &str, ssh: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        git(folder.path(), &["init", "--quiet", "--initial-branch=main"])?;
        git(folder.path(), &["remote", "add", "origin", url])?;
        Ok(Self {
            folder,
            ssh: ssh.map(str::to_owned),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Commits a file of source text that was not there before.
    pub(super) fn commit(&self, number: usize) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in 0..LINES {
            let _ = writeln!(
                text,
                "    let value_{line} = compute_{number}(&input, {});",
                line * number
            );
        }
        fs_err::write(self.path().join(format!("source_{number}.rs")), text)?;
        git(self.path(), &["add", "--all"])?;
        git(self.path(), &["commit", "--quiet", "--message", "one more file"])?;
        Ok(())
    }

    /// How long a push of what is committed takes.
    pub(super) fn push(&self) -> anyhow::Result<Duration> {
        let mut command = command(self.path());
        command.args(["push", "--quiet", "origin", "main"]);
        if let Some(ssh) = &self.ssh {
            command.env("GIT_SSH_COMMAND", ssh);
        }
        let began = Instant::now();
        let output = command.output()?;
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "a push failed: {said}");
        Ok(took)
    }
}

/// git with nobody's configuration.
fn command(folder: &Path) -> Command {
    let mut command = bare(Path::new("git"));
    command
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null());
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "A");
        command.env(format!("GIT_{who}_EMAIL"), "a@example.com");
    }
    command.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"]);
    command
}

/// Runs git to its end; what it wrote, without the last newline.
pub(super) fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command(folder).args(arguments).output().context("running git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Fills a repository from a stream of `git fast-import`.
pub(super) fn import(repository: &Path, stream: &[u8]) -> anyhow::Result<()> {
    let mut command = command(repository);
    command.args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("git has no input")?;
    input.write_all(stream)?;
    drop(input);
    let status = child.wait()?;
    ensure!(status.success(), "git fast-import ended with {status}");
    Ok(())
}

/// One commit with so many bytes that no compression makes fewer.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut random = rand::rng();
    let mut content = vec![0; FILE];
    let mut stream = head();
    for number in 0..bytes / FILE {
        random.fill_bytes(&mut content);
        file(
            &mut stream,
            &format!("{}/{number}.bin", number / FOLDER),
            &content,
        );
    }
    stream
}

/// One commit with so many small files, each different, in folders.
pub(super) fn many(files: usize) -> Vec<u8> {
    let mut stream = head();
    for number in 0..files {
        let content = format!("pub const NUMBER_{number}: u64 = {number};\n");
        file(
            &mut stream,
            &format!("{}/{number}.rs", number / FOLDER),
            content.as_bytes(),
        );
    }
    stream
}

fn head() -> Vec<u8> {
    b"commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 4\nall\n\n".to_vec()
}

fn file(stream: &mut Vec<u8>, path: &str, content: &[u8]) {
    stream.extend_from_slice(format!("M 100644 inline {path}\ndata {}\n", content.len()).as_bytes());
    stream.extend_from_slice(content);
    stream.push(b'\n');
}
