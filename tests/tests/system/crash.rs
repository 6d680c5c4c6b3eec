//! Invariant 7, the launcher's part: killed at any moment, it leaves nothing that `bottle cleanup` does not remove.

use crate::{home, internet, starting};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};
use system_tests::docker::{docker, everything_named};
use system_tests::home::Home;

/// Starts a bottle, kills its launcher when `moment` says so, cleans up, and says what is left.
fn killed_when(moment: impl Fn(&Home) -> bool, signal: Signal) {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let mut child = starting(&home);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !moment(&home) {
        assert!(Instant::now() < deadline, "the moment did not come");
        assert!(
            child.try_wait().unwrap().is_none(),
            "the start ended before the moment came"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    child.wait().unwrap();
    let slugs = home.state();
    if signal == Signal::SIGKILL {
        // An operator sees it, and can clean it up.
        let listed = home.succeed(&["list"]).unwrap();
        for slug in &slugs {
            assert!(
                listed.contains(slug),
                "`bottle list` does not know {slug}:\n{listed}"
            );
        }
        home.succeed(&["cleanup"]).unwrap();
    }
    assert_eq!(home.state(), Vec::<String>::new());
    for slug in &slugs {
        assert_eq!(everything_named(slug).unwrap(), Vec::<String>::new());
    }
}

fn container_exists(home: &Home, prefix: &str) -> bool {
    home.state().iter().any(|slug| {
        let filter = format!("name=^{prefix}{slug}$");
        docker(["ps", "--all", "--quiet", "--filter", &filter]).is_ok_and(|found| !found.is_empty())
    })
}

fn acknowledged(home: &Home) -> bool {
    home.state().iter().any(|slug| {
        home.path()
            .join("state")
            .join(slug)
            .join("egress/run/applied.json")
            .exists()
    })
}

#[test]
fn killed_as_soon_as_there_is_a_state_directory() {
    killed_when(|home| !home.state().is_empty(), Signal::SIGKILL);
}

#[test]
fn killed_while_compose_brings_the_guards_up() {
    killed_when(
        |home| container_exists(home, "claude-bottle-egress-"),
        Signal::SIGKILL,
    );
}

#[test]
fn killed_between_the_ack_and_the_session() {
    killed_when(acknowledged, Signal::SIGKILL);
}

#[test]
fn interrupted_in_mid_start_it_takes_everything_down_itself() {
    killed_when(
        |home| container_exists(home, "claude-bottle-egress-"),
        Signal::SIGINT,
    );
}

#[test]
fn hung_up_during_the_session_it_takes_everything_down_itself() {
    killed_when(acknowledged, Signal::SIGHUP);
}
