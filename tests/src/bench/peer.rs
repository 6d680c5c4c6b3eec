//! The proxies that are compared: each a process of its own, ended by the id it was started with.

use crate::bench::{CREDENTIAL, Files, WITH_AUTH, bare, hosts, namespaces};
use crate::prefix::Prefix;
use anyhow::{Context as _, ensure};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No proxy.
    Direct,
    /// A blind CONNECT tunnel.
    Tunnel,
    /// Egress as shipped: four credentials, events on.
    Egress,
    /// Egress without credentials and events.
    EgressBare,
    /// Egress as shipped, reached through the shim and its Unix socket, as an agent does.
    EgressShim,
    /// hudsucker (Rust).
    Hudsucker,
    /// mitmproxy (Python).
    Mitmproxy,
}

impl Kind {
    /// Its column in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tunnel => "tunnel",
            Self::Egress => "egress",
            Self::EgressBare => "egress-bare",
            Self::EgressShim => "egress+shim",
            Self::Hudsucker => "hudsucker",
            Self::Mitmproxy => "mitmproxy",
        }
    }

    /// By how much its request counts are divided, so that a slow peer does not fill the run.
    pub fn slowness(self) -> usize {
        if self == Self::Mitmproxy { 20 } else { 1 }
    }
}

/// A running peer.
pub struct Peer {
    /// Which.
    pub kind: Kind,
    /// Where it listens; none for direct.
    pub address: Option<SocketAddr>,
    /// From starting the process to the first accepted connection.
    pub start: Duration,
    processes: Vec<Child>,
    _files: Option<tempfile::TempDir>,
}

const LISTEN: &str = "127.0.0.1:18080";

impl Peer {
    /// Starts it and waits until it accepts.
    pub fn start(kind: Kind, files: &Files, rounds: usize) -> anyhow::Result<Self> {
        let mut commands = Vec::new();
        let mut folder = None;
        let mut door = None;
        match kind {
            Kind::Direct => {}
            Kind::Tunnel => {
                let mut command = bare(&std::env::current_exe()?);
                command.args(["bench-tunnel", "--listen", LISTEN]);
                commands.push(command);
            }
            Kind::Egress => commands.push(egress(&mut folder, files, rounds, 4, LISTEN)?),
            Kind::EgressBare => commands.push(egress(&mut folder, files, rounds, 0, LISTEN)?),
            Kind::EgressShim => {
                let socket = files.path("door.sock");
                commands.push(egress(
                    &mut folder,
                    files,
                    rounds,
                    4,
                    &format!("unix:{}", socket.display()),
                )?);
                let mut shim = bare(&Prefix::find()?.libexec("shim"));
                shim.arg("--forward")
                    .arg(format!("{LISTEN}=unix:{}", socket.display()));
                commands.push(shim);
                door = Some(socket);
            }
            Kind::Hudsucker => {
                let mut command = bare(&Prefix::find()?.fixture("peer-hudsucker"));
                command.arg(LISTEN);
                command.args(["ca.pem", "ca-key.pem", "upstream-ca.pem"].map(|name| files.path(name)));
                commands.push(command);
            }
            Kind::Mitmproxy => commands.push(mitmproxy(&mut folder, files)?),
        }
        let began = Instant::now();
        let mut processes = Vec::new();
        for mut command in commands {
            let name = format!("{command:?}");
            let spawned = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            processes.push(spawned.with_context(|| format!("starting {name}"))?);
        }
        let address = if processes.is_empty() {
            None
        } else {
            Some(LISTEN.parse()?)
        };
        let mut peer = Self {
            kind,
            address,
            start: Duration::ZERO,
            processes,
            _files: folder,
        };
        if let Some(address) = address {
            peer.wait_until_listening(address, door.as_deref(), began)?;
        }
        Ok(peer)
    }

    /// A shim listens before what is behind its `door` does.
    fn wait_until_listening(
        &mut self,
        address: SocketAddr,
        door: Option<&Path>,
        began: Instant,
    ) -> anyhow::Result<()> {
        let closed = |door: &Path| UnixStream::connect(door).is_err();
        while door.is_some_and(closed) || TcpStream::connect(address).is_err() {
            for process in &mut self.processes {
                if let Some(ended) = process.try_wait()? {
                    anyhow::bail!("{} ended at once: {ended}", self.kind.name());
                }
            }
            ensure!(
                began.elapsed() < Duration::from_secs(30),
                "{} does not listen",
                self.kind.name()
            );
            std::thread::sleep(Duration::from_micros(200));
        }
        self.start = began.elapsed();
        Ok(())
    }

