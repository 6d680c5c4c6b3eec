use super::super::fixtures::{images, least, most, secret};
use super::*;
use crate::home::Home;
use crate::plan::{Identity, Skill, Workspace};

fn compose(plan: &Plan) -> String {
    render(plan, &images()).unwrap()
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

/// The lines in which a compose file differs from that of the least bottle.
fn difference(compose_file: &str) -> String {
    let least = compose(&least());
    let diff = similar::TextDiff::from_lines(least.as_str(), compose_file);
    let changes = diff
        .iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal);
    changes
        .map(|change| format!("{}{change}", change.tag()))
        .collect()
}

/// The lines in which a plan's compose file differs from that of the least bottle.
pub(super) fn difference_to_least(plan: &Plan) -> String {
    difference(&compose(plan))
}

#[test]
fn every_agent_is_given_the_table_of_variables() {
    let file: serde_yaml::Value = serde_yaml::from_str(&compose(&least())).unwrap();
    let environment = &file["services"]["agent"]["environment"];
    for variable in AGENT_VARIABLES {
        assert_eq!(
            environment[variable.name].as_str(),
            Some(variable.value.text().as_str()),
            "{}",
            variable.name
        );
    }
}

#[test]
fn the_least_bottle() {
    insta::assert_snapshot!(without_table(&compose(&least())), @r#"
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
        network_mode: "none"
        extra_hosts:
          - "egress:127.0.0.1"
          - "git-gate:127.0.0.1"
          - "supervise:127.0.0.1"
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
          - "--upstream-proxy"
          - "unix:/run/bottle/doors/pipelock/door.sock"
          - "--upstream-proxy-ca"
          - "/etc/bottle/config/pipelock-ca.pem"
        init: false
        user: "1000:50"
        environment:
          BOTTLE_LAUNCH_NONCE: "n-0011"
        network_mode: "none"
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
          - type: "volume"
            source: "pipelock-door"
            target: "/run/bottle/doors/pipelock"
            read_only: true
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
          nofile: 16384
        restart: "on-failure"
        stop_signal: "SIGTERM"
        healthcheck:
          disable: true
        logging:
          driver: "json-file"
          options:
            max-file: "5"
            max-size: "20m"
      pipelock:
        image: "claude-bottle-dlp:4455"
        pull_policy: "never"
        container_name: "claude-bottle-pipelock-dev-ab1cd"
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
            source: "/home/op/.claude-bottle/state/dev-ab1cd/pipelock/config"
            target: "/etc/bottle/config"
            read_only: true
          - type: "bind"
            source: "/home/op/.claude-bottle/state/dev-ab1cd/pipelock/run"
            target: "/run/bottle/guard"
            read_only: false
          - type: "volume"
            source: "pipelock-door"
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
          nofile: 16384
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
      pipelock-door:
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
    insta::assert_snapshot!(difference(&compose(&most())), @r#"
    -    user: "1000:50"
    +    user: "65532:65532"
    +      ANTHROPIC_API_KEY: "bottle-placeholder-not-a-credential"
    +      PRICE: "5$$ $${HOME} $$$$"
    +      DATE: "2001-01-01"
    +      EMPTY: ""
    +      LINES: "a\n\"b\"\u2028"
    +      DB_PASSWORD: "${BOTTLE_ENV_SECRET_0-}"
    -        source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/workspace"
    +        source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/skills"
    +        target: "/home/agent/.claude/skills"
    +        read_only: true
    +      - type: "bind"
    +        source: "/src/app"
    +      - type: "bind"
    +        source: "/src/app/.git/hooks"
    +        target: "/workspace/.git/hooks"
    +        read_only: true
    +      - type: "bind"
    +        source: "/src/app/.git/config"
    +        target: "/workspace/.git/config"
    +        read_only: true
    -    user: "1000:50"
    +    user: "65532:65532"
    +      EGRESS_TOKEN_0: null
    +      EGRESS_TOKEN_1: null
    -    user: "1000:50"
    +    user: "65532:65532"
    +      BOTTLE_ENV_SECRET_0: null
    -      "o": "uid=1000,gid=50,mode=0700,size=1m"
    +      "o": "uid=65532,gid=65532,mode=0700,size=1m"
    -      "o": "uid=1000,gid=50,mode=0700,size=1m"
    +      "o": "uid=65532,gid=65532,mode=0700,size=1m"
    "#);
}

#[test]
fn every_option_changes_only_its_own_lines() {
    let difference = |change: &dyn Fn(&mut Plan)| {
        let mut plan = least();
        change(&mut plan);
        difference(&compose(&plan))
    };
    insta::assert_snapshot!(difference(&|plan| plan.agent.claude = Some(ClaudeLogin::OauthToken)), @r#"+      CLAUDE_CODE_OAUTH_TOKEN: "bottle-placeholder-not-a-credential""#);
    insta::assert_snapshot!(difference(&|plan| plan.agent.claude = Some(ClaudeLogin::None)), @"");
    insta::assert_snapshot!(difference(&|plan| plan.secrets = vec![secret("EGRESS_TOKEN_0")]), @"+      EGRESS_TOKEN_0: null");
    insta::assert_snapshot!(difference(&|plan| plan.identity = Identity::remapped()), @r#"
    -    user: "1000:50"
    +    user: "0:0"
    -    user: "1000:50"
    +    user: "0:0"
    -    user: "1000:50"
    +    user: "0:0"
    -      "o": "uid=1000,gid=50,mode=0700,size=1m"
    +      "o": "uid=0,gid=0,mode=0700,size=1m"
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
    let image = "ghcr.io/luckypipewrench/pipelock:2.3.0".to_owned();
    insta::assert_snapshot!(difference(&move |plan| plan.seat = crate::plan::Seat::Image(image.clone())), @r#"
    -    image: "claude-bottle-dlp:4455"
    -    pull_policy: "never"
    +    image: "ghcr.io/luckypipewrench/pipelock:2.3.0"
    +    pull_policy: "missing"
    -      - "--config"
    -      - "/etc/bottle/config"
    -      - "--run"
    -      - "/run/bottle/guard"
    -      - "--listen"
    -      - "unix:/run/bottle/door/door.sock"
    +      - "-c"
    +      - "/etc/bottle/config/pipelock.yaml"
    +      - "-l"
    +      - "127.0.0.1:8888"
    +    read_only: true
    +    cap_drop:
    +      - "ALL"
    +    security_opt:
    +      - "no-new-privileges=true"
    +      - "seccomp=/home/op/.claude-bottle/state/dev-ab1cd/seccomp.json"
    +    pids_limit: 128
    +    mem_limit: "512m"
    +    ulimits:
    +      core: 0
    +      nofile: 16384
    +    restart: "on-failure"
    +    stop_signal: "SIGTERM"
    +    healthcheck:
    +      disable: true
    +    logging:
    +      driver: "json-file"
    +      options:
    +        max-file: "5"
    +        max-size: "20m"
    +  pipelock-shim:
    +    image: "claude-bottle-egress:2233"
    +    pull_policy: "never"
    +    container_name: "claude-bottle-pipelock-shim-dev-ab1cd"
    +    labels:
    +      home: "811fbd5f5a2b"
    +    entrypoint:
    +      - "/run/bottle/bin/shim"
    +      - "--forward"
    +      - "unix:/run/bottle/door/door.sock=127.0.0.1:8888"
    +    init: false
    +    user: "1000:50"
    +    environment: {}
    +    network_mode: "service:pipelock"
    +    volumes:
    -        source: "/home/op/.claude-bottle/state/dev-ab1cd/pipelock/run"
    -        target: "/run/bottle/guard"
    -        read_only: false
    +        source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/bin/shim"
    +        target: "/run/bottle/bin/shim"
    +        read_only: true
    "#);
}

#[test]
fn no_path_is_read_as_a_reference_or_cut_at_a_colon() {
    let mut plan = least();
    plan.home = Home::at("/home/o$p: {x}\"/.claude-bottle".into());
    let text = compose(&plan);
    assert!(!text.replace("$$", "").contains('$'));
    let file: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let source = file["services"]["egress"]["volumes"][0]["source"]
        .as_str()
        .unwrap();
    assert_eq!(
        source.replace("$$", "$"),
        plan.state().egress_config().to_str().unwrap()
    );
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
    let mut supervised = least();
    supervised.supervise = true;
    for plan in [least(), most(), supervised] {
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
