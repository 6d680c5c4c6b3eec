//! Two network namespaces of our own, joined by a veth pair, removed when dropped.

use anyhow::{Context as _, ensure};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The origin's address; nothing but a benchmark's own namespace ever has it.
pub const ORIGIN: &str = "10.202.0.1";
/// The origin's network, for `private_cidr`.
pub const ORIGIN_NETWORK: &str = "10.202.0.0/24";

/// `near` has the client and the proxies, `far` the origin.
pub struct Namespaces {
    near: String,
    far: String,
    files: PathBuf,
}

fn ip(arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .context("running ip (package iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

impl Namespaces {
    /// Makes both, with `/etc/hosts` of `near` naming the origin by these hosts.
    pub fn new(hosts: &[String]) -> anyhow::Result<Self> {
        let id = std::process::id();
        let (near, far) = (format!("bench-near-{id}"), format!("bench-far-{id}"));
        let made = Self {
            files: Path::new("/etc/netns").join(&near),
            near,
            far,
        };
        let (near, far) = (&made.near, &made.far);
        for line in [
            format!("netns add {near}"),
            format!("netns add {far}"),
            format!("-n {near} link add bench0 type veth peer name bench1 netns {far}"),
            format!("-n {near} addr add 10.201.0.1/30 dev bench0"),
            format!("-n {far} addr add 10.201.0.2/30 dev bench1"),
            format!("-n {far} addr add {ORIGIN}/24 dev lo"),
            format!("-n {near} link set lo up"),
            format!("-n {far} link set lo up"),
            format!("-n {near} link set bench0 up"),
            format!("-n {far} link set bench1 up"),
            format!("-n {near} route add {ORIGIN_NETWORK} via 10.201.0.2"),
        ] {
            ip(&line)?;
        }
        let mut names = String::from("127.0.0.1 localhost\n");
        for host in hosts {
            let _ = writeln!(names, "{ORIGIN} {host}");
        }
        fs_err::create_dir_all(&made.files)?;
        fs_err::write(made.files.join("hosts"), names)?;
        fs_err::write(made.files.join("resolv.conf"), "")?;
        Ok(made)
    }

    /// A command that will run beside the client.
    pub fn near(&self, program: &Path) -> Command {
        self.inside(&self.near, program)
    }

    /// A command that will run beside the origin.
    pub fn far(&self, program: &Path) -> Command {
        self.inside(&self.far, program)
    }

    fn inside(&self, name: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name]).arg(program);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let _ = ip(&format!("netns delete {}", self.near));
        let _ = ip(&format!("netns delete {}", self.far));
        let _ = fs_err::remove_dir_all(&self.files);
    }
}
