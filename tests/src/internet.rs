//! The fixture "internet": a Docker network of its own with one upstream on it that answers for many names.
//!
//! The bottle's own network has no way to it. `reach_from` joins a guard's container to it, which is all that
//! "being connected to the internet" means here; the names resolve by the engine's own DNS there, and its
//! addresses are private ones, so that a route needs `private_cidr` to reach them.

use crate::authority::Authority;
use crate::docker::{Removed, docker};
use crate::prefix::Prefix;
use crate::upstream::Seen;
use anyhow::Context as _;
use rand::Rng as _;
use std::time::{Duration, Instant};

/// A network and an upstream on it.
pub struct Internet {
    name: String,
    cidr: String,
    address: String,
    authority: String,
    hosts: Vec<String>,
    // Dropped in this order: a network goes after what is on it.
    _container: Removed,
    _network: Removed,
    _files: tempfile::TempDir,
}

impl Internet {
    /// Brings up an upstream that answers for these host names.
    pub fn start(prefix: &Prefix, hosts: &[&str]) -> anyhow::Result<Self> {
        Self::start_from(prefix, "debian:trixie-slim", hosts)
    }

    /// Brings it up in a container of this image: where it has git, the upstream serves a repository.
    pub fn start_from(prefix: &Prefix, image: &str, hosts: &[&str]) -> anyhow::Result<Self> {
        let name = format!("fixture-internet-{:08x}", rand::rng().random::<u32>());
        let (cidr, network) = network(&name)?;
        let files = tempfile::tempdir()?;
        let authority = Authority::new()?;
        let signed = authority.sign(hosts)?;
        fs_err::write(files.path().join("certificate.pem"), signed.certificate)?;
        fs_err::write(files.path().join("key.pem"), signed.key)?;
        let program = prefix.fixture("fixtures");
        fs_err::copy(&program, files.path().join("fixtures"))
            .with_context(|| format!("{} is not there; `make test` builds it", program.display()))?;
        let mount = format!("{}:/fixture:ro", files.path().display());
        let mut arguments = vec![
            "run",
            "--detach",
            "--name",
            &name,
            "--network",
            &name,
            "--volume",
            &mount,
            "--cap-drop",
            "ALL",
        ];
        arguments.extend(["--sysctl", "net.ipv4.ip_unprivileged_port_start=0"]);
        for host in hosts {
            arguments.extend(["--network-alias", host]);
        }
        arguments.extend(["--entrypoint", "/fixture/fixtures", image, "upstream"]);
        arguments.extend([
            "--certificate",
            "/fixture/certificate.pem",
            "--key",
            "/fixture/key.pem",
        ]);
        let container = Removed::container(&name);
        docker(arguments)?;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(["inspect", "--format", format, &name])?;
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let authority = authority.certificate();
        let internet = Self {
            name,
            cidr,
            address,
            authority,
            hosts,
            _container: container,
            _network: network,
            _files: files,
        };
        internet.wait_until_listening()?;
        Ok(internet)
    }

    fn wait_until_listening(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match std::net::TcpStream::connect((self.address.as_str(), 443)) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    let log = docker(["logs", &self.name]).unwrap_or_default();
                    return Err(error)
                        .with_context(|| format!("the fixture upstream does not listen: {log}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The one certificate authority of this internet, PEM: for `pipelock.extra_ca`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Its network: for `private_cidr`.
    pub fn cidr(&self) -> &str {
        &self.cidr
    }

    /// The upstream's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The host names it answers for.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Joins a container to this network.
    pub fn reach_from(&self, container: &str) -> anyhow::Result<()> {
        docker(["network", "connect", &self.name, container]).map(|_| ())
    }

    /// Takes a container off it again: the internet is down for it.
    pub fn cut_off(&self, container: &str) -> anyhow::Result<()> {
        docker(["network", "disconnect", "--force", &self.name, container]).map(|_| ())
    }

    /// Every request that has arrived so far.
    pub fn seen(&self) -> anyhow::Result<Vec<Seen>> {
        let log = docker(["logs", &self.name])?;
        log.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("fixture log: {line}")))
            .collect()
    }

    /// Every request for this path that has arrived so far; the query does not count.
    pub fn seen_at(&self, path: &str) -> anyhow::Result<Vec<Seen>> {
        let mut seen = self.seen()?;
        seen.retain(|one| one.path() == path);
        Ok(seen)
    }
}

/// A bridge network with a subnet that no other network here has.
fn network(name: &str) -> anyhow::Result<(String, Removed)> {
    let mut last = None;
    for _ in 0..20 {
        let mut random = rand::rng();
        let cidr = format!(
            "10.{}.{}.0/24",
            random.random_range(64..192),
            random.random_range(0..=255)
        );
        match docker(["network", "create", "--subnet", &cidr, name]) {
            Ok(_) => return Ok((cidr, Removed::network(name))),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no subnet was tried")))
        .context("no free subnet for the fixture internet")
}
