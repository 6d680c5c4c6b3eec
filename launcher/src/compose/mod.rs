//! Finding and running compose: the v2 plugin (`docker compose`) or v1 (`docker-compose`), whichever is there.
//!
//! Compose is run with a cleared environment plus `PATH`, `HOME`, the engine's endpoint and exactly the secrets of the
//! launch; with an explicit project, directory, file and an empty `--env-file`; and with a docker client folder of our own,
//! so that nothing of the operator's configuration (proxies with passwords in them, among other things) gets into a
//! container. What it says is kept in a log from which the secrets' values are taken out.

mod erase;
mod find;
mod redact;
mod run;

use crate::error::{Error, Kind, Result};
use crate::home::State;
use crate::plan::{SecretSource, Secrets};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use redact::Redactor;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long `up` may take: ten containers on a slow machine take half a minute.
const UP: Duration = Duration::from_secs(120);
/// How long `down` may take; it waits [`GRACE_SECONDS`] for containers that do not end by themselves.
const DOWN: Duration = Duration::from_secs(60);
/// How long `logs` may take: containers keep at most 100 MB each.
const LOGS: Duration = Duration::from_secs(60);
/// How long a container may take to end after SIGTERM, in seconds. Guards have nothing to save.
const GRACE_SECONDS: &str = "2";
/// How many lines of compose's output an error repeats.
const TOLD_LINES: usize = 12;

/// A compose that was found.
#[derive(Debug, Clone)]
pub struct Compose {
    program: PathBuf,
    flavour: Flavour,
    version: String,
    docker_host: String,
    path: OsString,
    home: Option<OsString>,
    /// Where the operator keeps plugins of the docker client, if anywhere.
    plugins: Option<PathBuf>,
}

/// How compose is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `docker compose`
    Plugin,
    /// `docker-compose`, v1 or v2
    Standalone,
}

/// One compose project: a bottle.
pub struct Project<'a> {
    /// `claude-bottle-<slug>`
    pub name: String,
    /// Where its files are.
    pub state: &'a State,
    /// The lock of its state directory. Compose holds it, too, so that it stays held when this program is killed while compose
    /// is still at work.
    pub lock: BorrowedFd<'a>,
}

impl Compose {
    /// `docker compose` or `docker-compose`.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its version, such as `2.26.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it keeps to `pull_policy: never`. v1 does not know it, and fetches whatever image is missing.
    pub fn keeps_to_pull_policy(&self) -> bool {
        !self.version.starts_with("1.")
    }

