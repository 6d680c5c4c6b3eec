//! A git host of the operator's: a container with sshd and git, keys of its own, and a network that only a gate is joined to.

use crate::docker::{Removed, docker, output};
use crate::home::{Bottle, Home};
use anyhow::{Context as _, bail};
use rand::Rng as _;
use std::process::Command;

/// Its name, where a gate finds it.
pub const HOST: &str = "git.demo.example";
/// The same machine under a name for which the manifest has another host key.
pub const WRONG_KEY_HOST: &str = "wrong-key.demo.example";

const IMAGE: &str = "bottle-test-git-upstream";
const DOCKERFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/images/git-upstream");

const SSHD: &str = "Port 22
HostKey /fixture/host
PidFile none
AuthorizedKeysFile /fixture/client.pub
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AcceptEnv GIT_PROTOCOL
AllowUsers git
";

/// See the module.
pub struct GitUpstream {
    name: String,
    known_hosts: String,
    // Dropped in this order.
    _container: Removed,
    _network: Removed,
    files: tempfile::TempDir,
}

impl GitUpstream {
    /// With one empty repository, `/acme/app.git`.
    pub fn start() -> anyhow::Result<Self> {
        docker(["build", "--quiet", "--tag", IMAGE, DOCKERFILE])?;
        let files = tempfile::tempdir()?;
        for key in ["host", "client"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(files.path().join(key))
                .status()
                .context("running ssh-keygen")?;
            anyhow::ensure!(made.success(), "ssh-keygen made no key");
        }
        fs_err::write(files.path().join("sshd_config"), SSHD)?;
        let public = fs_err::read_to_string(files.path().join("host.pub"))?;
        let key: Vec<&str> = public.split_ascii_whitespace().take(2).collect();
        let name = format!("fixture-git-{:08x}", rand::rng().random::<u32>());
        docker(["network", "create", &name])?;
        let network = Removed::network(&name);
        let mount = format!("{}:/fixture:ro", files.path().display());
        docker([
            "run",
            "--detach",
            "--name",
            &name,
            "--network",
            &name,
            "--network-alias",
            HOST,
            "--network-alias",
            WRONG_KEY_HOST,
            "--volume",
            &mount,
            IMAGE,
            "/usr/sbin/sshd",
            "-D",
            "-e",
            "-f",
            "/fixture/sshd_config",
        ])?;
        Ok(Self {
            _container: Removed::container(&name),
            _network: network,
            known_hosts: key.join(" "),
            name,
            files,
        })
    }

    /// `git.remotes` of a manifest, with the key file's path: the repository, and one whose host key is not the one that it shows.
    pub fn manifest(&self) -> String {
        let key = self.files.path().join("client").display().to_string();
        let wrong = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        format!(
            "git:
  remotes:
    - upstream: ssh://git@{HOST}/acme/app.git
      identity_file: {key}
      known_hosts: {HOST} {}
    - upstream: ssh://git@{WRONG_KEY_HOST}/acme/app.git
      identity_file: {key}
      known_hosts: {WRONG_KEY_HOST} {wrong}
",
            self.known_hosts
        )
    }

    /// The private key that only the gate may have.
    pub fn private_key(&self) -> anyhow::Result<String> {
        Ok(fs_err::read_to_string(self.files.path().join("client"))?)
    }

    /// Joins a bottle's gate to it.
    pub fn reach_from(&self, bottle: &Bottle<'_>) -> anyhow::Result<()> {
        docker(["network", "connect", &self.name, &bottle.guard("git-gate")]).map(|_| ())
    }

    /// Every object that it has, and every ref.
    pub fn content(&self) -> anyhow::Result<String> {
        let script = "cd /acme/app.git && git for-each-ref && git cat-file --batch-check --batch-all-objects";
        docker(["exec", "--user", "git", &self.name, "sh", "-c", script])
    }

    /// Ends it.
    pub fn stop(&self) -> anyhow::Result<()> {
        docker(["stop", "--time", "1", &self.name]).map(|_| ())
    }
}

/// A home with an agent in a bottle behind whose gate `upstream` is.
pub fn home(upstream: &GitUpstream, mut home: Home) -> anyhow::Result<Home> {
    home.secret("UNUSED", "unused");
    home.agent(
        "pusher",
        "bottle: pusher\nimage: small\ncommand: [bash, -c, 'read -r _ || true']\n",
    )?;
    home.bottle("pusher", &upstream.manifest())?;
    Ok(home)
}

/// Runs a line in the agent's container, as somebody who may commit; what it said, and whether it succeeded.
pub fn sh(bottle: &Bottle<'_>, line: &str) -> anyhow::Result<(bool, String)> {
    let line = format!(
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com\n{line}"
    );
    let output = output(&[
        "exec",
        &bottle.agent(),
        "bash",
        "-c",
        &format!("exec 2>&1; {line}"),
    ])?;
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    ))
}

/// A value that looks like a token of a public format, made now, with its checksum.
pub fn token() -> anyhow::Result<String> {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digit = |value: u32| DIGITS.get(usize::try_from(value % 62).unwrap_or(0)).copied();
    let mut random = rand::rng();
    let body: Option<Vec<u8>> = (0..30).map(|_| digit(random.random())).collect();
    let Some(body) = body else { bail!("no digits") };
    let mut sum = flate2::Crc::new();
    sum.update(&body);
    let mut rest = sum.sum();
    let mut tail = Vec::new();
    for _ in 0..6 {
        tail.extend(digit(rest));
        rest /= 62;
    }
    tail.reverse();
    Ok(format!(
        "ghp_{}{}",
        String::from_utf8(body)?,
        String::from_utf8(tail)?
    ))
}
