//! The git gate in the compose file: on the bottle's own network, towards the agent only its door; keys by name, never by value.

use super::super::agent_files;
use super::{Limits, bind, guard_environment, guard_image, service as common, volume};
use crate::error::Result;
use crate::images::References;
use crate::naming;
use crate::plan::{GitIdentity, Plan};
use crate::render::compose_file::{Mount, Service, Text};
use contract::gate::{GateConfig, GateRemote, Identity};
use contract::place::container;
use std::collections::BTreeMap;

/// The volume behind its front door.
pub(super) const DOOR: &str = "git-gate-door";
/// Its scratch directory: ssh's sockets and keys, on no disk.
pub(super) const SCRATCH: &str = "git-gate-scratch";

/// Where its mirrors lie in the container.
const REPOSITORIES: &str = "/var/lib/bottle/repos";
/// Where the operator's ssh-agent is in the container.
const AGENT: &str = "/run/bottle/ssh-agent";

/// git maps packs and unpacks in memory; 16 at a time, each a few processes.
const LIMITS: Limits = Limits {
    processes: 512,
    memory: "2g",
};

pub(super) fn service(plan: &Plan, images: &References) -> Result<Service> {
    let state = plan.state();
    let command = [
        "run".to_owned(),
        "--config".to_owned(),
        container::CONFIG.to_owned(),
        "--run".to_owned(),
        container::RUN.to_owned(),
        "--repos".to_owned(),
        REPOSITORIES.to_owned(),
        "--listen".to_owned(),
        format!("unix:{}/{}", container::DOOR, container::SOCKET),
    ];
    // The values of the agent's own secrets go out in no push.
    let mut environment = guard_environment(plan, "BOTTLE_ENV_SECRET_");
    environment.push(("TMPDIR".to_owned(), Some(Text::from("/tmp"))));
    let mut volumes = vec![
        bind(&state.git_gate_config(), container::CONFIG, true)?,
        bind(&state.git_gate_run(), container::RUN, false)?,
        bind(&state.git_gate_repositories(), REPOSITORIES, false)?,
        // ssh refuses a user without a line here.
        bind(&state.agent_etc().join(agent_files::PASSWD), "/etc/passwd", true)?,
        volume(DOOR, container::DOOR, false),
        volume(SCRATCH, "/tmp", false),
    ];
    for remote in &plan.git_remotes {
        match &remote.identity {
            GitIdentity::Key(name) => environment.push((name.to_string(), None)),
            GitIdentity::Agent(socket) => {
                if !volumes.iter().any(|mount| mount.target == Text::from(AGENT)) {
                    volumes.push(bind(socket, AGENT, true)?);
                }
            }
        }
    }
    Ok(Service {
        command: command.into_iter().map(Text::from).collect(),
        environment,
        networks: vec![naming::OUTSIDE],
        volumes,
        read_only: true,
        ulimits: BTreeMap::from([("core", 0), ("nofile", 4096)]),
        restart: "on-failure",
        ..common(
            plan,
            naming::GIT_GATE,
            guard_image(images, naming::GIT_GATE)?,
            &LIMITS,
        )?
    })
}

/// What the agent container gets of it.
pub(super) fn agent_mount() -> Mount {
    volume(DOOR, &format!("{}/{}", container::DOORS, naming::GIT_GATE), true)
}

