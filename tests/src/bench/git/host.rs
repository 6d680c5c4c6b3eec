//! The upstream: sshd on a loopback port with bare repositories behind it, and `git daemon` on the same.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::gate::{GatePolicy, GateRemote, Identity};

use super::work;
use crate::bench::bare;

/// Longer than any program here takes to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// sshd, its keys, and repositories `git/<name>.git`.
pub(super) struct Host {
    root: tempfile::TempDir,
    port: u16,
    user: String,
    known_hosts: String,
    _server: Process,
}

/// `git daemon` on a host's repositories.
pub(super) struct Daemon {
    port: u16,
    _process: Process,
}

/// Ended by the id it was started with.
pub(super) struct Process(pub(super) Child);

// === impl Host ===

impl Host {
    pub(super) fn start() -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        let path = root.path();
        for name in ["host", "client"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(path.join(name))
                .status()
                .context("running ssh-keygen")?;
            ensure!(made.success(), "ssh-keygen made no key");
        }
        let port = free_port()?;
        // A git host has no login shell that reads what its user has configured: so this one finds nothing at home.
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nPidFile none\nAuthorizedKeysFile {0}/client.pub\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nAcceptEnv GIT_PROTOCOL\n\
             MaxStartups 100\nSetEnv GIT_CONFIG_GLOBAL=/dev/null HOME={0}\n",
            path.display()
        );
        fs_err::write(path.join("sshd_config"), config)?;
        // Privilege separation of a server that runs as root.
        let _ = fs_err::create_dir_all("/run/sshd");
        let mut server = bare(Path::new("/usr/sbin/sshd"));
        server.args(["-D", "-e", "-f"]).arg(path.join("sshd_config"));
        let server = Process::start(server).context("sshd is needed: `make sshd` installs it")?;
        wait_for(port)?;
        let key = fs_err::read_to_string(path.join("host.pub"))?;
        let known_hosts = format!("[localhost]:{port} {key}");
        fs_err::write(path.join("known_hosts"), &known_hosts)?;
        let id = Command::new("id").arg("-un").output()?;
        Ok(Self {
            user: String::from_utf8(id.stdout)?.trim().to_owned(),
            root,
            port,
            known_hosts,
            _server: server,
        })
    }

    /// Where the repositories lie.
    pub(super) fn root(&self) -> PathBuf {
        self.root.path().join("git")
    }

    /// Makes an empty repository that takes pushes from everywhere.
    pub(super) fn repository(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root().join(format!("{name}.git"));
        fs_err::create_dir_all(&path)?;
        work::git(&path, &["init", "--quiet", "--bare", "--initial-branch=main"])?;
        work::git(&path, &["config", "http.receivepack", "true"])?;
        Ok(path)
    }

    pub(super) fn url(&self, name: &str) -> String {
        let root = self.root();
        format!(
            "ssh://{}@localhost:{}{}/{name}.git",
            self.user,
            self.port,
            root.display()
        )
    }

    /// `GIT_SSH_COMMAND` of a client that holds the key: as strict as the gate is, and if wanted, with a connection that is kept
    /// for the next command, as the gate keeps it.
    pub(super) fn ssh(&self, kept: bool) -> String {
        let root = self.root.path().display();
        let keep = format!(" -o ControlMaster=auto -o ControlPersist=10 -o ControlPath={root}/kept");
        let keep = if kept { keep.as_str() } else { "" };
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityFile={root}/client -o StrictHostKeyChecking=yes \
             -o UserKnownHostsFile={root}/known_hosts -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR{keep}"
        )
    }

    pub(super) fn remote(&self, name: &str) -> anyhow::Result<GateRemote> {
        Ok(GateRemote {
            upstream: self.url(name).parse()?,
            identity: Identity::File(self.root.path().join("client")),
            known_hosts: self.known_hosts.clone(),
            policy: GatePolicy::default(),
        })
    }
}

// === impl Daemon ===

impl Daemon {
    pub(super) fn start(root: PathBuf) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut daemon = bare(Path::new("git"));
        daemon
            .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", root.display()))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        let process = Process::start(daemon)?;
        wait_for(port)?;
        Ok(Self {
            port,
            _process: process,
        })
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}.git", self.port)
    }
}

// === impl Process ===

impl Process {
    pub(super) fn start(mut command: Command) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        // With what it starts itself: a group of its own.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Self::spawn(&mut command)
    }

    pub(super) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let spawned = command.spawn();
        Ok(Self(spawned.with_context(|| format!("starting {command:?}"))?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.0.id()) {
            let _ = nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(group),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(super) fn wait_for(port: u16) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = std::net::TcpStream::connect(("127.0.0.1", port)) {
        ensure!(Instant::now() < deadline, "nothing listens on {port}: {error}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
