use crate::Bottle;

#[test]
fn every_mistake_of_every_file_is_told() {
    let bottle = Bottle::new()
        .write(
            "agents/one.md",
            "---\nbottle: dev\nskills: [reviev]\nimage: ./Dockerfile\ncommand: [bash]\n---\n",
        )
        .write("agents/two.md", "---\nbottle: dve\n---\n")
        .write("agents/three.md", "---\nbottle: broken\n---\n")
        .write("agents/not a name.md", "---\nbottle: dev\n---\n")
        .write("bottles/dev.md", "---\nenv:\n  TOKEN: ${NOT_LOOKED_AT}\n---\n")
        .write("bottles/broken.md", "---\nenv: [\n---\n")
        .write("bottles/unused.md", "---\negres: {}\nsupervise: yes\n---\n")
        .write("skills/review/SKILL.md", "");
    insta::assert_snapshot!(bottle.run(&["check"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: agents/not a name.md: `not a name` is not a name; use 1 to 64 letters, digits, `-`, `_` or `.`, starting with a letter or digit
    error: bottles/broken.md:2: not YAML: while parsing a node, did not find expected node content
    error: bottles/unused.md:2: egres: unknown key; did you mean `egress`?
    error: bottles/unused.md:3: supervise: write true or false, without quotes
    error: agents/one.md:4: image: there is no file HOME/agents/./Dockerfile
    error: agents/one.md:3: skills[0]: there is no folder skills/reviev; did you mean `review`?
    error: agents/two.md:2: bottle: there is no bottles/dve.md; did you mean `dev`?
    ");
    insta::assert_snapshot!(bottle.run(&["check", "two"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: agents/two.md:2: bottle: there is no bottles/dve.md; did you mean `dev`?
    ");
    insta::assert_snapshot!(bottle.run(&["--json", "check", "two"]), @r#"
    exit 2
    --- stdout
    {
      "agents": 1,
      "bottles": 1,
      "errors": [
        "agents/two.md:2: bottle: there is no bottles/dve.md; did you mean `dev`?"
      ]
    }
    --- stderr
    error: agents/two.md:2: bottle: there is no bottles/dve.md; did you mean `dev`?
    "#);
}

#[test]
fn a_link_that_leads_nowhere_is_told_as_one() {
    let bottle = Bottle::new().write("bottles/dev.md", "---\n---\n");
    std::os::unix::fs::symlink("nowhere", bottle.home().join("bottles/away.md")).unwrap();
    let said = bottle.run(&["check"]);
    assert!(
        said.starts_with("exit 2\n")
            && said.contains("error: bottles/away.md: this link leads to no file; take it away"),
        "{said}"
    );
}

#[test]
fn the_operators_own_settings_are_checked_too() {
    let bottle = Bottle::new()
        .write("agents/one.md", "---\nbottle: dev\nimage: small\n---\n")
        .write("bottles/dev.md", "---\n---\n")
        .write("config.yaml", "notify: /bin/true\n");
    let said = bottle.run(&["check"]);
    assert!(
        said.starts_with("exit 2\n")
            && said.contains("HOME/config.yaml cannot be read; notify: invalid type")
            && said.contains("; it holds `notify: [program, argument, …]` or nothing"),
        "{said}"
    );
}

#[test]
fn an_agent_that_is_not_there_is_told_with_the_nearest() {
    let bottle = Bottle::new().write("agents/implementer.md", "---\nbottle: dev\n---\n");
    insta::assert_snapshot!(bottle.run(&["check", "implemter"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: no agent `implemter`: there is no agents/implemter.md in HOME; did you mean `implementer`?
    ");
}

#[test]
fn an_empty_home_leads_to_init() {
    insta::assert_snapshot!(Bottle::new().run(&["check"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: there are no manifests in HOME
    hint: run `bottle init` to write a first agent and bottle
    ");
}

#[test]
fn bytes_that_are_no_manifest_are_told_by_line() {
    let bottle = Bottle::new();
    fs_err::create_dir_all(bottle.home().join("bottles")).unwrap();
    fs_err::write(
        bottle.home().join("bottles/dev.md"),
        b"---\nenv:\n  A: \xff\xfe\x1b]0;x\x07\n---\n",
    )
    .unwrap();
    insta::assert_snapshot!(bottle.run(&["check"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: bottles/dev.md:3: not UTF-8 text; save the file as UTF-8
    ");
}
