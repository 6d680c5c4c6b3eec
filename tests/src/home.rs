//! A bottle home of its own, and the installed `bottle` run in it as an operator would.

use crate::prefix::Prefix;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A temporary `BOTTLE_HOME` with manifests in it.
pub struct Home {
    folder: tempfile::TempDir,
    bottle: PathBuf,
    secrets: Vec<(String, String)>,
}

impl Home {
    /// An empty home.
    pub fn new(prefix: &Prefix) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bottle-home-").tempdir()?;
        for sub in ["agents", "bottles", "skills"] {
            fs_err::create_dir(folder.path().join(sub))?;
        }
        Ok(Self {
            folder,
            bottle: prefix.bottle(),
            secrets: Vec::new(),
        })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `agents/<name>.md`.
    pub fn agent(&self, name: &str, front_matter: &str) -> anyhow::Result<()> {
        self.manifest("agents", name, front_matter)
    }

    /// Writes `bottles/<name>.md`.
    pub fn bottle(&self, name: &str, front_matter: &str) -> anyhow::Result<()> {
        self.manifest("bottles", name, front_matter)
    }

    fn manifest(&self, folder: &str, name: &str, front_matter: &str) -> anyhow::Result<()> {
        let path = self.path().join(folder).join(format!("{name}.md"));
        fs_err::write(
            path,
            format!("---\n{}\n---\nWritten by a test.\n", front_matter.trim_end()),
        )?;
        Ok(())
    }

    /// Puts a secret into the operator's environment.
    pub fn secret(&mut self, name: &str, value: &str) {
        self.secrets.push((name.to_owned(), value.to_owned()));
    }

    /// `bottle <arguments>` with an environment that holds nothing but what it needs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.bottle);
        command
            .args(arguments)
            .env_clear()
            .env("BOTTLE_HOME", self.path())
            .current_dir(self.path());
        for name in ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.secrets.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end without a terminal.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("bottle {}", arguments.join(" ")))
    }

    /// Runs to the end and gives standard output; anything but exit code 0 is an error with what was said.
    pub fn succeed(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            anyhow::bail!(
                "bottle {} ended with {}:\n{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `bottle start AGENT --detach --yes`, giving the slug.
    pub fn start(&self, agent: &str) -> anyhow::Result<Bottle<'_>> {
        let said = self.succeed(&["start", agent, "--detach", "--yes"])?;
        Ok(Bottle {
            home: self,
            slug: said.trim().to_owned(),
        })
    }

    /// Names of the state directories.
    pub fn state(&self) -> Vec<String> {
        let Ok(entries) = fs_err::read_dir(self.path().join("state")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing behind either.
        let _ = self.run(&["stop", "--all"]);
        let _ = self.run(&["cleanup"]);
    }
}

/// A bottle that runs until it is dropped.
pub struct Bottle<'h> {
    home: &'h Home,
    slug: String,
}

impl Bottle<'_> {
    /// Its slug.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// The agent's container.
    pub fn agent(&self) -> String {
        format!("claude-bottle-{}", self.slug)
    }

    /// A guard's container.
    pub fn guard(&self, guard: &str) -> String {
        format!("claude-bottle-{guard}-{}", self.slug)
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state").join(&self.slug)
    }

    /// Runs a shell line in the agent's container; standard output and the exit code.
    pub fn sh(&self, line: &str) -> anyhow::Result<(String, i32)> {
        let output = crate::docker::output(&["exec", &self.agent(), "bash", "-c", line])?;
        Ok((
            String::from_utf8_lossy(&output.stdout).into_owned(),
            output.status.code().unwrap_or(-1),
        ))
    }
}

impl Drop for Bottle<'_> {
    fn drop(&mut self) {
        let _ = self.home.run(&["stop", &self.slug]);
    }
}
