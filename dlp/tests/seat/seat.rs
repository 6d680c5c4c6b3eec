//! A running `dlp`, its config directory, and what it says.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use contract::{AccessEvent, Applied, HostName};
use pipelock_config::{
    CredentialKey, Engine, Exemption, InjectedCredential, Model, PrivateNetwork, ResponseScanning, place,
    render,
};

use crate::upstream::authority;

/// A value of the agent's environment.
pub(crate) const ENVIRONMENT_SECRET: &str = "correct-horse-battery-staple";
/// What a test waits for at most; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running seat.
pub(crate) struct Seat {
    child: Child,
    directory: tempfile::TempDir,
    /// Whom it signs as, PEM.
    pub(crate) authority: String,
    events: Receiver<String>,
}

/// A model that lets these hosts through, wherever on loopback they are.
pub(crate) fn model(hosts: &[String]) -> Model {
    let mut model = Model {
        generation: 1,
        hosts: hosts.iter().filter_map(|host| host.parse().ok()).collect(),
        passthrough: Vec::new(),
        private_networks: Vec::new(),
        refused_hosts: Vec::new(),
        refused_networks: Vec::new(),
        credential_key: CredentialKey::new([9; 32]),
        injected: Vec::new(),
        exemptions: Vec::new(),
        response_scanning: ResponseScanning::Off,
    };
    model.private_networks = model
        .hosts
        .iter()
        .map(|host| PrivateNetwork {
            host: host.clone(),
            network: "127.0.0.0/8".parse().unwrap(),
        })
        .collect();
    model
}

/// The credential that egress injects for a host.
pub(crate) fn injected(model: &Model, host: &str, header: &str, value: &str) -> InjectedCredential {
    InjectedCredential {
        host: host.parse().unwrap(),
        header: header.parse().unwrap(),
        digest: model.credential_key.digest(host, header, value.as_bytes()),
    }
}

pub(crate) fn exemption(rule: &str, host: &str) -> Exemption {
    Exemption {
        id: "g-0001".parse().unwrap(),
        rule: rule.to_owned(),
        host: host.parse::<HostName>().unwrap(),
        expires_at: None,
    }
}

/// Writes both files, the later one last, as a launcher does.
pub(crate) fn write(directory: &Path, model: &Model) -> contract::Sha256Hex {
    let rendered = render(model, Engine::Builtin);
    let dlp = rendered.dlp_yaml.unwrap();
    for (name, text) in [(place::DLP, &dlp), (place::PIPELOCK, &rendered.pipelock_yaml)] {
        let path = directory.join("config").join(name);
        fs_err::write(path.with_extension("new"), text).unwrap();
        fs_err::rename(path.with_extension("new"), path).unwrap();
    }
    pipelock_config::files_sha256(rendered.pipelock_yaml.as_bytes(), Some(dlp.as_bytes()))
}

/// A directory as a launcher lays it out; gives the authority's certificate.
pub(crate) fn lay_out(directory: &Path, model: &Model, upstream_authority: &str) -> String {
    let (certificate, key, _) = authority("seat of a test");
    for folder in ["config", "run"] {
        fs_err::create_dir(directory.join(folder)).unwrap();
    }
    let config = |name: &str, text: &str| fs_err::write(directory.join("config").join(name), text).unwrap();
    config("ca.pem", &certificate);
    config("ca-key.pem", &key);
    config("extra-ca.pem", upstream_authority);
    write(directory, model);
    certificate
}

pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dlp"));
    command.env_clear().current_dir(directory);
    command
}

impl Seat {
    /// Starts one and waits until its door is open.
    pub(crate) fn start(model: &Model, upstream_authority: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = lay_out(directory.path(), model, upstream_authority);
        let mut child = command(directory.path())
            .args([
                "run",
                "--config",
                "config",
                "--run",
                "run",
                "--listen",
                "unix:door.sock",
                "--supervise",
            ])
            .env("BOTTLE_LAUNCH_NONCE", "n-12345678")
            .env("BOTTLE_ENV_SECRET_0", ENVIRONMENT_SECRET)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let seat = Self {
            child,
            directory,
            authority,
            events,
        };
        seat.wait_until("its door is open", || seat.run().join("applied.json").exists());
        seat
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("door.sock")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// What it has acknowledged.
    pub(crate) fn applied(&self) -> Applied {
        serde_json::from_slice(&fs_err::read(self.run().join("applied.json")).unwrap()).unwrap()
    }

    /// Puts another model into force.
    pub(crate) fn apply(&self, model: &Model) {
        let sha256 = write(self.directory.path(), model);
        self.wait_until("the new files are acknowledged", || {
            self.applied().file_sha256 == sha256
        });
        assert_eq!(self.applied().error, None);
    }

    /// The next event.
    pub(crate) fn event(&self) -> AccessEvent {
        let line = self.events.recv_timeout(PATIENCE).expect("an access event");
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it gently and gives its exit status.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
