//! Bad input: one clear error, the right exit code, and nothing left behind.

use crate::{home, internet};
use system_tests::docker::{Removed, docker, everything_named};
use system_tests::home::Home;

fn refused(home: &Home, arguments: &[&str], code: i32, words: &[&str]) {
    let output = home.run(arguments).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say `{word}`: {said}");
    }
    assert_eq!(home.state(), Vec::<String>::new(), "a state directory is left");
}

#[test]
fn a_manifest_error_names_file_line_and_field() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    home.bottle("box", "egress:\n  routes:\n    - hosst: a.example\n")
        .unwrap();
    refused(
        &home,
        &["start", "tester", "--detach", "--yes"],
        2,
        &["bottles/box.md:4", "hosst", "host"],
    );
}

#[test]
fn a_missing_host_variable_is_named() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let route = "egress:\n  routes:\n    - host: a.example\n      auth: {scheme: Bearer, token_ref: NOT_SET_ANYWHERE}\n";
    home.bottle("box", route).unwrap();
    refused(
        &home,
        &["start", "tester", "--detach", "--yes"],
        2,
        &["NOT_SET_ANYWHERE"],
    );
}

#[test]
fn without_an_engine_it_says_so() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let mut command = home.command(&["start", "tester", "--detach", "--yes"]);
    let output = command
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert_eq!(home.state(), Vec::<String>::new());
}

#[test]
fn an_engine_elsewhere_is_refused() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let mut command = home.command(&["start", "tester", "--detach", "--yes"]);
    let output = command
        .env("DOCKER_HOST", "tcp://192.0.2.1:2375")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("192.0.2.1"), "{said}");
}

#[test]
fn a_dry_run_prints_the_preflight_and_leaves_nothing() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let said = home.succeed(&["start", "tester", "--dry-run"]).unwrap();
    assert!(
        said.contains("egress    api.test.example [auth:Bearer]"),
        "{said}"
    );
    assert_eq!(home.state(), Vec::<String>::new());
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    refused(&home, &["start", "tester", "--detach"], 2, &["--yes"]);
}

#[test]
fn a_guard_that_dies_at_start_fails_the_start_with_its_own_words() {
    let internet = internet().unwrap();
    let mut home = home(&internet).unwrap();
    // A credential that cannot be written into a header: only the guard looks at values.
    home.secret("TEST_TOKEN", "two\nlines");
    let output = home.run(&["start", "tester", "--detach", "--yes"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("TEST_TOKEN"), "{said}");
    assert!(
        !said.contains("two\nlines"),
        "the value is in the message: {said}"
    );
    assert_eq!(home.state(), Vec::<String>::new());
    assert_eq!(
        everything_named("claude-bottle-tester-")
            .unwrap()
            .iter()
            .filter(|name| name.contains("nobody"))
            .count(),
        0
    );
}

#[test]
fn a_label_that_an_image_sets_is_not_believed() {
    // A stranger's container that pretends to be ours by every label we use stays.
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let name = format!("pretender-{}", std::process::id());
    let _removed = Removed::container(&name);
    let labels = [
        "io.bottle.home=0123456789ab",
        "com.docker.compose.project=claude-bottle-x-00000",
    ];
    docker([
        "run",
        "--detach",
        "--name",
        &name,
        "--label",
        labels[0],
        "--label",
        labels[1],
        "debian:trixie-slim",
        "sleep",
        "300",
    ])
    .unwrap();
    home.succeed(&["cleanup"]).unwrap();
    assert_eq!(
        docker(["inspect", "--format", "{{.State.Running}}", &name]).unwrap(),
        "true"
    );
}
