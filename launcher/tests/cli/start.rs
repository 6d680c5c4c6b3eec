use crate::Bottle;

fn bottle() -> Bottle {
    Bottle::new()
        .write("agents/dev.md", "---\nbottle: box\nimage: small\n---\n")
        .write(
            "bottles/box.md",
            "---\nenv:\n  LOG_LEVEL: debug\n  DSN: ${DSN}\negress:\n  routes:\n    - host: api.test.example\n      auth: {scheme: Bearer, token_ref: TEST_TOKEN}\n    - host: docs.rs\n---\n",
        )
}

#[test]
fn a_dry_run_prints_the_preflight_and_leaves_nothing() {
    let bottle = bottle().set("DSN", "x").set("TEST_TOKEN", "short");
    let before = bottle.tree();
    insta::assert_snapshot!(bottle.run(&["start", "dev", "--dry-run"]), @r"
    exit 0
    --- stdout
    agent     dev
    env       LOG_LEVEL
              DSN
    bottle    box
    egress    api.test.example [auth:Bearer]
              docs.rs
    --- stderr
    warning: the credential TEST_TOKEN has only 5 bytes: egress watches for leaks of credentials of 12 bytes and more
    ");
    assert_eq!(bottle.tree(), before);
}

#[test]
fn missing_host_variables_are_told_with_the_lines_that_want_them() {
    let bottle = bottle();
    let before = bottle.tree();
    insta::assert_snapshot!(bottle.run(&["start", "dev", "--yes"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: bottles/box.md:8: egress.routes[0].auth.token_ref: the host variable TEST_TOKEN is not set
    error: bottles/box.md:4: env.DSN: the host variable DSN is not set
    hint: set it with `export NAME=…`, or in front of the command: `NAME=… bottle start …`
    ");
    assert_eq!(bottle.tree(), before);
}

#[test]
fn a_mistake_in_the_manifest_is_told_before_an_engine_is_looked_for() {
    let bottle = bottle().write(
        "bottles/box.md",
        "---\negress:\n  routes:\n    - hosst: a.example\n---\n",
    );
    insta::assert_snapshot!(bottle.run(&["start", "dev", "--yes"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: bottles/box.md:4: egress.routes[0].hosst: unknown key; did you mean `host`?
    ");
}

#[test]
fn a_credential_in_the_place_of_a_name_is_refused_and_not_shown() {
    let secret = ["ghp", "0123456789abcdefABCDEF0123456789abcd"].join("_");
    let dashed = ["sk-ant", "api03-0123456789abcdefABCDEF"].join("-");
    for value in [secret, dashed] {
        let bottle = bottle().write(
            "bottles/box.md",
            &format!(
                "---\negress:\n  routes:\n    - host: a.example\n      auth: {{ scheme: Bearer, token_ref: {value} }}\n---\n"
            ),
        );
        let said = bottle.run(&["start", "dev", "--dry-run"]);
        assert!(
            said.starts_with("exit 2\n")
                && said.contains("bottles/box.md:5: egress.routes[0].auth.token_ref: this looks like the credential itself; write the name of the host variable"),
            "{said}"
        );
        assert!(!said.contains(&value), "{said}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_told_in_plain_words() {
    let said = bottle().set("TEST_TOKEN", "t-0123456789").set("DSN", "x").run(&[
        "start",
        "dev",
        "--dry-run",
        "--cwd",
        "nowhere",
    ]);
    assert!(
        said.starts_with("exit 2\n") && said.contains("error: --cwd: there is no directory nowhere"),
        "{said}"
    );
}

#[test]
fn a_literal_that_reads_like_a_variable_is_pointed_out() {
    let said = bottle()
        .write("bottles/box.md", "---\nenv:\n  DSN: $DSN\n---\n")
        .run(&["start", "dev", "--dry-run"]);
    assert!(
        said.starts_with("exit 0\n")
            && said.contains("warning: bottles/box.md:3: env.DSN: the agent gets the text `$DSN` as it stands; for the host variable write `${DSN}`"),
        "{said}"
    );
}
