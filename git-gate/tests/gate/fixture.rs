//! An upstream (sshd on a loopback port, bare repositories), a gate in front of it, and working copies behind it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use contract::gate::{Allowance, FingerprintKey, GateConfig, GatePolicy, GateRemote, Identity};
use contract::{AccessEvent, Applied};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What every agent here has in its environment.
pub(crate) const AGENT_SECRET: &str = "purple monkey dishwasher";

/// And this, short enough for an object's id, and as a path.
pub(crate) const AGENT_KEY: &str = "otter/lamp/Kite7";

/// An ssh server that serves the repositories below a folder.
pub(crate) struct Upstream {
    pub(crate) root: tempfile::TempDir,
    pub(crate) port: u16,
    server: Option<Child>,
}

/// A running gate.
pub(crate) struct Gate {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) address: String,
    pub(crate) config: GateConfig,
    child: Child,
    events: Receiver<AccessEvent>,
}

/// A clone of the upstream, through the gate.
pub(crate) struct Work {
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// git with nobody's configuration.
pub(crate) fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env_remove("GIT_DIR")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "gc.auto=0",
            "-c",
            "protocol.file.allow=always",
        ]);
    command
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
pub(crate) fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

// === impl Upstream ===

impl Upstream {
    /// With one repository, `acme/app.git`, which has one commit on `main`.
    pub(crate) fn start() -> Self {
        let root = tempfile::Builder::new().prefix("up").tempdir().unwrap();
        let path = root.path();
        for name in ["host", "client"] {
            ok(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(path.join(name)));
        }
        fs_err::copy(path.join("client.pub"), path.join("authorized")).unwrap();
        let mut upstream = Self {
            port: free_port(),
            root,
            server: None,
        };
        let seed = tempfile::tempdir().unwrap();
        upstream.repository("acme/app.git");
        ok(git(seed.path()).args(["init", "-q"]));
        fs_err::write(seed.path().join("README"), "hello\n").unwrap();
        ok(git(seed.path()).args(["add", "-A"]));
        ok(git(seed.path()).args(["commit", "-qm", "first"]));
        ok(git(seed.path())
            .args(["push", "-q"])
            .arg(upstream.bare())
            .arg("HEAD:refs/heads/main"));
        upstream.up();
        upstream
    }

