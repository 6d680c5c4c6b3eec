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
