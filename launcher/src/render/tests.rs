use super::*;
use crate::agent_environment::AGENT_VARIABLES;
use crate::home::Home;
use crate::plan::{
    Agent, AgentImage, ClaudeLogin, EnvValue, ExtraCa, HowWorkspace, Identity, Seat, SecretSource,
    SecretValue, Skill, Wanted, Workspace,
};
use contract::{Route, RouteAuth, RouteTable, Timestamp, TokenSlot};
use std::path::Path;

fn images() -> References {
    References {
        agent: "claude-bottle-agent-small:0011".to_owned(),
        guards: vec![("egress".to_owned(), "claude-bottle-egress:2233".to_owned())],
    }
}

/// The least that can be launched.
fn least() -> Plan {
    Plan {
        slug: "dev-ab1cd".parse().unwrap(),
        agent_name: "dev".parse().unwrap(),
        bottle_name: "box".parse().unwrap(),
        home: Home::at("/home/op/.claude-bottle".into()),
        launch_nonce: "n-0011".parse().unwrap(),
        started_at: Timestamp::from_millis(1_795_000_000_000),
        identity: Identity::of_operator(1000, 50),
        agent: Agent {
            image: AgentImage::Small,
            command: vec!["bash".to_owned()],
            prompt: String::new(),
            skills: Vec::new(),
            env: Vec::new(),
            claude: None,
            workspace: None,
        },
        routes: RouteTable::new(1, Vec::new()).unwrap(),
        secrets: Vec::new(),
        extra_ca: None,
        seat: Seat::Builtin,
        supervise: false,
        git_remotes: Vec::new(),
        warnings: Vec::new(),
    }
}

fn secret(variable: &str) -> SecretSource {
    SecretSource {
        variable: variable.to_owned(),
        value: SecretValue::Host("HOST_NAME".parse().unwrap()),
        wanted: Wanted {
            file: "bottles/box.md".into(),
            line: 1,
            field: "x".to_owned(),
        },
    }
}

/// Everything at once.
fn most() -> Plan {
    let mut plan = least();
    plan.home = Home::at("/home/o$p: x/.claude-bottle".into());
    plan.identity = Identity::of_operator(0, 0);
    plan.agent.claude = Some(ClaudeLogin::ApiKey);
    plan.agent.prompt = "Write code.".to_owned();
    plan.agent.skills = vec![Skill {
        name: "review".parse().unwrap(),
        folder: "/home/op/.claude-bottle/skills/review".into(),
    }];
    let env = |name: &str, value: EnvValue| (name.parse().unwrap(), value);
    plan.agent.env = vec![
        env("PRICE", EnvValue::Literal("5$ ${HOME} $$".to_owned())),
        env("DATE", EnvValue::Literal("2001-01-01".to_owned())),
        env("EMPTY", EnvValue::Literal(String::new())),
        env("LINES", EnvValue::Literal("a\n\"b\"\u{2028}".to_owned())),
        env("DB_PASSWORD", EnvValue::Secret("BOTTLE_ENV_SECRET_0".to_owned())),
    ];
    plan.agent.workspace = Some(Workspace {
        directory: "/src/app".into(),
        how: HowWorkspace::Mount,
        guarded: vec![".git/hooks", ".git/config"],
    });
    let auth = |slot: u16| {
        Some(RouteAuth {
            scheme: "Bearer".parse().unwrap(),
            token_ref: "HOST_NAME".parse().unwrap(),
            token_env: TokenSlot::new(slot),
        })
    };
    let route = |host: &str, slot| Route {
        auth: auth(slot),
        ..Route::bare(host.parse().unwrap())
    };
    plan.routes = RouteTable::new(1, vec![route("a.example", 0), route("b.example", 1)]).unwrap();
    plan.secrets = ["EGRESS_TOKEN_0", "EGRESS_TOKEN_1", "BOTTLE_ENV_SECRET_0"]
        .map(secret)
        .into();
    plan.extra_ca = Some(ExtraCa {
        path: "/corp.pem".into(),
        pem: "corp".to_owned(),
    });
    plan
}