/// `gate.json`, as a launch begins.
pub(in crate::render) fn config(plan: &Plan) -> GateConfig {
    let remote = |remote: &crate::plan::GitRemote| GateRemote {
        upstream: remote.upstream.clone(),
        identity: match &remote.identity {
            GitIdentity::Key(name) => Identity::Variable(name.clone()),
            GitIdentity::Agent(_) => Identity::Agent(AGENT.into()),
        },
        known_hosts: remote.known_hosts.clone(),
        policy: remote.policy.clone(),
    };
    GateConfig {
        generation: 1,
        fingerprint_key: plan.fingerprint_key.clone(),
        remotes: plan.git_remotes.iter().map(remote).collect(),
        allow: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::difference_to_least;
    use crate::plan::{GitIdentity, GitRemote};
    use crate::render::fixtures::least;
    use contract::gate::{GateConfig, GatePolicy, Identity};

    fn with_remotes() -> crate::plan::Plan {
        let mut plan = least();
        let remote = |upstream: &str, identity| GitRemote {
            upstream: upstream.parse().unwrap(),
            identity,
            known_hosts: "github.com ssh-ed25519 AAAA".to_owned(),
            policy: GatePolicy::default(),
        };
        plan.git_remotes = vec![
            remote(
                "ssh://git@github.com/acme/app.git",
                GitIdentity::Key("BOTTLE_GIT_KEY_0".parse().unwrap()),
            ),
            remote(
                "ssh://git@github.com/acme/other.git",
                GitIdentity::Agent("/run/user/1000/agent".into()),
            ),
        ];
        plan
    }

    #[test]
    fn the_gate_has_the_network_and_the_keys_and_the_agent_only_its_door() {
        insta::assert_snapshot!(difference_to_least(&with_remotes()), @r#"
        +      - "--forward"
        +      - "127.0.0.1:9418=unix:/run/bottle/doors/git-gate/door.sock"
        +      - type: "volume"
        +        source: "git-gate-door"
        +        target: "/run/bottle/doors/git-gate"
        +        read_only: true
        +  git-gate:
        +    image: "claude-bottle-git-gate:6677"
        +    pull_policy: "never"
        +    container_name: "claude-bottle-git-gate-dev-ab1cd"
        +    labels:
        +      home: "811fbd5f5a2b"
        +    command:
        +      - "run"
        +      - "--config"
        +      - "/etc/bottle/config"
        +      - "--run"
        +      - "/run/bottle/guard"
        +      - "--repos"
        +      - "/var/lib/bottle/repos"
        +      - "--listen"
        +      - "unix:/run/bottle/door/door.sock"
        +    init: false
        +    user: "1000:50"
        +    environment:
        +      BOTTLE_LAUNCH_NONCE: "n-0011"
        +      TMPDIR: "/tmp"
        +      BOTTLE_GIT_KEY_0: null
        +    networks:
        +      - "outside"
        +    volumes:
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/git-gate/config"
        +        target: "/etc/bottle/config"
        +        read_only: true
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/git-gate/run"
        +        target: "/run/bottle/guard"
        +        read_only: false
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/git-gate/repos"
        +        target: "/var/lib/bottle/repos"
        +        read_only: false
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/etc/passwd"
        +        target: "/etc/passwd"
        +        read_only: true
        +      - type: "volume"
        +        source: "git-gate-door"
        +        target: "/run/bottle/door"
        +        read_only: false
        +      - type: "volume"
        +        source: "git-gate-scratch"
        +        target: "/tmp"
        +        read_only: false
        +      - type: "bind"
        +        source: "/run/user/1000/agent"
        +        target: "/run/bottle/ssh-agent"
        +        read_only: true
        +    read_only: true
        +    cap_drop:
        +      - "ALL"
        +    security_opt:
        +      - "no-new-privileges=true"
        +      - "seccomp=/home/op/.claude-bottle/state/dev-ab1cd/seccomp.json"
        +    pids_limit: 512
        +    mem_limit: "2g"
        +    ulimits:
        +      core: 0
        +      nofile: 4096
        +    restart: "on-failure"
        +    stop_signal: "SIGTERM"
        +    healthcheck:
        +      disable: true
        +    logging:
        +      driver: "json-file"
        +      options:
        +        max-file: "5"
        +        max-size: "20m"
        +  git-gate-door:
        +    driver: "local"
        +    driver_opts:
        +      device: "tmpfs"
        +      "o": "uid=1000,gid=50,mode=0700,size=1m"
        +      type: "tmpfs"
        +    labels:
        +      home: "811fbd5f5a2b"
        +  git-gate-scratch:
        +    driver: "local"
        +    driver_opts:
        +      device: "tmpfs"
        +      "o": "uid=1000,gid=50,mode=0700,size=1m"
        +      type: "tmpfs"
        +    labels:
        +      home: "811fbd5f5a2b"
        "#);
    }

    #[test]
    fn the_gate_gets_the_values_of_the_agent_s_own_secrets_by_name() {
        let mut plan = crate::render::fixtures::most();
        plan.git_remotes = with_remotes().git_remotes;
        let images = crate::render::fixtures::images();
        let service = super::service(&plan, &images).unwrap();
        let secret = service
            .environment
            .iter()
            .find(|(name, _)| name == "BOTTLE_ENV_SECRET_0");
        assert!(matches!(secret, Some((_, None))), "by name, never by value");
    }

    #[test]
    fn the_configuration_names_keys_and_holds_none() {
        let config = super::config(&with_remotes());
        assert_eq!(GateConfig::parse(config.to_json().as_bytes()).unwrap(), config);
        assert_eq!(
            config.remotes[0].identity,
            Identity::Variable("BOTTLE_GIT_KEY_0".parse().unwrap())
        );
        assert_eq!(
            config.remotes[1].identity,
            Identity::Agent("/run/bottle/ssh-agent".into())
        );
    }
}
