//! The `docker` command line, as an operator would use it.

use anyhow::{Context as _, bail};
use std::process::{Command, Output, Stdio};

/// Runs `docker` and gives its standard output; an error carries the engine's own words.
pub fn docker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
    let arguments: Vec<&str> = arguments.into_iter().collect();
    let output = output(&arguments)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("docker {} failed: {}", arguments.join(" "), words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs `docker` and gives whatever came of it.
pub fn output(arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("running docker")
}

/// Names of the containers, networks, volumes and images whose name holds this text, one line each: what a test
/// looks at to say that nothing is left.
pub fn everything_named(text: &str) -> anyhow::Result<Vec<String>> {
    let filter = format!("name={text}");
    let mut found = Vec::new();
    for (kind, listing) in [
        (
            "container",
            docker(["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"])?,
        ),
        (
            "network",
            docker(["network", "ls", "--filter", &filter, "--format", "{{.Name}}"])?,
        ),
        (
            "volume",
            docker(["volume", "ls", "--filter", &filter, "--format", "{{.Name}}"])?,
        ),
    ] {
        found.extend(listing.lines().map(|name| format!("{kind} {name}")));
    }
    for image in docker(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"])?.lines() {
        if image.contains(text) {
            found.push(format!("image {image}"));
        }
    }
    Ok(found)
}

/// Removes a container or network when it goes out of scope.
pub struct Removed {
    kind: &'static str,
    name: String,
}

impl Removed {
    /// A container, removed by force.
    pub fn container(name: &str) -> Self {
        Self {
            kind: "container",
            name: name.to_owned(),
        }
    }

    /// A network; its containers must be gone before it.
    pub fn network(name: &str) -> Self {
        Self {
            kind: "network",
            name: name.to_owned(),
        }
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let arguments: &[&str] = match self.kind {
            "container" => &["rm", "--force", "--volumes", &self.name],
            _ => &["network", "rm", &self.name],
        };
        // What a test has removed itself is gone already.
        let _ = output(arguments);
    }
}