fn compose(plan: &Plan) -> String {
    compose::render(plan, &images()).unwrap()
}

/// Without the variables that every agent gets: they have a table of their own.
fn without_table(compose: &str) -> String {
    let common = |line: &&str| {
        AGENT_VARIABLES
            .iter()
            .any(|variable| line.trim_start().starts_with(&format!("{}: ", variable.name)))
    };
    compose
        .lines()
        .filter(|line| !common(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_least_bottle() {
    insta::assert_snapshot!(compose(&least()), @r#"
    services:
      agent:
        image: "claude-bottle-agent-small:0011"
        pull_policy: "never"
        container_name: "claude-bottle-dev-ab1cd"
        labels:
          home: "811fbd5f5a2b"
        entrypoint:
          - "/run/bottle/bin/shim"
          - "--forward"
          - "127.0.0.1:3128=unix:/run/bottle/doors/egress/door.sock"
        init: false
        user: "1000:50"
        working_dir: "/workspace"
        environment:
          HOME: "/home/agent"
          USER: "agent"
          LOGNAME: "agent"
          BOTTLE_PROMPT: "/etc/claude-bottle/prompt.md"
          HTTP_PROXY: "http://127.0.0.1:3128"
          HTTPS_PROXY: "http://127.0.0.1:3128"
          http_proxy: "http://127.0.0.1:3128"
          https_proxy: "http://127.0.0.1:3128"
          ALL_PROXY: "http://127.0.0.1:3128"
          all_proxy: "http://127.0.0.1:3128"
          NO_PROXY: "egress,git-gate,supervise,localhost,127.0.0.1,::1"
          no_proxy: "egress,git-gate,supervise,localhost,127.0.0.1,::1"
          NODE_USE_ENV_PROXY: "1"
          NODE_EXTRA_CA_CERTS: "/etc/claude-bottle/ca/ca.pem"
          SSL_CERT_FILE: "/etc/claude-bottle/ca/ca.pem"
          REQUESTS_CA_BUNDLE: "/etc/claude-bottle/ca/ca.pem"
          PIP_CERT: "/etc/claude-bottle/ca/ca.pem"
          HTTPLIB2_CA_CERTS: "/etc/claude-bottle/ca/ca.pem"
          CURL_CA_BUNDLE: "/etc/claude-bottle/ca/ca.pem"
          GIT_SSL_CAINFO: "/etc/claude-bottle/ca/ca.pem"
          CARGO_HTTP_CAINFO: "/etc/claude-bottle/ca/ca.pem"
          DENO_CERT: "/etc/claude-bottle/ca/ca.pem"
          AWS_CA_BUNDLE: "/etc/claude-bottle/ca/ca.pem"
          CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE: "/etc/claude-bottle/ca/ca.pem"
          GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: "/etc/claude-bottle/ca/ca.pem"
          NPM_CONFIG_CAFILE: "/etc/claude-bottle/ca/ca.pem"
          YARN_HTTPS_CA_FILE_PATH: "/etc/claude-bottle/ca/ca.pem"
          YARN_HTTP_PROXY: "http://127.0.0.1:3128"
          YARN_HTTPS_PROXY: "http://127.0.0.1:3128"
          BUNDLE_SSL_CA_CERT: "/etc/claude-bottle/ca/ca.pem"
          PERL_LWP_SSL_CA_FILE: "/etc/claude-bottle/ca/ca.pem"
          HTTPS_CA_FILE: "/etc/claude-bottle/ca/ca.pem"
          NIX_SSL_CERT_FILE: "/etc/claude-bottle/ca/ca.pem"
          HEX_CACERTS_PATH: "/etc/claude-bottle/ca/ca.pem"
          JAVA_TOOL_OPTIONS: "-Djavax.net.ssl.trustStore=/etc/claude-bottle/ca/truststore.p12 -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3128 -Dhttp.nonProxyHosts=egress|git-gate|supervise|localhost|127.0.0.1|[::1]"
          PIP_DISABLE_PIP_VERSION_CHECK: "1"
          NPM_CONFIG_UPDATE_NOTIFIER: "false"
          DISABLE_AUTOUPDATER: "1"
          DISABLE_TELEMETRY: "1"
          DISABLE_ERROR_REPORTING: "1"
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1"
        network_mode: "none"
        extra_hosts:
          - "egress:127.0.0.1"
          - "git-gate:127.0.0.1"
          - "supervise:127.0.0.1"
        depends_on:
          - "egress"
        volumes:
          - type: "volume"
            source: "egress-door"
            target: "/run/bottle/doors/egress"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/bin"
            target: "/run/bottle/bin"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/ca"
            target: "/etc/claude-bottle/ca"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/ca/ca.pem"
            target: "/etc/ssl/certs/ca-certificates.crt"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/etc/passwd"
            target: "/etc/passwd"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/etc/group"
            target: "/etc/group"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/etc/gitconfig"
            target: "/etc/gitconfig"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/prompt.md"
            target: "/etc/claude-bottle/prompt.md"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/home"
            target: "/home/agent"
            read_only: false
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/workspace"
            target: "/workspace"
            read_only: false
        read_only: false
        cap_drop:
          - "ALL"
        security_opt:
          - "no-new-privileges=true"
          - "seccomp=/home/op/.claude-bottle/state/dev-ab1cd/seccomp.json"
        pids_limit: 4096
        mem_limit: "8g"
        ulimits:
          core: 0
        restart: "no"
        stop_signal: "SIGTERM"
        healthcheck:
          disable: true
        logging:
          driver: "json-file"
          options:
            max-file: "5"
            max-size: "20m"
      egress:
        image: "claude-bottle-egress:2233"
        pull_policy: "never"
        container_name: "claude-bottle-egress-dev-ab1cd"
        labels:
          home: "811fbd5f5a2b"
        command:
          - "run"
          - "--config"
          - "/etc/bottle/config"
          - "--run"
          - "/run/bottle/guard"
          - "--listen"
          - "unix:/run/bottle/door/door.sock"
        init: false
        user: "1000:50"
        environment:
          BOTTLE_LAUNCH_NONCE: "n-0011"
        networks:
          - "outside"
        volumes:
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/egress/config"
            target: "/etc/bottle/config"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/egress/run"
            target: "/run/bottle/guard"
            read_only: false
          - type: "volume"
            source: "egress-door"
            target: "/run/bottle/door"
            read_only: false
        read_only: true
        cap_drop:
          - "ALL"
        security_opt:
          - "no-new-privileges=true"
          - "seccomp=/home/op/.claude-bottle/state/dev-ab1cd/seccomp.json"
        pids_limit: 128
        mem_limit: "512m"
        ulimits:
          core: 0
        restart: "on-failure"
        stop_signal: "SIGTERM"
        healthcheck:
          disable: true
        logging:
          driver: "json-file"
          options:
            max-file: "5"
            max-size: "20m"
    networks:
      outside:
        driver: "bridge"
        driver_opts:
          com.docker.network.bridge.enable_icc: "false"
        enable_ipv6: false
        labels:
          home: "811fbd5f5a2b"
    volumes:
      egress-door:
        driver: "local"
        driver_opts:
          device: "tmpfs"
          "o": "uid=1000,gid=50,mode=0700,size=1m"
          type: "tmpfs"
        labels:
          home: "811fbd5f5a2b"
    "#);
}

#[test]
fn the_bottle_with_everything() {
    insta::assert_snapshot!(without_table(&compose(&most())), @r#"
    services:
      agent:
        image: "claude-bottle-agent-small:0011"
        pull_policy: "never"
        container_name: "claude-bottle-dev-ab1cd"
        labels:
          home: "c1a5b9e7d3f4"
        entrypoint:
          - "/run/bottle/bin/shim"
          - "--forward"
          - "127.0.0.1:3128=unix:/run/bottle/doors/egress/door.sock"
        init: false
        user: "65532:65532"
        working_dir: "/workspace"
        environment:
          HOME: "/home/agent"
          USER: "agent"
          LOGNAME: "agent"
          BOTTLE_PROMPT: "/etc/claude-bottle/prompt.md"
          ANTHROPIC_API_KEY: "bottle-placeholder-not-a-credential"
          PRICE: "5$$ $${HOME} $$$$"
          DATE: "2001-01-01"
          EMPTY: ""
          LINES: "a\n\"b\"\u2028"
          DB_PASSWORD: "${BOTTLE_ENV_SECRET_0-}"
        network_mode: "none"
        extra_hosts:
          - "egress:127.0.0.1"
          - "git-gate:127.0.0.1"
          - "supervise:127.0.0.1"
        depends_on:
          - "egress"
        volumes:
          - type: "volume"
            source: "egress-door"
            target: "/run/bottle/doors/egress"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/bin"
            target: "/run/bottle/bin"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/ca"
            target: "/etc/claude-bottle/ca"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/ca/ca.pem"
            target: "/etc/ssl/certs/ca-certificates.crt"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/etc/passwd"
            target: "/etc/passwd"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/etc/group"
            target: "/etc/group"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/etc/gitconfig"
            target: "/etc/gitconfig"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/prompt.md"
            target: "/etc/claude-bottle/prompt.md"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/home"
            target: "/home/agent"
            read_only: false
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/agent/skills"
            target: "/home/agent/.claude/skills"
            read_only: true
          - type: "bind"
            source: "/src/app"
            target: "/workspace"
            read_only: false
          - type: "bind"
            source: "/src/app/.git/hooks"
            target: "/workspace/.git/hooks"
            read_only: true
          - type: "bind"
            source: "/src/app/.git/config"
            target: "/workspace/.git/config"
            read_only: true
        read_only: false
        cap_drop:
          - "ALL"
        security_opt:
          - "no-new-privileges=true"
          - "seccomp=/home/o$$p: x/.claude-bottle/state/dev-ab1cd/seccomp.json"
        pids_limit: 4096
        mem_limit: "8g"
        ulimits:
          core: 0
        restart: "no"
        stop_signal: "SIGTERM"
        healthcheck:
          disable: true
        logging:
          driver: "json-file"
          options:
            max-file: "5"
            max-size: "20m"
      egress:
        image: "claude-bottle-egress:2233"
        pull_policy: "never"
        container_name: "claude-bottle-egress-dev-ab1cd"
        labels:
          home: "c1a5b9e7d3f4"
        command:
          - "run"
          - "--config"
          - "/etc/bottle/config"
          - "--run"
          - "/run/bottle/guard"
          - "--listen"
          - "unix:/run/bottle/door/door.sock"
        init: false
        user: "65532:65532"
        environment:
          BOTTLE_LAUNCH_NONCE: "n-0011"
          EGRESS_TOKEN_0: null
          EGRESS_TOKEN_1: null
        networks:
          - "outside"
        volumes:
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/egress/config"
            target: "/etc/bottle/config"
            read_only: true
          - type: "bind"
            source: "/home/o$$p: x/.claude-bottle/state/dev-ab1cd/egress/run"
            target: "/run/bottle/guard"
            read_only: false
          - type: "volume"
            source: "egress-door"
            target: "/run/bottle/door"
            read_only: false
        read_only: true
        cap_drop:
          - "ALL"
        security_opt:
          - "no-new-privileges=true"
          - "seccomp=/home/o$$p: x/.claude-bottle/state/dev-ab1cd/seccomp.json"
        pids_limit: 128
        mem_limit: "512m"
        ulimits:
          core: 0
        restart: "on-failure"
        stop_signal: "SIGTERM"
        healthcheck:
          disable: true
        logging:
          driver: "json-file"
          options:
            max-file: "5"
            max-size: "20m"
    networks:
      outside:
        driver: "bridge"
        driver_opts:
          com.docker.network.bridge.enable_icc: "false"
        enable_ipv6: false
        labels:
          home: "c1a5b9e7d3f4"
    volumes:
      egress-door:
        driver: "local"
        driver_opts:
          device: "tmpfs"
          "o": "uid=65532,gid=65532,mode=0700,size=1m"
          type: "tmpfs"
        labels:
          home: "c1a5b9e7d3f4"
    "#);
}

#[test]
fn every_option_changes_only_its_own_lines() {
    let least_lines = compose(&least());
    let difference = |change: &dyn Fn(&mut Plan)| {
        let mut plan = least();
        change(&mut plan);
        let changed = compose(&plan);
        let diff = similar::TextDiff::from_lines(&least_lines, &changed);
        let lines = diff
            .iter_all_changes()
            .filter(|change| change.tag() != similar::ChangeTag::Equal);
        lines
            .map(|change| format!("{}{change}", change.tag()))
            .collect::<String>()
    };
    insta::assert_snapshot!(difference(&|plan| plan.agent.claude = Some(ClaudeLogin::OauthToken)), @r#"+      CLAUDE_CODE_OAUTH_TOKEN: "bottle-placeholder-not-a-credential""#);
    insta::assert_snapshot!(difference(&|plan| plan.agent.claude = Some(ClaudeLogin::None)), @"");
    insta::assert_snapshot!(difference(&|plan| plan.secrets = vec![secret("EGRESS_TOKEN_0")]), @"+      EGRESS_TOKEN_0: null");
    insta::assert_snapshot!(difference(&|plan| plan.identity = Identity::remapped()), @r#"
    -    user: "1000:50"
    +    user: "0:0"
    -    user: "1000:50"
    +    user: "0:0"
    -      "o": "uid=1000,gid=50,mode=0700,size=1m"
    +      "o": "uid=0,gid=0,mode=0700,size=1m"
    "#);
    insta::assert_snapshot!(difference(&|plan| {
        plan.agent.skills = vec![Skill { name: "review".parse().unwrap(), folder: "/x".into() }];
    }), @r#"
    +        source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/skills"
    +        target: "/etc/claude-bottle/skills"
    +        read_only: true
    +      - type: "bind"
    "#);
    insta::assert_snapshot!(difference(&|plan| {
        plan.agent.workspace = Some(Workspace { directory: "/src/app".into(), how: HowWorkspace::Copy, guarded: Vec::new() });
    }), @"");
    insta::assert_snapshot!(difference(&|plan| plan.supervise = true), @r#"+      - "--supervise""#);
}

#[test]
fn nothing_of_two_launches_is_shared() {
    let mut other = least();
    other.slug = "dev-zz9zz".parse().unwrap();
    let (one, other) = (compose(&least()), compose(&other));
    for line in one.lines().filter(|line| line.contains("dev-ab1cd")) {
        assert!(!other.contains(line), "{line}");
    }
    for needle in ["container_name: ", "/state/"] {
        assert!(
            one.lines()
                .filter(|line| line.contains(needle))
                .all(|line| line.contains("dev-ab1cd")),
            "{needle}"
        );
    }
}

#[test]
fn every_resource_carries_the_home() {
    let file: serde_yaml::Value = serde_yaml::from_str(&compose(&most())).unwrap();
    let hash = most().home.hash();
    for kind in ["services", "networks", "volumes"] {
        for (name, resource) in file[kind].as_mapping().unwrap() {
            assert_eq!(
                resource["labels"]["home"].as_str(),
                Some(hash.as_str()),
                "{kind} {name:?}"
            );
        }
    }
}

#[test]
fn every_container_is_confined() {
    for plan in [least(), most()] {
        let file: serde_yaml::Value = serde_yaml::from_str(&compose(&plan)).unwrap();
        for (name, service) in file["services"].as_mapping().unwrap() {
            let text = serde_yaml::to_string(service).unwrap();
            for needed in [
                "cap_drop:\n- ALL\n",
                "no-new-privileges=true",
                "seccomp=/",
                "pids_limit: ",
                "mem_limit: ",
                "pull_policy: never",
            ] {
                assert!(text.contains(needed), "{name:?} lacks {needed}");
            }
            for never in [
                "privileged: ",
                "cap_add",
                "devices",
                "ports",
                "docker.sock",
                "pid: ",
                "ipc: ",
            ] {
                assert!(!text.contains(never), "{name:?} has {never}");
            }
        }
        assert_eq!(file["services"]["agent"]["network_mode"], "none");
        assert_eq!(file["services"]["egress"]["read_only"], true);
    }
}

fn rendered(plan: &Plan) -> Vec<File> {
    let authority = Authority::mint(&plan.slug, plan.started_at).unwrap();
    files(plan, &images(), &authority).unwrap()
}

fn listing(plan: &Plan) -> String {
    let state = plan.state();
    let line = |file: &File| {
        format!(
            "{:o} {}\n",
            file.mode,
            file.path.strip_prefix(state.root()).unwrap().display()
        )
    };
    rendered(plan).iter().map(line).collect()
}

fn read(plan: &Plan, path: &Path) -> String {
    let files = rendered(plan);
    let file = files.iter().find(|file| file.path == path).unwrap();
    String::from_utf8(file.bytes.to_vec()).unwrap()
}

#[test]
fn the_files_of_a_state_directory() {
    insta::assert_snapshot!(listing(&most()), @r"
    644 metadata.json
    644 docker-compose.yml
    644 seccomp.json
    644 agent/prompt.md
    644 agent/etc/passwd
    644 agent/etc/group
    644 agent/etc/gitconfig
    644 agent/ca/ca.pem
    644 agent/ca/truststore.p12
    644 egress/config/ca.pem
    600 egress/config/ca-key.pem
    644 egress/config/routes.yaml
    644 egress/config/extra-ca.pem
    600 agent/home/.claude.json
    ");
    let folders = folders(&most());
    for file in rendered(&most()) {
        let parent = file.path.parent().unwrap().to_owned();
        assert!(
            parent == most().state().root() || folders.contains(&parent),
            "{}",
            parent.display()
        );
    }
}

#[test]
fn routes_are_written_as_the_guard_reads_them() {
    let plan = most();
    let routes = read(&plan, &plan.state().egress_config().join("routes.yaml"));
    assert_eq!(RouteTable::parse(routes.as_bytes()).unwrap(), plan.routes);
}

#[test]
fn metadata_says_what_the_launch_is() {
    let plan = most();
    insta::assert_snapshot!(read(&plan, &plan.state().metadata()), @r#"
    {
      "schema_version": 1,
      "agent_name": "dev",
      "bottle": "box",
      "cwd": "/src/app",
      "copy_cwd": false,
      "started_at": "2026-11-18T11:06:40.000Z",
      "compose_project": "claude-bottle-dev-ab1cd",
      "launch_nonce": "n-0011"
    }
    "#);
}

#[test]
fn the_agent_is_somebody_with_a_home() {
    let plan = least();
    insta::assert_snapshot!(read(&plan, &plan.state().agent_etc().join("passwd")), @r"
    agent:x:1000:50::/home/agent:/bin/sh
    root:x:0:0::/root:/bin/sh
    nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
    ");
    insta::assert_snapshot!(read(&plan, &plan.state().agent_etc().join("group")), @r"
    agent:x:50:
    root:x:0:
    nogroup:x:65534:
    ");
}

#[test]
fn claude_code_asks_nothing_on_its_first_run() {
    let plan = most();
    insta::assert_snapshot!(read(&plan, &plan.state().agent_home().join(".claude.json")), @r#"
    {
      "customApiKeyResponses": {
        "approved": [
          "der-not-a-credential"
        ]
      },
      "hasCompletedOnboarding": true,
      "projects": {
        "/workspace": {
          "hasTrustDialogAccepted": true
        }
      }
    }
    "#);
}

#[test]
fn only_egress_is_given_the_key_of_the_authority() {
    let plan = most();
    let files = rendered(&plan);
    let with_key: Vec<_> = files
        .iter()
        .filter(|file| String::from_utf8_lossy(&file.bytes).contains("PRIVATE KEY"))
        .collect();
    assert_eq!(with_key.len(), 1);
    assert_eq!(with_key[0].path, plan.state().egress_config().join("ca-key.pem"));
    assert_eq!(with_key[0].mode, 0o600);
}
