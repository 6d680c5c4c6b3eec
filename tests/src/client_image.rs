//! The image with the clients that agents use, built once on a machine.
//!
//! bottle builds an image per bottle from the operator's Dockerfile and removes it with the bottle, layers included. So what is slow to
//! build has a name of its own here, and the manifest's Dockerfile is one line on top of it.

use crate::docker::{docker, output};
use anyhow::{Context as _, bail};
use sha2::Digest as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

const DOCKERFILE: &str = include_str!("../images/clients/Dockerfile");

/// `repository:tag` of the image, which is there afterwards; the tag is the hash of what it is built from.
pub fn build() -> anyhow::Result<String> {
    let hash = hex::encode(sha2::Sha256::digest(DOCKERFILE));
    let reference = format!("bottle-test-clients:{}", hash.get(..16).unwrap_or(&hash));
    if output(&["image", "inspect", &reference])?.status.success() {
        return Ok(reference);
    }
    let mut build = Command::new("docker")
        .args(["build", "--quiet", "--tag", &reference, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("running docker build")?;
    let mut stdin = build.stdin.take().context("docker build has no standard input")?;
    stdin.write_all(DOCKERFILE.as_bytes())?;
    drop(stdin);
    let built = build.wait_with_output()?;
    if !built.status.success() {
        let words = String::from_utf8_lossy(&built.stderr);
        bail!("the image of the clients was not built: {}", words.trim());
    }
    // A builder that keeps its result to itself would say so here, not in the middle of a test.
    docker(["image", "inspect", "--format", "{{.Id}}", &reference])?;
    Ok(reference)
}
