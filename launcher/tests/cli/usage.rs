use crate::Bottle;

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2() {
    let bottle = Bottle::new();
    for arguments in [
        &["strat"][..],
        &["start"],
        &["start", "../x"],
        &["start", "dev", "--mount"],
        &["attach", "no slug"],
    ] {
        let said = bottle.run(arguments);
        assert!(
            said.starts_with("exit 2\n--- stdout\n--- stderr\n"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn help_is_data() {
    let bottle = Bottle::new();
    let said = bottle.run(&["--help"]);
    assert!(
        said.starts_with("exit 0\n--- stdout\n") && said.ends_with("--- stderr\n"),
        "{said}"
    );
    for command in [
        "init",
        "check",
        "start",
        "list",
        "attach",
        "stop",
        "proposals",
        "approve",
        "reject",
        "revoke",
        "routes",
        "pipelock",
        "audit",
        "logs",
        "info",
        "doctor",
        "cleanup",
        "images",
        "completions",
    ] {
        assert!(said.contains(&format!("\n  {command} ")), "{command}: {said}");
    }
}

#[test]
fn without_a_home_it_says_what_to_set() {
    let bottle = Bottle::new();
    let output = bottle
        .command(&["check"])
        .env_remove("BOTTLE_HOME")
        .output()
        .unwrap();
    insta::assert_snapshot!(bottle.told(&output), @r"
    exit 6
    --- stdout
    --- stderr
    error: neither BOTTLE_HOME nor HOME is set, so there is no folder to work in
    hint: set BOTTLE_HOME to the folder with your agents and bottles
    ");
}

#[test]
fn a_plausible_slip_is_answered_with_what_to_write() {
    let bottle = Bottle::new();
    let fingerprint = "fp-80ff6f9a11d92ae063194ea0";
    for (arguments, says) in [
        (
            &["start", "--cwd", "implementer"][..],
            "write the agent first, as in `bottle start AGENT --cwd`",
        ),
        (
            &["start", "implementer", "--mount"],
            "Usage: bottle start [OPTIONS] <AGENT>",
        ),
        (
            &["attach", "dev", "bash", "-l"],
            "a command of your own stands behind `--`, as in `bottle attach SLUG -- bash`",
        ),
        (&["stop"], "bottle stop [OPTIONS] --all"),
        (&["revoke"], "Usage: bottle revoke [OPTIONS] [SLUG] <ID>"),
        (&["approve", "--for", "-1h"], "write a number and s, m, h or d"),
        (
            &["git", "allow", fingerprint, "--reason", "x", "--for", "-1h"],
            "write a number and s, m, h or d",
        ),
        (
            &["approve", "--for", "0s"],
            "write one between 1 second (1s) and 365 days (365d)",
        ),
        (
            &["reject", "--reason", " "],
            "--reason: write what the agent is told, in 1 to 8192 bytes",
        ),
        (
            &["audit", "--of", "p-4kq0z7tm"],
            "no audit log knows of p-4kq0z7tm",
        ),
    ] {
        let said = bottle.run(arguments);
        assert!(
            said.starts_with("exit 2\n--- stdout\n--- stderr\n") && said.contains(says),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(bottle.tree(), Vec::<String>::new());
}

#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let bottle = Bottle::new();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    for arguments in [&["start"][..], &["attach"], &["approve"], &["reject", "--reason"]] {
        let output = bottle.command(arguments).arg(odd).output().unwrap();
        let said = bottle.told(&output);
        assert!(
            said.starts_with("exit 2\n") && said.contains("invalid UTF-8"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_folder_whose_name_is_no_text_is_refused_before_anything_is_made() {
    use std::os::unix::ffi::OsStrExt as _;
    let bottle = Bottle::new()
        .write("agents/dev.md", "---\nbottle: box\nimage: small\n---\n")
        .write("bottles/box.md", "---\n---\n");
    let odd = bottle.home().join(std::ffi::OsStr::from_bytes(b"\xff"));
    let output = bottle
        .command(&["init"])
        .env("BOTTLE_HOME", &odd)
        .output()
        .unwrap();
    let said = bottle.told(&output);
    assert!(
        said.starts_with("exit 6\n") && said.contains("not UTF-8, which compose needs"),
        "{said}"
    );
    assert!(!odd.exists());
    fs_err::create_dir(&odd).unwrap();
    let output = bottle
        .command(&["start", "dev", "--dry-run", "--cwd"])
        .arg(&odd)
        .output()
        .unwrap();
    let said = bottle.told(&output);
    assert!(
        said.starts_with("exit 2\n") && said.contains("not UTF-8, which compose needs"),
        "{said}"
    );
}

#[test]
fn data_that_cannot_be_written_is_no_success() {
    let bottle = Bottle::new();
    for arguments in [&["audit", "--json"][..], &["completions", "bash"], &["--help"]] {
        let full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = bottle
            .command(arguments)
            .stdout(full.into_file())
            .output()
            .unwrap();
        let said = bottle.told(&output);
        assert!(
            said.starts_with("exit 6\n") && said.contains("standard output cannot be written"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let bottle = Bottle::new();
    for arguments in [&["audit", "--json"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = bottle.command(arguments).stdout(writer).output().unwrap();
        assert_eq!(
            bottle.told(&output),
            "exit 0\n--- stdout\n--- stderr\n",
            "{arguments:?}"
        );
    }
}
