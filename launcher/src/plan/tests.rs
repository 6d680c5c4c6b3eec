use super::*;
use crate::environment::Environment;
use crate::error::Error;
use crate::preflight;
use contract::TokenSlot;

/// A home with manifests in it, and a host environment.
struct Host {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Host {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        Self {
            folder,
            environment: Vec::new(),
        }
    }

    /// One agent in one bottle, by their front matter.
    fn of(agent: &str, bottle: &str) -> Self {
        Self::with(&[
            (
                "agents/implementer.md",
                &format!("---\nbottle: dev\n{agent}\n---\nWrite code.\n"),
            ),
            ("bottles/dev.md", &format!("---\n{bottle}\n---\n")),
        ])
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn make(&self, cwd: Option<PathBuf>, mount: bool) -> Result<Plan, Error> {
        let home = Home::at(fs_err::canonicalize(self.folder.path()).unwrap());
        let request = Request {
            agent: "implementer".parse().unwrap(),
            cwd,
            mount,
        };
        let fresh = Fresh {
            fingerprint_key: contract::gate::FingerprintKey::new([7; 32]),
            tail: [0; 5],
            nonce: "n-0000".parse().unwrap(),
            started_at: Timestamp::from_millis(0),
        };
        let environment = Environment::of(self.environment.iter().cloned());
        Plan::make(
            &request,
            &home,
            &environment,
            Identity::of_operator(1000, 1000),
            fresh,
        )
    }

    fn plan(&self) -> Plan {
        self.make(None, false).unwrap()
    }

    fn refusal(&self) -> String {
        self.make(None, false).unwrap_err().messages().join("\n")
    }
}

const FULL: &str = r#"env:
  LOG_LEVEL: debug
  SENTRY_DSN: ${SENTRY_DSN}
  DB_PASSWORD: "?Database password"
egress:
  routes:
    - host: api.github.com
      path_allowlist: [/repos/acme/]
      auth: { scheme: Bearer, token_ref: GITHUB_TOKEN }
    - host: docs.rs
    - host: api.anthropic.com
      auth: { scheme: "header:x-api-key", token_ref: ANTHROPIC_API_KEY }
    - host: uploads.github.com
      auth: { scheme: Bearer, token_ref: GITHUB_TOKEN }
    - host: git.corp.example
      private_cidr: 10.1.2.0/24
    - host: login.example.com
      agent_credentials: allow"#;

fn full() -> Host {
    let host = Host::of("skills: [review]", FULL)
        .set("SENTRY_DSN", "https://key@sentry.example/1")
        .set("GITHUB_TOKEN", "ghp_0123456789")
        .set("ANTHROPIC_API_KEY", "sk-ant-0123456789");
    fs_err::create_dir_all(host.folder.path().join("skills/review")).unwrap();
    host
}

#[test]
fn preflight_has_one_layout() {
    insta::assert_snapshot!(preflight::layout(&full().plan()), @r"
    agent     implementer
    env       LOG_LEVEL
              SENTRY_DSN
              DB_PASSWORD
    skills    review
    bottle    dev
    egress    api.github.com [auth:Bearer]
              docs.rs
              api.anthropic.com [auth:header:x-api-key]
              uploads.github.com [auth:Bearer]
              git.corp.example [private:10.1.2.0/24]
              login.example.com [agent_credentials:allow]
    ");
}

#[test]
fn labels_without_values_are_left_out() {
    insta::assert_snapshot!(preflight::layout(&Host::of("image: small", "").plan()), @r"
    agent     implementer
    bottle    dev
    ");
}

#[test]
fn slots_follow_declaration_and_one_credential_has_one() {
    let plan = full().plan();
    let slots: Vec<_> = plan
        .routes
        .routes()
        .iter()
        .filter_map(|route| route.auth.as_ref())
        .map(|auth| auth.token_env)
        .collect();
    assert_eq!(slots, [TokenSlot::new(0), TokenSlot::new(1), TokenSlot::new(0)]);
    let sources: Vec<(&str, String)> = plan
        .secrets
        .iter()
        .map(|source| (source.variable.as_str(), source.wanted.to_string()))
        .collect();
    insta::assert_debug_snapshot!(sources, @r#"
    [
        (
            "EGRESS_TOKEN_0",
            "bottles/dev.md:10: egress.routes[0].auth.token_ref",
        ),
        (
            "EGRESS_TOKEN_1",
            "bottles/dev.md:13: egress.routes[2].auth.token_ref",
        ),
        (
            "BOTTLE_ENV_SECRET_0",
            "bottles/dev.md:4: env.SENTRY_DSN",
        ),
        (
            "BOTTLE_ENV_SECRET_1",
            "bottles/dev.md:5: env.DB_PASSWORD",
        ),
    ]
    "#);
}

#[test]
fn what_git_writes_into_every_commit_is_no_secret_that_no_push_may_hold() {
    let bottle = "env:\n  GIT_AUTHOR_EMAIL: ${MAIL}\n  DSN: ${DSN}\n  GIT_AUTHOR_NAME: ${ME}\n";
    let host = Host::of("image: small", bottle);
    let plan = host
        .set("MAIL", "ada@example.com")
        .set("DSN", "dsn")
        .set("ME", "Ada")
        .plan();
    let variables: Vec<&str> = plan
        .secrets
        .iter()
        .map(|source| source.variable.as_str())
        .collect();
    assert_eq!(
        variables,
        [
            "BOTTLE_ENV_PUBLIC_0",
            "BOTTLE_ENV_SECRET_0",
            "BOTTLE_ENV_PUBLIC_1"
        ]
    );
}

#[test]
fn a_plan_holds_no_value_of_a_secret() {
    let shown = format!("{:?}", full().plan());
    for value in ["ghp_0123456789", "sk-ant-0123456789", "key@sentry"] {
        assert!(!shown.contains(value), "{value}");
    }
}

#[test]
fn a_manifest_route_wins_over_a_default() {
    let plan = full().plan();
    let routes: Vec<_> = plan
        .routes
        .routes()
        .iter()
        .filter(|route| route.host.as_str() == "api.anthropic.com")
        .collect();
    assert_eq!(routes.len(), 1);
    assert!(routes[0].auth.is_some() && routes[0].path_allowlist.is_none());
    assert!(
        !routes[0].inspect,
        "the model API is not inspected, whoever declares it"
    );
}

#[test]
fn defaults_come_only_to_an_agent_that_runs_claude_code() {
    let hosts = |agent: &str| -> usize { Host::of(agent, "").plan().routes.routes().len() };
    assert_eq!(hosts("image: small"), 0);
    assert_eq!(hosts("image: small\ncommand: [/usr/local/bin/claude]"), 1);
    assert_eq!(hosts("description: x"), 1);
}

#[test]
fn the_route_for_the_model_decides_how_claude_code_logs_in() {
    let login = |auth: &str| {
        let bottle = format!(
            "egress:\n  routes:\n    - host: api.anthropic.com\n      auth: {{ scheme: '{auth}', token_ref: KEY }}"
        );
        Host::of("description: x", &bottle)
            .set("KEY", "0123456789:0123456789")
            .plan()
    };
    assert_eq!(login("header:X-Api-Key").agent.claude, Some(ClaudeLogin::ApiKey));
    assert_eq!(login("Bearer").agent.claude, Some(ClaudeLogin::OauthToken));
    let basic = login("Basic");
    assert_eq!(basic.agent.claude, Some(ClaudeLogin::None));
    assert_eq!(basic.warnings.len(), 2);
    insta::assert_snapshot!(login("Bearer").warnings.join("\n"), @"the route for api.anthropic.com admits every path, the file store /v1/files too; Claude Code needs no more than `path_allowlist: [/v1/messages, /v1/models, /api/claude_code/settings, /api/claude_code/policy_limits]`");
    let none = Host::of("description: x", "").plan();
    insta::assert_snapshot!(none.warnings.join("\n"), @"Claude Code will not be able to log in: no route gives api.anthropic.com a credential; give it `auth: { scheme: header:x-api-key, token_ref: ANTHROPIC_API_KEY }` or `auth: { scheme: Bearer, token_ref: CLAUDE_CODE_OAUTH_TOKEN }`");
}

#[test]
fn what_stands_against_a_launch_is_told_at_once() {
    let host = Host::of(
        "skills: [reviev]\nimage: ./nowhere/Dockerfile\ncommand: [bash]",
        &format!("{FULL}\npipelock:\n  extra_ca: ./corp.pem"),
    )
    .set("GITHUB_TOKEN", "two\nlines")
    .set("SENTRY_DSN", "");
    fs_err::create_dir_all(host.folder.path().join("skills/review")).unwrap();
    let home = fs_err::canonicalize(host.folder.path()).unwrap();
    let host_error = host.make(None, false).unwrap_err();
    assert_eq!(host_error.kind().exit_code(), 2);
    insta::assert_snapshot!(host_error.messages().join("\n").replace(home.to_str().unwrap(), "HOME"), @r"
    bottles/dev.md:13: egress.routes[2].auth.token_ref: the host variable ANTHROPIC_API_KEY is not set
    bottles/dev.md:4: env.SENTRY_DSN: the host variable SENTRY_DSN is empty
    bottles/dev.md:10: egress.routes[0].auth.token_ref: the host variable GITHUB_TOKEN holds a line end or another control character, which no header can carry
    agents/implementer.md:4: image: there is no file HOME/agents/./nowhere/Dockerfile
    agents/implementer.md:3: skills[0]: there is no folder skills/reviev; did you mean `review`?
    bottles/dev.md:21: pipelock.extra_ca: failed to open file `HOME/bottles/./corp.pem`: No such file or directory (os error 2)
    ");
}

#[test]
fn claude_code_is_never_given_a_credential() {
    let host = Host::of(
        "description: x",
        "env:\n  ANTHROPIC_API_KEY: ${ANTHROPIC_API_KEY}",
    )
    .set("ANTHROPIC_API_KEY", "x");
    insta::assert_snapshot!(host.refusal(), @"bottles/dev.md:3: env.ANTHROPIC_API_KEY: Claude Code is never given a credential; give the route for api.anthropic.com `auth: { scheme: header:x-api-key, token_ref: ANTHROPIC_API_KEY }`");
    let other = Host::of("image: small", "env:\n  ANTHROPIC_API_KEY: ${ANTHROPIC_API_KEY}")
        .set("ANTHROPIC_API_KEY", "x");
    other.plan();
}

#[test]
fn a_credential_too_short_to_watch_is_told() {
    let bottle = "egress:\n  routes:\n    - host: a.example\n      auth: { scheme: Basic, token_ref: SHORT }";
    let plan = Host::of("image: small", bottle)
        .set("SHORT", "0123456789a")
        .plan();
    insta::assert_snapshot!(plan.warnings.join("\n"), @r"
    the credential SHORT has only 11 bytes: egress watches for leaks of credentials of 12 bytes and more
    the credential SHORT holds no `:`; the scheme Basic wants user:password
    ");
    let plan = Host::of("image: small", bottle)
        .set("SHORT", "a:0123456789")
        .plan();
    assert_eq!(plan.warnings, Vec::<String>::new());
}

#[test]
fn a_bottle_that_is_not_there_is_the_agents_mistake() {
    let host = Host::with(&[
        ("agents/implementer.md", "---\nbottle: dve\n---\n"),
        ("bottles/dev.md", "---\n---\n"),
    ]);
    let error = host.make(None, false).unwrap_err();
    assert_eq!(
        error.messages(),
        ["agents/implementer.md:2: bottle: there is no bottles/dve.md"]
    );
    assert_eq!(error.hints(), ["did you mean `dev`?"]);
}

#[test]
fn a_working_directory_must_be_the_projects_own() {
    let host = Host::of("image: small", "");
    let root = fs_err::canonicalize(host.folder.path()).unwrap();
    let work = root.join("work");
    fs_err::create_dir(&work).unwrap();
    let plan = host.make(Some(work.clone()), true).unwrap();
    assert_eq!(
        plan.agent.workspace,
        Some(Workspace {
            directory: work.clone(),
            how: HowWorkspace::Mount,
            guarded: Vec::new(),
        })
    );
    assert!(!plan.metadata().copy_cwd);
    assert_eq!(plan.warnings.len(), 1);
    let copy = host.make(Some(work), false).unwrap();
    assert!(copy.metadata().copy_cwd && copy.warnings.is_empty());
    for bad in [
        root.clone(),
        PathBuf::from("/"),
        root.join("agents"),
        root.join("none"),
        root.join("bottles/dev.md"),
    ] {
        assert_eq!(
            host.make(Some(bad.clone()), true).unwrap_err().kind().exit_code(),
            2,
            "{}",
            bad.display()
        );
    }
}

#[test]
fn more_certificate_authorities_are_read_as_certificates_only() {
    let bottle = "pipelock:\n  extra_ca: ../corp.pem";
    let authority = crate::ca::Authorities::mint(&"dev-ab1cd".parse().unwrap(), Timestamp::from_millis(0))
        .unwrap()
        .egress;
    let written = format!("Corp CA\n{}{}", *authority.key_pem, authority.certificate_pem);
    let host = Host::of("image: small", bottle);
    fs_err::write(host.folder.path().join("corp.pem"), written).unwrap();
    assert_eq!(host.plan().extra_ca.unwrap().pem, authority.certificate_pem);
    fs_err::write(host.folder.path().join("corp.pem"), "none").unwrap();
    assert!(
        host.refusal().contains("bottles/dev.md:3: pipelock.extra_ca: "),
        "{}",
        host.refusal()
    );
}

#[test]
fn claude_code_is_handed_the_prompt_with_its_command() {
    let command = |agent: &str| Host::of(agent, "").plan().agent.command;
    assert_eq!(
        command("command: [claude, --model, opus]"),
        [
            "claude",
            "--model",
            "opus",
            "--append-system-prompt",
            "Write code."
        ]
    );
    assert_eq!(
        Host::of("command: [claude, -p, work]", "supervise: true")
            .plan()
            .agent
            .command,
        [
            "claude",
            "-p",
            "work",
            "--mcp-config=/etc/claude-bottle/mcp.json",
            "--allowedTools=mcp__supervise",
            "--append-system-prompt",
            "Write code."
        ]
    );
    assert_eq!(command("image: small\ncommand: [bash, -l]"), ["bash", "-l"]);
    assert_eq!(command("image: small"), ["bash"]);
}

#[test]
fn secrets_are_resolved_by_name_and_asked_for_once() {
    let plan = full().plan();
    let environment = Environment::of([
        ("SENTRY_DSN", "dsn"),
        ("GITHUB_TOKEN", "token"),
        ("ANTHROPIC_API_KEY", "key"),
    ]);
    let mut asked = Vec::new();
    let secrets = Secrets::resolve(&plan.secrets, &environment, |prompt| {
        asked.push(prompt.to_owned());
        Ok(zeroize::Zeroizing::new("typed".to_owned()))
    })
    .unwrap();
    assert_eq!(asked, ["Database password"]);
    let found: Vec<_> = secrets.iter().collect();
    assert_eq!(
        found,
        [
            ("EGRESS_TOKEN_0", "token"),
            ("EGRESS_TOKEN_1", "key"),
            ("BOTTLE_ENV_SECRET_0", "dsn"),
            ("BOTTLE_ENV_SECRET_1", "typed")
        ]
    );
}

#[test]
fn what_egress_puts_in_the_agent_must_not_hold() {
    let bottle = "env:\n  MINE: ${TOKEN}\negress:\n  routes:\n    - host: a.example\n      auth: { scheme: Bearer, token_ref: TOKEN }\n";
    let refusal = Host::of("image: small", bottle).set("TOKEN", "value").refusal();
    assert!(
        refusal.contains("bottles/dev.md:3: env.MINE: TOKEN is a route's token_ref"),
        "{refusal}"
    );
}

#[test]
fn a_directory_with_a_socket_in_it_can_be_copied_but_not_mounted() {
    let host = Host::of("image: small", "");
    let work = tempfile::tempdir().unwrap();
    fs_err::create_dir(work.path().join("deep")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(work.path().join("deep/host.sock")).unwrap();
    let refused = host.make(Some(work.path().to_owned()), true).unwrap_err();
    assert!(
        refused.messages().join("\n").contains("host.sock is a socket"),
        "{:?}",
        refused.messages()
    );
    assert!(host.make(Some(work.path().to_owned()), false).is_ok());
}
