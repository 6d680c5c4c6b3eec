//! The supervise guard in the compose file: no network at all, its two directories, egress' front door to ask for the live
//! table, and its own.

use super::super::agent_files;
use super::{EGRESS_DOOR, GUARD_LIMITS, bind, guard_image, inside, service as common, volume};
use crate::error::Result;
use crate::home::State;
use crate::images::References;
use crate::naming;
use crate::plan::Plan;
use crate::render::compose_file::{Mount, Service, Text};
use contract::place::{container, queue};
use std::collections::BTreeMap;

/// The volume behind its front door.
pub(super) const DOOR: &str = "supervise-door";

pub(super) fn service(plan: &Plan, images: &References) -> Result<Service> {
    let state = plan.state();
    let egress = format!("{}/{}", container::DOORS, naming::EGRESS);
    let command = [
        "run".to_owned(),
        "--proposals".to_owned(),
        queue::PROPOSALS.to_owned(),
        "--responses".to_owned(),
        queue::RESPONSES.to_owned(),
        "--run".to_owned(),
        container::RUN.to_owned(),
        "--egress".to_owned(),
        format!("unix:{egress}/{}", container::SOCKET),
        "--listen".to_owned(),
        format!("unix:{}/{}", container::DOOR, container::SOCKET),
    ];
    let nonce = Text::from(plan.launch_nonce.as_str());
    Ok(Service {
        command: command.into_iter().map(Text::from).collect(),
        environment: vec![("BOTTLE_LAUNCH_NONCE".to_owned(), Some(nonce))],
        network_mode: Some("none"),
        volumes: vec![
            bind(&state.proposals(), queue::PROPOSALS, false)?,
            bind(&state.responses(), queue::RESPONSES, true)?,
            bind(&state.supervise_run(), container::RUN, false)?,
            volume(EGRESS_DOOR, &egress, true),
            volume(DOOR, container::DOOR, false),
        ],
        read_only: true,
        // One for each of its 512 connections, and room.
        ulimits: BTreeMap::from([("core", 0), ("nofile", 1024)]),
        restart: "on-failure",
        ..common(
            plan,
            naming::SUPERVISE,
            guard_image(images, naming::SUPERVISE)?,
            &GUARD_LIMITS,
        )?
    })
}

/// What the agent container gets of it: the door, how to call it, and what `capability-block` starts from.
pub(super) fn agent_mounts(state: &State) -> Result<[Mount; 3]> {
    Ok([
        volume(DOOR, &format!("{}/{}", container::DOORS, naming::SUPERVISE), true),
        bind(&state.agent_etc().join(agent_files::MCP), inside::MCP, true)?,
        bind(&state.current_config(), inside::CURRENT_CONFIG, true)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::tests::difference_to_least;
    use crate::render::fixtures::least;

    #[test]
    fn supervise_has_no_network_and_can_write_no_answer() {
        let mut plan = least();
        plan.supervise = true;
        insta::assert_snapshot!(difference_to_least(&plan), @r#"
        +      - "--forward"
        +      - "127.0.0.1:8931=unix:/run/bottle/doors/supervise/door.sock"
        +      BOTTLE_MCP_CONFIG: "/etc/claude-bottle/mcp.json"
        +      - type: "volume"
        +        source: "supervise-door"
        +        target: "/run/bottle/doors/supervise"
        +        read_only: true
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/agent/etc/mcp.json"
        +        target: "/etc/claude-bottle/mcp.json"
        +        read_only: true
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/supervise/current-config"
        +        target: "/etc/claude-bottle/current-config"
        +        read_only: true
        +      - type: "bind"
        +      - "--supervise"
        +      - "--supervise"
        +  supervise:
        +    image: "claude-bottle-supervise:4455"
        +    pull_policy: "never"
        +    container_name: "claude-bottle-supervise-dev-ab1cd"
        +    labels:
        +      home: "811fbd5f5a2b"
        +    command:
        +      - "run"
        +      - "--proposals"
        +      - "/run/supervise/proposals"
        +      - "--responses"
        +      - "/run/supervise/responses"
        +      - "--run"
        +      - "/run/bottle/guard"
        +      - "--egress"
        +      - "unix:/run/bottle/doors/egress/door.sock"
        +      - "--listen"
        +      - "unix:/run/bottle/door/door.sock"
        +    init: false
        +    user: "1000:50"
        +    environment:
        +      BOTTLE_LAUNCH_NONCE: "n-0011"
        +    network_mode: "none"
        +    volumes:
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/supervise/proposals"
        +        target: "/run/supervise/proposals"
        +        read_only: false
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/supervise/responses"
        +        target: "/run/supervise/responses"
        +        read_only: true
        +      - type: "bind"
        +        source: "/home/op/.claude-bottle/state/dev-ab1cd/supervise/run"
        +        target: "/run/bottle/guard"
        +        read_only: false
        +      - type: "volume"
        +        source: "egress-door"
        +        target: "/run/bottle/doors/egress"
        +        read_only: true
        +      - type: "volume"
        +        source: "supervise-door"
        +        target: "/run/bottle/door"
        +        read_only: false
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
        +      nofile: 1024
        +    restart: "on-failure"
        +    stop_signal: "SIGTERM"
        +    healthcheck:
        +      disable: true
        +    logging:
        +      driver: "json-file"
        +      options:
        +        max-file: "5"
        +        max-size: "20m"
        +  supervise-door:
        +    driver: "local"
        +    driver_opts:
        +      device: "tmpfs"
        +      "o": "uid=1000,gid=50,mode=0700,size=1m"
        +      type: "tmpfs"
        +    labels:
        +      home: "811fbd5f5a2b"
        "#);
    }
}
