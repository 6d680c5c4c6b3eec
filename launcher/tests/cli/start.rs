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