    /// As a person would call it.
    pub fn name(&self) -> &'static str {
        match self.flavour {
            Flavour::Plugin => "docker compose",
            Flavour::Standalone => "docker-compose",
        }
    }

    /// Creates and starts the project. Every wanted secret must have a value; compose itself would start without it.
    pub async fn up(&self, project: &Project<'_>, wanted: &[SecretSource], secrets: &Secrets) -> Result<()> {
        refuse_missing(wanted, secrets)?;
        let redactor = Redactor::of(secrets);
        let verb = ["up", "--detach", "--no-build", "--no-color"];
        let ended = self.run(project, &verb, Some(secrets), UP).await;
        self.judge(ended, "up", project, &project.state.bringup_log(), &redactor)
    }

    /// Makes one service anew, with these secrets and no other service touched.
    pub async fn recreate(
        &self,
        project: &Project<'_>,
        service: &str,
        wanted: &[SecretSource],
        secrets: &Secrets,
    ) -> Result<()> {
        refuse_missing(wanted, secrets)?;
        let redactor = Redactor::of(secrets);
        let verb = [
            "up",
            "--detach",
            "--no-build",
            "--no-color",
            "--no-deps",
            "--force-recreate",
            service,
        ];
        let ended = self.run(project, &verb, Some(secrets), UP).await;
        self.judge(ended, "up", project, &project.state.bringup_log(), &redactor)
    }

    /// Stops and removes the project's containers, networks and volumes.
    pub async fn down(&self, project: &Project<'_>) -> Result<()> {
        let verb = [
            "down",
            "--volumes",
            "--remove-orphans",
            "--timeout",
            GRACE_SECONDS,
        ];
        let ended = self.run(project, &verb, None, DOWN).await;
        self.judge(
            ended,
            "down",
            project,
            &project.state.teardown_log(),
            &Redactor::default(),
        )
    }

    /// Writes what the project's containers logged, with times, to `compose.log`.
    pub async fn logs(&self, project: &Project<'_>) -> Result<()> {
        let log = project.state.compose_log();
        let file = fs_err::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&log)?;
        let mut command = self.command(project, &["logs", "--no-color", "--timestamps"], None)?;
        let said = run::into_file(&mut command, project.lock, file.into_file(), LOGS).await?;
        if said.success {
            return Ok(());
        }
        Err(Error::failed(format!("{} could not give the logs", self.name()))
            .because(anyhow::anyhow!(last_lines(&said.output))))
    }

    async fn run(
        &self,
        project: &Project<'_>,
        verb: &[&str],
        secrets: Option<&Secrets>,
        deadline: Duration,
    ) -> Result<run::Said> {
        let mut command = self.command(project, verb, secrets)?;
        run::captured(&mut command, project.lock, deadline).await
    }

    /// Keeps what was said, and makes an error of a failure.
    fn judge(
        &self,
        said: Result<run::Said>,
        verb: &str,
        project: &Project<'_>,
        log: &Path,
        redactor: &Redactor,
    ) -> Result<()> {
        let said = said?;
        let output = redactor.redacted(&said.output);
        append(log, &output)?;
        if said.success {
            return Ok(());
        }
        let how = if said.timed_out {
            "did not end in time"
        } else {
            "failed"
        };
        let last = last_lines(output.as_bytes());
        let error = Error::new(
            Kind::Failed,
            format!("`{} {verb}` of {} {how}", self.name(), project.name),
        );
        // Nothing is pulled but the operator's own choice of a seat.
        let error = if last.contains("Pulling") || last.contains("pull access denied") {
            error.hinted("the image of `pipelock.image` cannot be pulled: try `docker pull` of it alone")
        } else {
            error.hinted("`bottle doctor` checks what this machine lacks")
        };
        Err(error.because(anyhow::anyhow!(last)))
    }

    fn command(
        &self,
        project: &Project<'_>,
        verb: &[&str],
        secrets: Option<&Secrets>,
    ) -> Result<tokio::process::Command> {
        let client = self.client_folder(project.state)?;
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(self.arguments(project, &client, verb))
            .env_clear()
            .env("PATH", &self.path)
            .env("DOCKER_HOST", &self.docker_host)
            .env("DOCKER_CONFIG", &client)
            // v1 is a Python program and fails at the first character outside of ASCII without it.
            .env("LC_ALL", "C.UTF-8")
            .current_dir(project.state.root());
        if self.flavour == Flavour::Standalone {
            // v1 would speak API 1.41, which engines from 29 on refuse; v2 agrees on one by itself.
            command.env("COMPOSE_API_VERSION", "auto");
        }
        if let Some(home) = &self.home {
            command.env("HOME", home);
        }
        for (name, value) in secrets.iter().flat_map(|secrets| secrets.iter()) {
            command.env(name, value);
        }
        Ok(command)
    }

    fn arguments(&self, project: &Project<'_>, client: &Path, verb: &[&str]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if self.flavour == Flavour::Plugin {
            arguments.push("compose".into());
        }
        arguments.extend(["--ansi".into(), "never".into()]);
        arguments.extend(["--env-file".into(), client.join(EMPTY).into()]);
        arguments.extend(["-p".into(), project.name.clone().into()]);
        arguments.extend(["--project-directory".into(), project.state.root().into()]);
        arguments.extend(["-f".into(), project.state.compose_file().into()]);
        arguments.extend(verb.iter().map(OsString::from));
        arguments
    }

    /// A docker client folder that holds nothing but the way to the operator's plugins, and an empty `--env-file` (v1 refuses
    /// `/dev/null`).
    fn client_folder(&self, state: &State) -> Result<PathBuf> {
        let folder = state.compose_client();
        if !folder.join(EMPTY).is_file() {
            fs_err::create_dir_all(&folder)?;
            let config = match &self.plugins {
                Some(plugins) => serde_json::json!({ "cliPluginsExtraDirs": [plugins] }),
                None => serde_json::json!({}),
            };
            fs_err::write(folder.join("config.json"), config.to_string())?;
            fs_err::write(folder.join(EMPTY), "")?;
        }
        Ok(folder)
    }
}

const EMPTY: &str = "empty.env";

fn refuse_missing(wanted: &[SecretSource], secrets: &Secrets) -> Result<()> {
    let missing: Vec<String> = wanted
        .iter()
        .filter(|source| !secrets.iter().any(|(name, _)| name == source.variable))
        .map(|source| format!("{}: its secret {} has no value", source.wanted, source.variable))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::several(Kind::Usage, missing))
    }
}

fn append(log: &Path, text: &str) -> Result<()> {
    let mut file = fs_err::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn last_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(TOLD_LINES);
    let told = lines.get(from..).unwrap_or_default().join("\n");
    if told.is_empty() {
        "it said nothing".to_owned()
    } else {
        told
    }
}

#[cfg(test)]
mod tests;