    /// Makes an empty repository.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        let path = self.root.path().join("git").join(name);
        fs_err::create_dir_all(&path).unwrap();
        ok(git(&path).args(["init", "-q", "--bare"]));
        path
    }

    /// The repository.
    pub(crate) fn bare(&self) -> PathBuf {
        self.root.path().join("git/acme/app.git")
    }

    /// Starts the server, or starts it again.
    pub(crate) fn up(&mut self) {
        let path = self.root.path();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nPidFile none\nAuthorizedKeysFile {0}/authorized\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nAcceptEnv GIT_PROTOCOL\n\
             MaxStartups 100\nSetEnv GIT_CONFIG_GLOBAL=/dev/null\n",
            path.display(),
            port = self.port
        );
        fs_err::write(path.join("sshd_config"), config).unwrap();
        // Privilege separation of a server that runs as root.
        let _ = fs_err::create_dir_all("/run/sshd");
        let log = std::fs::File::create(path.join("sshd.log")).unwrap();
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(path.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd is needed: apt-get install openssh-server");
        self.server = Some(server);
        wait_for("sshd", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Stops the server and what it is serving.
    pub(crate) fn down(&mut self) {
        if let Some(mut server) = self.server.take() {
            // A connection that is kept for the next command has a process of its own.
            let children = descendants(server.id());
            let _ = server.kill();
            let _ = server.wait();
            for child in children {
                let _ = Command::new("kill").args(["-9", &child.to_string()]).output();
            }
        }
    }

    pub(crate) fn known_hosts(&self) -> String {
        let key = fs_err::read_to_string(self.root.path().join("host.pub")).unwrap();
        format!("[localhost]:{} {key}", self.port)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!(
            "ssh://{}@localhost:{}{}/git/{name}",
            user(),
            self.port,
            self.root.path().display()
        )
    }

    pub(crate) fn remote(&self, policy: GatePolicy) -> GateRemote {
        GateRemote {
            upstream: self.url("acme/app.git").parse().unwrap(),
            identity: Identity::File(self.root.path().join("client")),
            known_hosts: self.known_hosts(),
            policy,
        }
    }

    /// Where a ref is; empty when it is not there.
    pub(crate) fn tip(&self, reference: &str) -> String {
        let output = git(&self.bare())
            .args(["rev-parse", "-q", "--verify", reference])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs a script in place of whatever is asked for over ssh, from the next connection on; what was asked for is in
    /// `SSH_ORIGINAL_COMMAND`.
    pub(crate) fn forced(&self, script: &str) {
        let path = self.root.path();
        fs_err::write(path.join("forced"), format!("{script}\n")).unwrap();
        let key = fs_err::read_to_string(path.join("client.pub")).unwrap();
        let line = format!("command=\"sh {}/forced\" {key}", path.display());
        fs_err::write(path.join("authorized"), line).unwrap();
    }

    /// Runs a script for each push that arrives.
    pub(crate) fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.bare().join("hooks").join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.down();
    }
}

// === impl Gate ===

impl Gate {
    pub(crate) fn start(upstream: &Upstream) -> Self {
        Self::with(upstream, GatePolicy::default())
    }

    pub(crate) fn with(upstream: &Upstream, policy: GatePolicy) -> Self {
        Self::of(vec![upstream.remote(policy)])
    }

    pub(crate) fn of(remotes: Vec<GateRemote>) -> Self {
        let directory = tempfile::Builder::new().prefix("gg").tempdir().unwrap();
        for name in ["config", "run", "repos", "tmp"] {
            fs_err::create_dir(directory.path().join(name)).unwrap();
        }
        let config = GateConfig {
            generation: 1,
            fingerprint_key: FingerprintKey::new([9; 32]),
            remotes,
            allow: Vec::new(),
        };
        fs_err::write(directory.path().join("config/gate.json"), config.to_json()).unwrap();
        let (child, events, address) = spawn(directory.path());
        Self {
            directory,
            address,
            config,
            child,
            events,
        }
    }

    /// Starts the next on the same directories.
    pub(crate) fn restart(&mut self) {
        (self.child, self.events, self.address) = spawn(self.directory.path());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The repository's URL at the gate.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.address, self.config.remotes[0].upstream.route())
    }

    /// The gate's own mirror.
    pub(crate) fn mirror(&self) -> PathBuf {
        fs_err::read_dir(self.directory.path().join("repos"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    }

    pub(crate) fn mirrored(&self, reference: &str) -> String {
        let output = git(&self.mirror())
            .args(["rev-parse", "-q", "--verify", reference])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Clones through the gate.
    pub(crate) fn clone_work(&self) -> Work {
        let directory = tempfile::tempdir().unwrap();
        ok(git(directory.path()).args(["clone", "-q", &self.url(), "."]));
        Work { directory }
    }

    /// Allows a value, as the launcher would, and waits until it is in force.
    pub(crate) fn allow(&mut self, fingerprint: &str, seconds: i64) {
        let now: contract::Timestamp = SystemTime::now().into();
        self.config.allow.push(Allowance {
            fingerprint: fingerprint.parse().unwrap(),
            reason: "a test vector".to_owned(),
            expires_at: contract::Timestamp::from_millis(now.as_millis() + seconds * 1000),
        });
        self.write_config();
    }

    pub(crate) fn write_config(&mut self) {
        self.config.generation += 1;
        let file = self.directory.path().join("config/gate.json");
        let json = self.config.to_json();
        fs_err::write(file.with_extension("new"), &json).unwrap();
        fs_err::rename(file.with_extension("new"), &file).unwrap();
        let wanted = contract::Sha256Hex::of(json.as_bytes());
        wait_for("the acknowledgement", || {
            let applied = fs_err::read(self.directory.path().join("run/applied.json")).unwrap_or_default();
            serde_json::from_slice::<Applied>(&applied)
                .is_ok_and(|applied| applied.file_sha256 == wanted && applied.error.is_none())
        });
    }

    /// The events until one that fits.
    #[track_caller]
    pub(crate) fn event(&self, fits: impl Fn(&AccessEvent) -> bool) -> AccessEvent {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).expect("an event that fits");
            if fits(&event) {
                return event;
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path) -> (Child, Receiver<AccessEvent>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_git-gate"))
        .args(["run", "--listen", "127.0.0.1:0", "--log-level", "debug"])
        .args(["--launch-nonce", "n-1a2b3c4d"])
        .arg("--config")
        .arg(directory.join("config"))
        .arg("--run")
        .arg(directory.join("run"))
        .arg("--repos")
        .arg(directory.join("repos"))
        .env("TMPDIR", directory.join("tmp"))
        .env("BOTTLE_ENV_SECRET_0", AGENT_SECRET)
        .env("BOTTLE_ENV_SECRET_1", format!("{AGENT_KEY}\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, events) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = sender.send(serde_json::from_str(&line).expect("an access event per line"));
        }
    });
    let (said, listening) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("gate.log"))
        .unwrap();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = writeln!(log, "{line}");
            if let Some((_, address)) = line.split_once("listening on ") {
                let _ = said.send(format!("http://{address}"));
            }
        }
    });
    let address = listening.recv_timeout(PATIENCE).expect("a gate that listens");
    (child, events, address)
}

// === impl Work ===

impl Work {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        ok(git(self.path()).args(arguments))
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    #[track_caller]
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Whether a push came through, and what was said.
    pub(crate) fn push(&self, arguments: &[&str]) -> (bool, String) {
        let output = git(self.path())
            .args(["push", "origin"])
            .args(arguments)
            .output()
            .unwrap();
        (output.status.success(), text(&output))
    }

    #[track_caller]
    pub(crate) fn push_ok(&self, arguments: &[&str]) -> String {
        let (done, said) = self.push(arguments);
        assert!(done, "{said}");
        said
    }

    #[track_caller]
    pub(crate) fn push_refused(&self, arguments: &[&str]) -> String {
        let (done, said) = self.push(arguments);
        assert!(!done, "the push came through: {said}");
        said
    }
}

/// A token of a public format, new each time, with its checksum: nothing in this file is a secret.
pub(crate) fn token() -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body: String = rand::random::<[u8; 30]>()
        .iter()
        .map(|byte| char::from(DIGITS[usize::from(*byte) % 62]))
        .collect();
    let mut sum = flate2::Crc::new();
    sum.update(body.as_bytes());
    let (mut rest, mut tail) = (sum.sum(), Vec::new());
    for _ in 0..6 {
        tail.insert(0, char::from(DIGITS[(rest % 62) as usize]));
        rest /= 62;
    }
    format!("ghp_{body}{}", tail.iter().collect::<String>())
}

fn descendants(of: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let all: Vec<(u32, u32)> = fs_err::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
