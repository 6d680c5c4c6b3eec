//! git's smart HTTP, fetching only: one generated repository, served by `git upload-pack --stateless-rpc`.
//!
//! There is no receive-pack on purpose: a push that gets here gets an answer that git takes for none, and is seen in the log.

use super::Seen;
use super::answer::{Body, broken, whole};
use anyhow::{Context as _, bail};
use http::{HeaderValue, Response};
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// A request of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// `GET …/info/refs?service=git-upload-pack`
    Advertisement,
    /// `POST …/git-upload-pack`
    UploadPack,
}

/// Of the branch `later`, in bytes: more than one frame, one TLS record and one flow-control window hold.
const LARGE_FILE: usize = 300_000;

static REPOSITORY: OnceCell<tempfile::TempDir> = OnceCell::const_new();

/// Any path that ends in `.git` is the one repository.
pub(super) fn asked_for(seen: &Seen) -> Option<Service> {
    let (_, after) = seen.target.split_once(".git/")?;
    match (seen.method.as_str(), after) {
        ("GET", "info/refs?service=git-upload-pack") => Some(Service::Advertisement),
        ("POST", "git-upload-pack") => Some(Service::UploadPack),
        _ => None,
    }
}

pub(super) async fn answer(service: Service, seen: &Seen, body: &[u8]) -> Response<Body> {
    serve(service, seen, body)
        .await
        .unwrap_or_else(|why| broken(&why))
}

async fn serve(service: Service, seen: &Seen, body: &[u8]) -> anyhow::Result<Response<Body>> {
    let repository = REPOSITORY.get_or_try_init(create).await?.path();
    let protocol = seen.headers.get("git-protocol").map_or("", String::as_str);
    let mut command = git(repository);
    command
        .env("GIT_PROTOCOL", protocol)
        .args(["upload-pack", "--stateless-rpc"]);
    let mut response = match service {
        Service::Advertisement => {
            let refs = run(command.args(["--advertise-refs", "."]), &[]).await?;
            // Version 2 begins with its capabilities alone.
            let mut answer = match protocol {
                "version=2" => Vec::new(),
                _ => b"001e# service=git-upload-pack\n0000".to_vec(),
            };
            answer.extend(refs);
            whole("application/x-git-upload-pack-advertisement", answer)
        }
        Service::UploadPack => {
            let asked = match seen.headers.get("content-encoding").map(String::as_str) {
                Some("gzip") => gunzip(body)?,
                _ => body.to_vec(),
            };
            let pack = run(command.arg("."), &asked).await?;
            whole("application/x-git-upload-pack-result", pack)
        }
    };
    response
        .headers_mut()
        .insert("cache-control", HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    // Whatever the image or its user has configured is no part of the fixture.
    command
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .kill_on_drop(true);
    command
}

async fn create() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    run(
        git(path).args(["init", "--quiet", "--bare", "--initial-branch=main", "."]),
        &[],
    )
    .await?;
    run(git(path).args(["fast-import", "--quiet"]), &history()).await?;
    Ok(folder)
}

/// Two branches: `main` has a short file, `later` a commit after it with a large one that no compression makes small.
fn history() -> Vec<u8> {
    let mut stream = Vec::new();
    commit(&mut stream, "main", None, "README", b"A fixture repository.\n");
    commit(
        &mut stream,
        "later",
        Some("refs/heads/main"),
        "large.bin",
        &noise(LARGE_FILE),
    );
    stream
}

fn commit(stream: &mut Vec<u8>, branch: &str, after: Option<&str>, file: &str, content: &[u8]) {
    let mut line = |text: &str| stream.extend_from_slice(text.as_bytes());
    line(&format!("commit refs/heads/{branch}\n"));
    line("committer Fixture <fixture@example.com> 1700000000 +0000\ndata 8\nFixture\n\n");
    if let Some(parent) = after {
        line(&format!("from {parent}\n"));
    }
    line(&format!("M 100644 inline {file}\ndata {}\n", content.len()));
    stream.extend_from_slice(content);
    stream.push(b'\n');
}

/// The same bytes each time: a chain of hashes.
fn noise(length: usize) -> Vec<u8> {
    use sha2::Digest as _;
    let mut noise = Vec::with_capacity(length + 32);
    let mut block = sha2::Sha256::digest(b"fixture");
    while noise.len() < length {
        noise.extend_from_slice(&block);
        block = sha2::Sha256::digest(block);
    }
    noise.truncate(length);
    noise
}

fn gunzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut plain)
        .context("the body is not gzip")?;
    Ok(plain)
}

/// Runs to the end with this input; the output, or what it said was wrong.
async fn run(command: &mut Command, input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("git is not to be had: run this fixture from an image that has it")?;
    let mut stdin = child.stdin.take().context("git has no standard input")?;
    let feed = async {
        // A program that ends without reading it all says why itself.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if !output.status.success() {
        bail!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_generated_repository_is_whole() {
        let repository = create().await.unwrap();
        let mut command = git(repository.path());
        run(command.args(["fsck", "--strict", "--no-dangling"]), &[])
            .await
            .unwrap();
        let listed = run(
            git(repository.path()).args(["ls-tree", "--name-only", "later"]),
            &[],
        )
        .await
        .unwrap();
        assert_eq!(listed, b"README\nlarge.bin\n");
    }
}
