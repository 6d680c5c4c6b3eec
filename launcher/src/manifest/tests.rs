use super::*;
use proptest::prelude::*;

fn bottle_of(front: &str) -> std::result::Result<BottleManifest, String> {
    parse(format!("---\n{front}\n---\nnotes\n").as_bytes()).map_err(|found| said("bottles/dev.md", &found))
}

fn agent_of(front: &str) -> std::result::Result<AgentManifest, String> {
    parse(format!("---\n{front}\n---\nDo it.\n").as_bytes()).map_err(|found| said("agents/a.md", &found))
}

fn said(file: &str, found: &[Finding]) -> String {
    told(Path::new(file), found).messages().join("\n")
}

fn bottle_errors(front: &str) -> String {
    bottle_of(front).expect_err("a mistake")
}

#[test]
fn the_whole_form_is_read() {
    let bottle = bottle_of(
        r#"supervise: false
env:
  LOG_LEVEL: debug
  EMPTY: ""
  NUMBER: 7
  SENTRY_DSN: ${SENTRY_DSN}
  DB_PASSWORD: "?Database password"
  PRICE: 5$
egress:
  routes:
    - host: API.github.com
      path_allowlist: [/repos/acme/]
      methods: [get, HEAD, POST]
      auth: { scheme: Bearer, token_ref: GITHUB_TOKEN }
    - host: docs.rs
    - host: git.corp.example
      private_cidr: 10.1.2.0/24
    - host: login.example.com
      agent_credentials: allow
pipelock:
  engine: builtin
  extra_ca: ~/corp-ca.pem"#,
    )
    .unwrap();
    insta::assert_debug_snapshot!(bottle.env.iter().map(|entry| (&entry.name, &entry.value.value)).collect::<Vec<_>>(), @r#"
    [
        (
            "LOG_LEVEL",
            Literal(
                "debug",
            ),
        ),
        (
            "EMPTY",
            Literal(
                "",
            ),
        ),
        (
            "NUMBER",
            Literal(
                "7",
            ),
        ),
        (
            "SENTRY_DSN",
            Host(
                "SENTRY_DSN",
            ),
        ),
        (
            "DB_PASSWORD",
            Asked(
                "Database password",
            ),
        ),
        (
            "PRICE",
            Literal(
                "5$",
            ),
        ),
    ]
    "#);
    let hosts: Vec<&str> = bottle
        .routes
        .iter()
        .map(|route| route.host.value.as_str())
        .collect();
    assert_eq!(
        hosts,
        [
            "api.github.com",
            "docs.rs",
            "git.corp.example",
            "login.example.com"
        ]
    );
    assert_eq!(bottle.pipelock.extra_ca.unwrap().value, "~/corp-ca.pem");
}

#[test]
fn an_empty_bottle_is_a_bottle() {
    assert_eq!(bottle_of("# nothing").unwrap(), BottleManifest::default());
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_line_and_field() {
    insta::assert_snapshot!(bottle_errors(
        "egress:
  routes:
    - host: api.github.com
      pathallowlist: [/a]
    - hosst: docs.rs
    - host: '*.example.com'
    - host: 10.0.0.1
    - host: a.example
      methods: [GET, CONNECT]
      path_allowlist: [repos, /a/../b]
      private_cidr: 8.8.8.0/24
    - host: b.example
      private_cidr: 10.1.2.3/24
    - host: c.example
      auth: {scheme: bearer, token_ref: 1X}
    - host: C.example
      auth: {scheme: Bearer}
    - host: d.example
      methods: []
    - host: e.example
      agent_credentials: allow
      auth: {scheme: Bearer, token_ref: X}
    - d.example
env:
  https_proxy: x
  LD_PRELOAD: x
  A-B: x
  MIXED: a${B}
  NOTHING:
  LIST: [a]
supervize: true"
    ), @r#"
    bottles/dev.md:5: egress.routes[0].pathallowlist: unknown key; did you mean `path_allowlist`?
    bottles/dev.md:6: egress.routes[1].hosst: unknown key; did you mean `host`?
    bottles/dev.md:7: egress.routes[2].host: `*.example.com` is a wildcard; list each host by its own name
    bottles/dev.md:8: egress.routes[3].host: `10.0.0.1` is an IP address; a route names a host
    bottles/dev.md:10: egress.routes[4].methods[1]: `CONNECT` cannot be allowed on a route: CONNECT only opens the tunnel, and TRACE echoes credentials
    bottles/dev.md:11: egress.routes[4].path_allowlist[0]: the path `repos` does not start with `/`
    bottles/dev.md:11: egress.routes[4].path_allowlist[1]: the path `/a/../b` could be read in more than one way (dot segments or an encoding inside an encoding); write it plainly
    bottles/dev.md:12: egress.routes[4].private_cidr: route a.example: private_cidr 8.8.8.0/24 is not a private network; write the network the host lives in, such as 10.1.2.0/24
    bottles/dev.md:14: egress.routes[5].private_cidr: 10.1.2.3/24 has host bits; write the network, 10.1.2.0/24
    bottles/dev.md:16: egress.routes[6].auth.scheme: `bearer` is not an auth scheme; write Bearer, token, Basic or header:<Name>
    bottles/dev.md:16: egress.routes[6].auth.token_ref: `1X` is not an environment variable name; use letters, digits and `_`, not starting with a digit
    bottles/dev.md:18: egress.routes[7].auth.token_ref: missing; name the host variable that holds the credential
    bottles/dev.md:20: egress.routes[8].methods: route d.example: `methods` is an empty list, which would admit nothing; leave the field out to admit everything
    bottles/dev.md:22: egress.routes[9].agent_credentials: route e.example: `agent_credentials: allow` and `auth` exclude each other; egress replaces what the agent sends
    bottles/dev.md:24: egress.routes[10]: expected a mapping, found a single value
    bottles/dev.md:26: env.https_proxy: reserved; the launcher sets it for nearly everything, over HTTPS
    bottles/dev.md:27: env.LD_PRELOAD: reserved; it would load code into every program of the bottle
    bottles/dev.md:28: env: `A-B` is not an environment variable name; use letters, digits and `_`, not starting with a digit
    bottles/dev.md:29: env.MIXED: `a${B}`: `${NAME}` stands only as a whole value; set the host variable to the whole text
    bottles/dev.md:30: env.NOTHING: no value; write "" for the empty text
    bottles/dev.md:31: env.LIST: expected a single value, found a list
    bottles/dev.md:32: supervize: unknown key; did you mean `supervise`?
    "#);
}

#[test]
fn retired_keys_show_the_new_form() {
    insta::assert_snapshot!(bottle_errors(
        "tokens: {}
ssh: {}
cred_proxy: {}
egress_proxy: {}
egress:
  allowlist: [a]
  dlp_action: block
  routes:
    - host: a.example
      role: claude
      path: /x
      upstream: https://a.example
      token_ref: X"
    ), @r"
    bottles/dev.md:2: tokens: no longer a key; give the route its credential: `egress: { routes: [{ host: api.github.com, auth: { scheme: Bearer, token_ref: GITHUB_TOKEN } }] }`
    bottles/dev.md:3: ssh: no longer a key; list the repository: `git: { remotes: [{ upstream: ssh://git@github.com/acme/app.git, identity_file: ~/.ssh/acme }] }`
    bottles/dev.md:4: cred_proxy: no longer a key; give the route its credential: `egress: { routes: [{ host: api.github.com, auth: { scheme: Bearer, token_ref: GITHUB_TOKEN } }] }`
    bottles/dev.md:5: egress_proxy: no longer a key; write `egress: { routes: [{ host: docs.rs }] }`
    bottles/dev.md:7: egress.allowlist: no longer a key; write each host as a route: `routes: [{ host: docs.rs }]`
    bottles/dev.md:8: egress.dlp_action: no longer a key; leave it out; a finding is always blocked
    bottles/dev.md:11: egress.routes[0].role: no longer a key; leave it out; whether the route has `auth` decides how the agent is set up
    bottles/dev.md:12: egress.routes[0].path: no longer a key; write `path_allowlist: [/repos/acme/]`
    bottles/dev.md:13: egress.routes[0].upstream: no longer a key; write `host: api.github.com`, the host alone
    bottles/dev.md:14: egress.routes[0].token_ref: no longer a key; write `auth: { scheme: Bearer, token_ref: GITHUB_TOKEN }`
    ");
}

#[test]
fn what_has_no_guard_yet_is_refused() {
    insta::assert_snapshot!(bottle_errors(
        "pipelock:
  engine: external
  image: ghcr.io/luckypipewrench/pipelock:2.3.0"
    ), @"
    bottles/dev.md:3: pipelock.engine: the one engine by name is `builtin`; for the real pipelock write its image: `image: ghcr.io/luckypipewrench/pipelock:2.3.0`
    bottles/dev.md:4: pipelock.image: write either `engine: builtin` or `image: …`
    ");
    assert!(bottle_of("supervise: true\ngit:\n  remotes: []").is_ok());
}

#[test]
fn two_routes_for_one_host_name_both_lines() {
    insta::assert_snapshot!(bottle_errors("egress:\n  routes:\n    - host: a.example\n    - host: b.example\n    - host: A.example."), @"bottles/dev.md:6: egress.routes[2]: a second route for a.example; the first is on line 4: write one route with both paths");
}

#[test]
fn a_key_written_twice_names_both_lines() {
    insta::assert_snapshot!(bottle_errors("env:\n  A: 1\n  A: 2\nenv: {}"), @r"
    bottles/dev.md:4: env.A: written twice; the first is on line 3
    bottles/dev.md:5: env: written twice; the first is on line 2
    ");
}

#[test]
fn yaml_that_hides_meaning_is_refused() {
    for front in [
        "env: &a {}",
        "env: !!map {}",
        "env: {A: *x}",
        "env: {A: 1",
        "env:\n\tA: 1",
        "? [a]\n: b",
        "--- a",
        "- a",
        "just text",
        "env: []",
        "env: {A: \"\\0\"}",
    ] {
        assert!(bottle_of(front).is_err(), "{front}");
    }
}

#[test]
fn an_agent_names_its_bottle_and_may_choose_the_rest() {
    let agent = agent_of("bottle: dev\nskills: [review, test]\ncommand: [claude, --model, opus]\nimage: ../images/Dockerfile\ndescription: writes code").unwrap();
    assert_eq!(agent.bottle.value.as_str(), "dev");
    assert_eq!(agent.command.unwrap(), ["claude", "--model", "opus"]);
    assert_eq!(
        agent.image.value,
        ImageChoice::Dockerfile("../images/Dockerfile".into())
    );
    assert_eq!(agent.prompt, "Do it.");
    let least = agent_of("bottle: dev").unwrap();
    assert_eq!((least.command, least.image.value), (None, ImageChoice::Claude));
}

#[test]
fn mistakes_of_an_agent_are_told_together() {
    insta::assert_snapshot!(agent_of(
        "botle: dev\nskills: [a, a, ../b]\ncommand: claude --model opus\nimage: big\ntokens: {}"
    ).unwrap_err(), @r"
    agents/a.md:2: botle: unknown key; did you mean `bottle`?
    agents/a.md:3: skills[1]: `a` is there twice
    agents/a.md:3: skills[2]: `../b` is not a name; use 1 to 64 letters, digits, `-`, `_` or `.`, starting with a letter or digit
    agents/a.md:4: command: write a list of words, such as [claude, --model, opus]
    agents/a.md:5: image: `big` is neither `claude` nor `small`; a Dockerfile of your own is named by a path with a `/`, such as `./Dockerfile`
    agents/a.md:6: tokens: no longer a key; give the bottle's route `auth: { scheme: Bearer, token_ref: NAME }`
    ");
    insta::assert_snapshot!(agent_of("bottle: dev\nimage: ./Dockerfile").unwrap_err(), @"agents/a.md:3: command: missing; with a Dockerfile of your own, say what a session runs, such as `command: [bash]`");
    insta::assert_snapshot!(agent_of("bottle: dev\ncommand: []").unwrap_err(), @"agents/a.md:3: command: names no program; write a list of words, such as [bash, -l]");
    insta::assert_snapshot!(agent_of("bottle:\nskills: x").unwrap_err(), @r"
    agents/a.md:2: bottle: expected a single value, found nothing
    agents/a.md:3: skills: expected a list, found a single value; write [x]
    ");
}

fn home_with(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
    let home = Home::at(folder.path().to_path_buf());
    (folder, home)
}

#[test]
fn a_name_that_is_not_there_suggests_one_that_is() {
    let (_folder, home) = home_with(&[("agents/implementer.md", b"---\nbottle: dev\n---\n")]);
    let error = agent(&home, &"implementor".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind().exit_code(), 2);
    assert_eq!(error.hints(), ["did you mean `implementer`?"]);
    let error = bottle(&home, &"dev".parse().unwrap()).unwrap_err();
    assert_eq!(
        error.hints(),
        ["run `bottle init` to write a first agent and bottle"]
    );
}

#[test]
fn what_cannot_be_read_is_told_by_its_file() {
    let large = vec![b'a'; 1024 * 1024 + 1];
    let (folder, home) = home_with(&[("bottles/large.md", &large), ("bottles/folder.md/x", b"")]);
    nix::unistd::mkfifo(
        &folder.path().join("bottles/fifo.md"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    for name in ["large", "folder", "fifo"] {
        let error = bottle(&home, &name.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind().exit_code(), 2, "{name}");
        assert!(
            error.messages()[0].starts_with(&format!("bottles/{name}.md: ")),
            "{error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused_by_line(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        refused_well(&bytes)?;
    }

    #[test]
    fn any_front_matter_is_read_or_refused_by_line(
        front in "((supervise|env|egress|routes|host|auth|git|remotes|pipelock|bottle|skills|command|image|-|  |: |\n|a|\\[|\\]|\\{|\\}|,|\"|'|\\$|\\?|&|\\*|!|#|\\||>|\t|\r|true|~){1,4}\n?){0,30}"
    ) {
        refused_well(format!("---\n{front}\n---\nbody").as_bytes())?;
    }
}

fn refused_well(bytes: &[u8]) -> std::result::Result<(), TestCaseError> {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let bottle = parse::<BottleManifest>(bytes).err();
    let agent = parse::<AgentManifest>(bytes).err();
    for found in [bottle, agent].into_iter().flatten() {
        prop_assert!(!found.is_empty());
        for finding in &found {
            prop_assert!(
                (1..=lines).contains(&finding.line),
                "line {} of {lines}: {}",
                finding.line,
                finding.message
            );
            prop_assert!(!finding.message.is_empty());
        }
        for message in told(Path::new("bottles/x.md"), &found).messages() {
            prop_assert!(message.starts_with("bottles/x.md:"));
        }
    }
    Ok(())
}

#[test]
fn a_git_remote_says_where_with_which_key_and_by_which_host_key() {
    let bottle = bottle_of(
        "git:
  remotes:
    - upstream: ssh://git@github.com/acme/app.git
      identity_file: ~/.ssh/acme
      known_hosts: github.com ssh-ed25519 AAAA
      policy:
        refs: [refs/heads/agent/*]
        force: [refs/heads/agent/*]
        protected_paths: []
        lfs: true
        max_refs: 3
        max_mirror_bytes: 1000000
        max_stall_seconds: 5",
    )
    .unwrap();
    let remote = &bottle.remotes[0];
    assert_eq!(remote.upstream.value.route(), "github.com/acme/app.git");
    assert!(remote.policy.admits_ref("refs/heads/agent/x") && !remote.policy.admits_ref("refs/heads/main"));
    assert!(remote.policy.lfs && remote.policy.protected_paths.is_empty());
    let caps = &remote.policy.caps;
    assert_eq!(
        (caps.refs, caps.mirror_bytes, caps.stall_seconds),
        (3, 1_000_000, 5)
    );
}

#[test]
fn a_host_key_is_the_upstreams_own() {
    let errors = |port: &str, names: &str| {
        let found = bottle_of(&format!(
            "git:\n  remotes:\n    - upstream: ssh://git@git.example{port}/app.git\n      identity_agent: true\n      known_hosts: \"{names} ssh-ed25519 AAAA\""
        ));
        found.err().map(|error| error.to_string())
    };
    for (port, names) in [
        ("", "git.example"),
        ("", "other.example,Git.Example"),
        ("", "|1|c2FsdA==|aGFzaA=="),
        ("", "@cert-authority *.example"),
        (":2222", "[git.example]:2222"),
        (":2222", "git.example"),
    ] {
        assert_eq!(errors(port, names), None, "{port} {names}");
    }
    for (port, names) in [
        ("", "other.example"),
        ("", "[git.example]:2222"),
        ("", "[git.example]:22"),
        ("", "@revoked git.example"),
        (":2222", "[git.example]:22"),
    ] {
        let told = errors(port, names).unwrap_or_else(|| panic!("{names}"));
        assert!(
            told.contains("bottles/dev.md:6: git.remotes[0].known_hosts: no line is git.example's; write"),
            "{told}"
        );
        let port = if port.is_empty() { "" } else { "-p 2222 " };
        assert!(
            told.contains(&format!("ssh-keyscan {port}-t ed25519 git.example")),
            "{told}"
        );
    }
}

#[test]
fn a_credential_in_the_place_of_its_name_is_not_shown() {
    for value in [
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "5d41402a-bc4b-4a76-b971-9d911017c592",
        "sk-ant-a1b2c3d4-e5f6g7h8-i9j0",
        "\"${5d41402a-bc4b-4a76-b971-9d911017c592}\"",
    ] {
        let told = bottle_errors(&format!(
            "egress:\n  routes:\n    - host: a.example\n      auth: {{scheme: Bearer, token_ref: {value}}}"
        ));
        let told = told.to_string();
        assert!(
            told.contains("looks like the credential itself") && !told.contains(value.trim_matches('"')),
            "{told}"
        );
    }
    let told = bottle_errors(
        "egress:\n  routes:\n    - host: a.example\n      auth: {scheme: Bearer, token_ref: \"${GITHUB_TOKEN_2024}\"}",
    );
    assert!(
        told.to_string()
            .contains("write the name alone: GITHUB_TOKEN_2024")
    );
}

#[test]
fn what_is_wrong_with_a_git_remote_is_told_by_line() {
    insta::assert_snapshot!(bottle_errors(
        "git:
  remotes:
    - upstream: https://github.com/acme/app
      identity_agent: true
      known_hosts: github.com ssh-ed25519 AAAA
    - upstream: git@github.com:acme/app.git
      identity_agent: true
      known_hosts: github.com
    - upstream: ssh://git@github.com/acme/app.git
      identity_agent: true
      identity_file: ~/.ssh/acme
      policy: { refs: [main], max_refs: none, forced: [] }"
    ), @"
    bottles/dev.md:4: git.remotes[0].upstream: `https://github.com/acme/app` is not reached over SSH, and the gate speaks nothing else; write ssh://git@github.com/acme/app.git
    bottles/dev.md:7: git.remotes[1].upstream: `git@github.com:acme/app.git` is the short form; write it as ssh://git@github.com/acme/app.git
    bottles/dev.md:9: git.remotes[1].known_hosts: a line of known_hosts is `host type key`, such as `github.com ssh-ed25519 AAAA…`
    bottles/dev.md:10: git.remotes[2].known_hosts: missing; write the line of the host's own key (compare it with what the host publishes): ssh-keyscan -t ed25519 github.com
    bottles/dev.md:10: git.remotes[2]: write either `identity_file: ~/.ssh/key` or `identity_agent: true`
    bottles/dev.md:13: git.remotes[2].policy.forced: unknown key; did you mean `force`?
    bottles/dev.md:13: git.remotes[2].policy.max_refs: write a whole number above 0
    bottles/dev.md:13: git.remotes[2].policy.refs[0]: `main` is not a ref pattern; write a whole ref with `*` for any part, such as refs/heads/agent/*
    ");
}
