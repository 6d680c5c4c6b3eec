//! The proxy benchmark: direct, a blind CONNECT tunnel, egress, and two peers, side by side in one run.
//!
//! Single figures are noisy on shared machines, so every figure is the median of interleaved rounds (all peers
//! in turn, then again), and what is compared is ratios.
//!
//! Client and proxies share one network namespace, the origin has another, joined by a veth pair: a guard
//! refuses to dial loopback and its own networks, so the origin must be elsewhere. Both are made and removed here.

pub mod asking;
pub mod bars;
pub mod client;
pub mod figure;
pub mod git;
pub mod measure;
pub mod namespaces;
pub mod origin;
pub mod peer;
pub mod report;
pub mod seat;
pub mod tunnel;

use crate::authority::Authority;
use crate::prefix::Prefix;
use anyhow::Context as _;
use namespaces::Namespaces;
use peer::Kind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How much is done.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Interleaved rounds; the median of them is reported.
    pub rounds: usize,
    /// Requests of one throughput measure of a fast peer.
    pub requests: usize,
    /// Names of the peers to measure; empty: all that are there.
    pub only: Vec<String>,
}

/// The domain under which every benchmark host lies.
pub const DOMAIN: &str = "bench.example";
/// The host that every warm measure uses: a bare route.
pub const WARM: &str = "warm.bench.example";
/// The same origin on a route with auth.
pub const WITH_AUTH: &str = "auth.bench.example";
/// Hosts for the new-host measure, each used once: this many a round.
pub const NEW_HOSTS: usize = 30;
/// The credential that ours injects on [`WITH_AUTH`].
pub const CREDENTIAL: &str = "benchmark-credential-0123456789";

/// Every host name, for certificates, `/etc/hosts` and routes.
pub fn hosts(rounds: usize) -> Vec<String> {
    let mut hosts = vec![WARM.to_owned(), WITH_AUTH.to_owned()];
    for round in 0..rounds {
        hosts.extend((0..NEW_HOSTS).map(|number| new_host(round, number)));
    }
    hosts
}

/// A host that no measure before has used.
pub fn new_host(round: usize, number: usize) -> String {
    format!("h{round}-{number}.{DOMAIN}")
}

/// Files that the origin, the peers and the client share.
#[derive(Debug, Clone)]
pub struct Files(PathBuf);

impl Files {
    /// A file by its name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder that an earlier [`run`] filled.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn write(folder: &Path) -> anyhow::Result<Self> {
        let (upstream, proxy) = (Authority::new()?, Authority::new()?);
        let signed = upstream.sign(&[DOMAIN, &format!("*.{DOMAIN}")])?;
        for (name, text) in [
            ("upstream-ca.pem", upstream.certificate()),
            ("origin.pem", signed.certificate),
            ("origin-key.pem", signed.key),
            ("ca.pem", proxy.certificate()),
            ("ca-key.pem", proxy.key()),
        ] {
            fs_err::write(folder.join(name), text)?;
        }
        Ok(Self(folder.to_owned()))
    }
}

/// Sets up, and runs the load inside the namespace; the load prints the table.
pub fn run(extent: &Extent, results: &Path) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        anyhow::bail!("the benchmark makes network namespaces, which needs root");
    }
    let prefix = Prefix::find()?;
    let folder = tempfile::tempdir()?;
    Files::write(folder.path())?;
    let namespaces = Namespaces::new(&hosts(extent.rounds))?;
    let own = std::env::current_exe()?;
    let mut origin = namespaces
        .far(&own)
        .args(["bench-origin", "--listen", &format!("{}:443", namespaces::ORIGIN)])
        .arg("--files")
        .arg(folder.path())
        .stdin(Stdio::null())
        .spawn()?;
    let mut load = namespaces.near(&own);
    load.arg("bench-load")
        .arg("--files")
        .arg(folder.path())
        .arg("--results")
        .arg(results);
    load.args([
        "--rounds",
        &extent.rounds.to_string(),
        "--requests",
        &extent.requests.to_string(),
    ]);
    load.args(extent.only.iter().map(|name| format!("--only={name}")));
    load.env("BOTTLE_TEST_PREFIX", prefix.path());
    let ended = load.status().context("running the load");
    let _ = origin.kill();
    let _ = origin.wait();
    let status = ended?;
    anyhow::ensure!(status.success(), "the load ended with {status}");
    Ok(())
}

/// The load itself, inside the namespace: every peer in turn, then again.
pub async fn load(
    files: &Files,
    extent: &Extent,
    results: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let mut kinds = vec![
        Kind::Direct,
        Kind::Tunnel,
        Kind::Egress,
        Kind::EgressBare,
        Kind::EgressShim,
    ];
    let prefix = Prefix::find()?;
    for (kind, program) in [
        (Kind::Hudsucker, "peer-hudsucker"),
        (Kind::Mitmproxy, "mitmproxy/bin/mitmdump"),
    ] {
        if prefix.fixture(program).exists() {
            kinds.push(kind);
        } else {
            say(&format!(
                "{} is not there and is left out; `make bench` installs it",
                kind.name()
            ));
        }
    }
    kinds.retain(|kind| extent.only.is_empty() || extent.only.iter().any(|name| name == kind.name()));
    let origin = (namespaces::ORIGIN, 443);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(error) = std::net::TcpStream::connect(origin) {
        anyhow::ensure!(
            std::time::Instant::now() < deadline,
            "the origin does not listen: {error}"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut report = report::Report::default();
    for round in 0..extent.rounds {
        for kind in &kinds {
            let figures = measure::round(*kind, files, extent, round);
            let figures = tokio::time::timeout(std::time::Duration::from_secs(120), figures).await;
            report.add(
                *kind,
                figures.with_context(|| format!("{} took too long", kind.name()))??,
            );
        }
        say(&format!("round {} of {} done", round + 1, extent.rounds));
    }
    fs_err::write(results, serde_json::to_vec_pretty(&report.json())?)?;
    say(&report.render());
    Ok(())
}

/// A command with no more of the environment than it needs.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}