    /// CPU time of each of its processes so far, from the kernel's nanosecond accounting of each thread.
    pub fn cpu(&self) -> Vec<Duration> {
        self.processes.iter().map(|process| cpu(process.id())).collect()
    }

    /// Resident memory in KiB: now (`VmRSS`), and its highest (`VmHWM`).
    pub fn memory(&self) -> (u64, u64) {
        let sum = |field: &str| {
            self.processes
                .iter()
                .map(|process| status(process.id(), field))
                .sum()
        };
        (sum("VmRSS:"), sum("VmHWM:"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub(super) fn cpu(process: u32) -> Duration {
    let Ok(threads) = fs_err::read_dir(format!("/proc/{process}/task")) else {
        return Duration::ZERO;
    };
    let of_thread = |path: &Path| {
        let text = fs_err::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|nanos| nanos.parse().ok())
            .map_or(Duration::ZERO, Duration::from_nanos)
    };
    threads.flatten().map(|thread| of_thread(&thread.path())).sum()
}

pub(super) fn status(process: u32, field: &str) -> u64 {
    let text = fs_err::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.trim().split(' ').next())
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// Egress with a route for every benchmark host; one of them with auth, and as many credentials as wanted.
fn egress(
    folder: &mut Option<tempfile::TempDir>,
    files: &Files,
    rounds: usize,
    credentials: usize,
    listen: &str,
) -> anyhow::Result<Command> {
    let place = tempfile::tempdir()?;
    let (config, run) = (place.path().join("config"), place.path().join("run"));
    fs_err::create_dir(&config)?;
    fs_err::create_dir(&run)?;
    let mut routes = String::from("schema_version: 1\ngeneration: 1\nroutes:\n");
    for host in hosts(rounds) {
        let _ = writeln!(
            routes,
            "- host: {host}\n  private_cidr: {}",
            namespaces::ORIGIN_NETWORK
        );
        if host == WITH_AUTH && credentials > 0 {
            routes.push_str("  auth: {scheme: Bearer, token_ref: TOKEN_0, token_env: EGRESS_TOKEN_0}\n");
        }
    }
    let mut command = bare(&Prefix::find()?.libexec("egress"));
    for number in 0..credentials {
        command.env(format!("EGRESS_TOKEN_{number}"), format!("{CREDENTIAL}-{number}"));
        if number > 0 {
            let _ = writeln!(routes, "- host: other-{number}.bench.example");
            let _ = writeln!(
                routes,
                "  auth: {{scheme: Bearer, token_ref: TOKEN_{number}, token_env: EGRESS_TOKEN_{number}}}"
            );
        }
    }
    fs_err::write(config.join("routes.yaml"), routes)?;
    for (from, to) in [
        ("ca.pem", "ca.pem"),
        ("ca-key.pem", "ca-key.pem"),
        ("upstream-ca.pem", "extra-ca.pem"),
    ] {
        fs_err::copy(files.path(from), config.join(to))?;
    }
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .arg("--run")
        .arg(run)
        .args(["--listen", listen]);
    command.args(["--launch-nonce", "n-benchmark"]);
    command.args(["--event-log", if credentials > 0 { "stdout" } else { "none" }]);
    *folder = Some(place);
    Ok(command)
}

fn mitmproxy(folder: &mut Option<tempfile::TempDir>, files: &Files) -> anyhow::Result<Command> {
    let place = tempfile::tempdir()?;
    let joined =
        fs_err::read_to_string(files.path("ca-key.pem"))? + &fs_err::read_to_string(files.path("ca.pem"))?;
    fs_err::write(place.path().join("mitmproxy-ca.pem"), joined)?;
    let program = Prefix::find()?.fixture("mitmproxy/bin/mitmdump");
    let mut command = bare(&program);
    command.args([
        "--quiet",
        "--set",
        "http2=false",
        "--set",
        "connection_strategy=lazy",
    ]);
    command
        .arg("--set")
        .arg(format!("confdir={}", place.path().display()));
    command.arg("--set").arg(format!(
        "ssl_verify_upstream_trusted_ca={}",
        files.path("upstream-ca.pem").display()
    ));
    command.args(["--listen-host", "127.0.0.1", "--listen-port", "18080"]);
    command
        .arg("--scripts")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/mitmproxy.py"));
    *folder = Some(place);
    Ok(command)
}
