//! The program itself: its start, its other commands, its end.

use std::process::Output;

use crate::seat::{ENVIRONMENT_SECRET, Seat, command, lay_out, model};
use crate::upstream::authority;

fn run(directory: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(directory)
        .args(arguments)
        .env("BOTTLE_ENV_SECRET_0", ENVIRONMENT_SECRET)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn it_starts_answers_its_healthcheck_and_ends_when_told() {
    let (upstream, ..) = authority("nobody");
    let seat = Seat::start(&model(&["docs.rs".to_owned()]), &upstream);
    assert_eq!(seat.applied().launch_nonce.as_str(), "n-12345678");
    let (code, out, _) = run(seat.directory(), &["healthcheck", "--listen", "unix:door.sock"]);
    assert_eq!((code, out.as_str()), (Some(0), "generation 1 is in force\n"));
    // Not dumpable: the kernel gives its files in /proc to root.
    let status = fs_err::read_to_string(format!("/proc/{}/limits", seat.pid())).unwrap();
    let core = status
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(
        core.split_whitespace().filter(|word| *word == "0").count() == 2,
        "{core}"
    );
    assert!(seat.stop().success());
}

#[test]
fn check_says_what_would_be_in_force_and_explains_a_verdict_without_the_value() {
    let directory = tempfile::tempdir().unwrap();
    let (upstream, ..) = authority("nobody");
    lay_out(directory.path(), &model(&["docs.rs".to_owned()]), &upstream);
    let check = |more: &[&str]| {
        run(
            directory.path(),
            &[&["check", "--config", "config"], more].concat(),
        )
    };
    let (code, out, _) = check(&[]);
    assert_eq!(code, Some(0));
    assert!(
        out.starts_with("generation 1, ") && out.contains("allowed docs.rs\n"),
        "{out}"
    );

    let secret = format!("AKIA{}", "QYLPMN5HFIQR7XYA");
    let url = format!("https://docs.rs/x?y={secret}");
    let (code, _, said) = check(&["--url", &url]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("secret_found") && said.contains("the URL matches the rule aws-"),
        "{said}"
    );
    assert!(!said.contains(&secret));
    assert_eq!(check(&["--url", "https://docs.rs/regex/latest"]).0, Some(0));
    assert_eq!(check(&["--url", "https://evil.example/"]).0, Some(1));

    let body = directory.path().join("body");
    fs_err::write(&body, format!("{{\"v\":\"{ENVIRONMENT_SECRET}\"}}")).unwrap();
    let (code, _, said) = check(&[
        "--file",
        body.to_str().unwrap(),
        "--content-type",
        "application/json",
    ]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("environment-secret") && !said.contains(ENVIRONMENT_SECRET),
        "{said}"
    );
}

#[test]
fn a_directory_that_cannot_be_used_is_named_and_the_exit_code_is_2() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _, said) = run(directory.path(), &["check", "--config", "."]);
    assert_eq!(code, Some(2));
    assert!(said.contains("pipelock.yaml"), "{said}");
    let run_it = ["run", "--config", ".", "--run", ".", "--listen", "unix:door.sock"];
    assert_eq!(run(directory.path(), &run_it).0, Some(2));
    let (code, _, said) = run(directory.path(), &["healthcheck", "--listen", "unix:door.sock"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no seat answers"), "{said}");
}
