use crate::Bottle;

#[test]
fn the_first_manifests_are_without_mistakes() {
    let bottle = Bottle::new();
    insta::assert_snapshot!(bottle.run(&["init"]), @r"
    exit 0
    --- stdout
    HOME/agents/implementer.md
    HOME/bottles/dev.md
    --- stderr
    hint: read and change both, then run `bottle check`
    hint: start it with `bottle start implementer --cwd`, or look first with `--dry-run`
    ");
    insta::assert_snapshot!(bottle.run(&["check"]), @r"
    exit 0
    --- stdout
    --- stderr
    1 agent and 1 bottle: no mistakes
    ");
    assert_eq!(
        bottle.tree(),
        [
            "agents",
            "agents/implementer.md",
            "bottles",
            "bottles/dev.md",
            "skills"
        ]
    );
}

#[test]
fn the_first_bottle_starts_with_a_key_alone() {
    let bottle = Bottle::new().set("ANTHROPIC_API_KEY", "sk-ant-0123456789");
    bottle.run(&["init"]);
    insta::assert_snapshot!(bottle.run(&["start", "implementer", "--dry-run"]), @r"
    exit 0
    --- stdout
    agent     implementer
    bottle    dev
    egress    api.anthropic.com [auth:header:x-api-key]
              docs.rs
    --- stderr
    ");
}

#[test]
fn nothing_is_overwritten() {
    let bottle = Bottle::new().write("bottles/dev.md", "mine");
    insta::assert_snapshot!(bottle.run(&["init"]), @r"
    exit 1
    --- stdout
    --- stderr
    error: HOME/bottles/dev.md is there already; nothing was written
    hint: change what is there by hand, then run `bottle check`
    ");
    assert_eq!(bottle.tree(), ["bottles", "bottles/dev.md"]);
}

/// A file may grow no further than nothing: the nearest thing to a full disk that needs no rights.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let bottle = Bottle::new();
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; exec {} init",
        env!("CARGO_BIN_EXE_bottle")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("BOTTLE_HOME", bottle.home())
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(bottle.tree(), ["agents", "bottles", "skills"]);
}
