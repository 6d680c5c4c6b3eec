//! Tests that need names and ports of their own run in a network namespace: there every name is an address of loopback, and
//! ports 80 and 443 are free.
//!
//! A test that calls [`inside`] runs once more, as a child in such a namespace; what the child says is what the test says.

use std::fmt::Write as _;
use std::process::Command;

/// Set in the child.
const MARK: &str = "SEAT_TEST_NAMESPACE";

/// Runs `test` in a namespace in which these hosts are 127.0.0.1; `name` is the test's own path.
pub(crate) fn inside(name: &str, hosts: &[String], test: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let directory = tempfile::tempdir().unwrap();
    let mut names = String::from("127.0.0.1 localhost\n");
    for host in hosts {
        writeln!(names, "127.0.0.1 {host}").unwrap();
    }
    let hosts = directory.path().join("hosts");
    fs_err::write(&hosts, names).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount"]);
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let set_up = "ip link set lo up && mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let status = unshare
        .args(["--", "sh", "-c", set_up])
        .arg(&hosts)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("unshare (package util-linux) is needed");
    assert!(status.success(), "in its namespace the test failed: {status}");
}
