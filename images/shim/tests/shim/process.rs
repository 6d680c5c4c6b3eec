//! A good process 1: it begins whole or not at all, reaps, and ends when told to.

use crate::{Door, Shim, until};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::process::Command;

#[test]
fn it_ends_with_zero_when_told_to() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let door = Door::new();
        let shim = Shim::to(&door.endpoint());
        let _client = shim.client();
        shim.signal(signal);
        let (status, _) = shim.end();
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

/// Whether any child of the process is left, a zombie or not.
fn has_children(pid: nix::unistd::Pid) -> bool {
    let children = fs_err::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    !children.trim().is_empty()
}

#[test]
fn it_reaps_its_own_children_and_orphans() {
    let door = Door::new();
    let arguments = ["--forward".to_owned(), format!("127.0.0.1:0={}", door.endpoint())];
    // One child that ends before the exec, one that ends after it, and a grandchild that loses its parent.
    let line =
        r#"true & read -t 60 line < <(sleep 0.2) ; (sleep 0.3 & sleep 0.4 & exec sleep 0.1) & exec "$@""#;
    let shim = Shim::start_by(line, &arguments);
    until("no child is left", || !has_children(shim.pid()));
    shim.signal(Signal::SIGTERM);
    assert_eq!(shim.end().0.code(), Some(0));
}

#[test]
fn as_process_1_it_reaps_and_ends_too() {
    let door = Door::new();
    let mut namespace = vec!["--pid", "--fork", "--mount-proc", "--kill-child"];
    if !nix::unistd::geteuid().is_root() {
        namespace.push("--map-root-user");
    }
    let unshare = |line: &str| {
        let mut command = Command::new("unshare");
        command.args(&namespace).args(["sh", "-c", line]);
        command
    };
    if !unshare("true").status().unwrap().success() {
        eprintln!("this user may make no PID namespace; the whole-system tests see the shim as process 1");
        return;
    }
    // An orphan that ends only after the exec.
    let line = format!(
        "(sleep 0.2 & true) & exec {} --forward 127.0.0.1:0={}",
        env!("CARGO_BIN_EXE_shim"),
        door.endpoint()
    );
    let shim = Shim::spawn(unshare(&line), &["--forward".to_owned()]);
    // unshare's only child is the shim, which is process 1 of its namespace.
    let children = fs_err::read_to_string(format!("/proc/{0}/task/{0}/children", shim.pid())).unwrap();
    let first = nix::unistd::Pid::from_raw(children.trim().parse().unwrap());
    let status = fs_err::read_to_string(format!("/proc/{first}/status")).unwrap();
    let numbers = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    assert_eq!(numbers.split_whitespace().last(), Some("1"));
    until("no child is left", || !has_children(first));
    nix::sys::signal::kill(first, Signal::SIGTERM).unwrap();
    assert_eq!(shim.end().0.code(), Some(0));
}

#[test]
fn it_does_not_begin_when_one_side_cannot_be_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let door = Door::new();
    let output = Command::new(env!("CARGO_BIN_EXE_shim"))
        .args(["--forward", &format!("{address}={}", door.endpoint())])
        .args(["--forward", &format!("127.0.0.1:0={}", door.endpoint())])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(!said.contains(" -> "), "it claims to listen: {said}");
}

#[test]
fn a_mistake_in_the_command_line_is_told_from_a_failure() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_shim"))
            .args(arguments)
            .output()
            .unwrap()
    };
    assert_eq!(run(&["--forward", "0.0.0.0:1=unix:/x"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("shim {}\n", env!("CARGO_PKG_VERSION"))
    );
}
