//! `docker-compose.yml` of one launch: who may do what, and who reaches whom.
//!
//! The agent has no network; egress has the bottle's one bridge and no capability. Both run as the operator, who is nobody
//! special in there. Neither waits for the other to start: the shim connects when the agent does, and the launcher lets nobody in
//! before egress has acknowledged its routes (measured: a quarter of a second less).

use super::compose_file::{ComposeFile, Logging, Mount, Network, NoHealthcheck, Service, Text, Volume};
mod git_gate;
mod supervise;

pub(super) use git_gate::config as git_gate_config;

use super::inside;
use crate::agent_environment::AGENT_VARIABLES;
use crate::error::{Doing as _, Error, Result};
use crate::images::References;
use crate::naming;
use crate::plan::{ClaudeLogin, EnvValue, HowWorkspace, Plan};
use contract::PLACEHOLDER_CREDENTIAL;
use contract::place::container;
use std::collections::BTreeMap;
use std::path::Path;

/// The volume behind the front door of egress.
pub const EGRESS_DOOR: &str = "egress-door";

/// What a container may use. Not a promise to it, but a bound on the harm that a runaway process does to the host.
struct Limits {
    processes: u32,
    memory: &'static str,
}

/// A guard that serves one agent has a handful of threads and holds no body whole (measured: 15 MB with 64 MiB bodies).
const GUARD_LIMITS: Limits = Limits {
    processes: 128,
    memory: "512m",
};
/// A parallel build starts hundreds of processes; 8 GiB is what a developer's machine can spare.
const AGENT_LIMITS: Limits = Limits {
    processes: 4096,
    memory: "8g",
};

/// The compose file's text.
pub(super) fn render(plan: &Plan, images: &References) -> Result<String> {
    let mut file = ComposeFile {
        services: BTreeMap::from([
            (naming::AGENT, agent(plan, images)?),
            (naming::EGRESS, egress(plan, images)?),
        ]),
        networks: BTreeMap::from([(naming::OUTSIDE, outside(plan))]),
        volumes: BTreeMap::from([(EGRESS_DOOR, door(plan))]),
    };
    if plan.supervise {
        file.services
            .insert(naming::SUPERVISE, supervise::service(plan, images)?);
        file.volumes.insert(supervise::DOOR, door(plan));
    }
    if !plan.git_remotes.is_empty() {
        file.services
            .insert(naming::GIT_GATE, git_gate::service(plan, images)?);
        file.volumes.insert(git_gate::DOOR, door(plan));
        file.volumes.insert(git_gate::SCRATCH, door(plan));
    }
    let value = serde_yaml::to_value(&file).doing(|| "the compose file cannot be written".to_owned())?;
    Ok(super::yaml::document(&value))
}

fn egress(plan: &Plan, images: &References) -> Result<Service> {
    let state = plan.state();
    let command = [
        "run".to_owned(),
        "--config".to_owned(),
        container::CONFIG.to_owned(),
        "--run".to_owned(),
        container::RUN.to_owned(),
        "--listen".to_owned(),
        format!("unix:{}/{}", container::DOOR, container::SOCKET),
    ];
    let mut command: Vec<Text> = command.into_iter().map(Text::from).collect();
    if plan.supervise {
        command.push("--supervise".into());
    }
    let mut environment = vec![(
        "BOTTLE_LAUNCH_NONCE".to_owned(),
        Some(Text::from(plan.launch_nonce.as_str())),
    )];
    let slots = plan
        .secrets
        .iter()
        .map(|source| &source.variable)
        .filter(|variable| variable.starts_with("EGRESS_TOKEN_"));
    environment.extend(slots.map(|slot| (slot.clone(), None)));
    Ok(Service {
        command,
        environment,
        networks: vec![naming::OUTSIDE],
        volumes: vec![
            bind(&state.egress_config(), container::CONFIG, true)?,
            bind(&state.egress_run(), container::RUN, false)?,
            volume(EGRESS_DOOR, container::DOOR, false),
        ],
        read_only: true,
        // Four for each of egress' 1024 agent connections, and room; engines without a hard limit of their own differ.
        ulimits: BTreeMap::from([("core", 0), ("nofile", 16384)]),
        restart: "on-failure",
        ..service(
            plan,
            naming::EGRESS,
            guard_image(images, naming::EGRESS)?,
            &GUARD_LIMITS,
        )?
    })
}

/// What the shim is told: a loopback port of the agent container, and the front door behind it.
fn forward(port: u16, guard: &str) -> [Text; 2] {
    let door = format!(
        "127.0.0.1:{port}=unix:{}/{guard}/{}",
        container::DOORS,
        container::SOCKET
    );
    ["--forward".into(), door.into()]
}

fn agent(plan: &Plan, images: &References) -> Result<Service> {
    let mut entrypoint = vec![inside::SHIM.into()];
    entrypoint.extend(forward(container::EGRESS_PORT, naming::EGRESS));
    if !plan.git_remotes.is_empty() {
        entrypoint.extend(forward(container::GIT_GATE_PORT, naming::GIT_GATE));
    }
    if plan.supervise {
        entrypoint.extend(forward(container::SUPERVISE_PORT, naming::SUPERVISE));
    }
    Ok(Service {
        entrypoint,
        working_dir: Some(inside::WORKSPACE.into()),
        environment: agent_environment(plan),
        network_mode: Some("none"),
        extra_hosts: ["egress", "git-gate", "supervise"]
            .map(|guard| Text::from(format!("{guard}:127.0.0.1")))
            .into(),
        volumes: agent_mounts(plan)?,
        restart: "no",
        ..service(plan, naming::AGENT, &images.agent, &AGENT_LIMITS)?
    })
}

fn guard_image<'i>(images: &'i References, guard: &str) -> Result<&'i str> {
    images
        .guard(guard)
        .ok_or_else(|| Error::failed(format!("there is no image for {guard}")))
}

/// What every container has in common.
fn service(plan: &Plan, name: &'static str, image: &str, limits: &Limits) -> Result<Service> {
    let profile = plan.state().seccomp();
    let seccomp = utf8(&profile)?;
    Ok(Service {
        image: image.into(),
        pull_policy: "never",
        container_name: naming::container(&plan.slug, name).into(),
        labels: labels(plan),
        entrypoint: Vec::new(),
        command: Vec::new(),
        init: false,
        user: format!("{}:{}", plan.identity.uid, plan.identity.gid).into(),
        working_dir: None,
        environment: Vec::new(),
        network_mode: None,
        networks: Vec::new(),
        extra_hosts: Vec::new(),
        volumes: Vec::new(),
        read_only: false,
        cap_drop: ["ALL"],
        security_opt: vec![
            "no-new-privileges=true".into(),
            format!("seccomp={seccomp}").into(),
        ],
        pids_limit: limits.processes,
        mem_limit: limits.memory,
        ulimits: BTreeMap::from([("core", 0)]),
        restart: "no",
        stop_signal: "SIGTERM",
        healthcheck: NoHealthcheck { disable: true },
        logging: Logging {
            driver: "json-file",
            options: BTreeMap::from([("max-size", "20m"), ("max-file", "5")]),
        },
    })
}

/// The launcher's variables, the login placeholder, then the manifest's own; the manifest's names were checked against the rest.
fn agent_environment(plan: &Plan) -> Vec<(String, Option<Text>)> {
    let literal = |name: &str, value: &str| (name.to_owned(), Some(Text::from(value)));
    let mut environment = vec![
        literal("HOME", inside::HOME),
        literal("USER", inside::USER),
        literal("LOGNAME", inside::USER),
        literal("BOTTLE_PROMPT", inside::PROMPT),
    ];
    if plan.supervise {
        environment.push(literal("BOTTLE_MCP_CONFIG", inside::MCP));
    }
    environment.extend(
        AGENT_VARIABLES
            .iter()
            .map(|variable| literal(variable.name, &variable.value.text())),
    );
    match plan.agent.claude {
        Some(ClaudeLogin::ApiKey) => environment.push(literal("ANTHROPIC_API_KEY", PLACEHOLDER_CREDENTIAL)),
        Some(ClaudeLogin::OauthToken) => {
            environment.push(literal("CLAUDE_CODE_OAUTH_TOKEN", PLACEHOLDER_CREDENTIAL))
        }
        Some(ClaudeLogin::None) | None => {}
    }
    let own = plan.agent.env.iter().map(|(name, value)| {
        let value = match value {
            EnvValue::Literal(text) => Text::from(text.as_str()),
            EnvValue::Secret(variable) => Text::Variable(variable.clone()),
        };
        (name.to_string(), Some(value))
    });
    environment.extend(own);
    environment
}

fn agent_mounts(plan: &Plan) -> Result<Vec<Mount>> {
    let state = plan.state();
    let etc = state.agent_etc();
    let mut mounts = vec![
        volume(
            EGRESS_DOOR,
            &format!("{}/{}", container::DOORS, naming::EGRESS),
            true,
        ),
        bind(&state.agent_bin(), inside::BIN, true)?,
        bind(&state.agent_ca(), inside::CA, true)?,
        bind(
            &state.agent_ca().join(super::agent_files::CA_PEM),
            inside::SYSTEM_CA,
            true,
        )?,
        bind(&etc.join(super::agent_files::PASSWD), "/etc/passwd", true)?,
        bind(&etc.join(super::agent_files::GROUP), "/etc/group", true)?,
        bind(&etc.join(super::agent_files::GITCONFIG), "/etc/gitconfig", true)?,
        bind(&state.prompt(), inside::PROMPT, true)?,
        bind(&state.agent_home(), inside::HOME, false)?,
    ];
    if plan.supervise {
        mounts.extend(supervise::agent_mounts(&state)?);
    }
    if !plan.git_remotes.is_empty() {
        mounts.push(git_gate::agent_mount());
    }
    if !plan.agent.skills.is_empty() {
        mounts.push(bind(&state.skills(), inside::skills(plan), true)?);
    }
    match &plan.agent.workspace {
        Some(workspace) if workspace.how == HowWorkspace::Mount => {
            mounts.push(bind(&workspace.directory, inside::WORKSPACE, false)?);
            for guarded in &workspace.guarded {
                let target = format!("{}/{guarded}", inside::WORKSPACE);
                mounts.push(bind(&workspace.directory.join(guarded), &target, true)?);
            }
        }
        Some(_) | None => mounts.push(bind(&state.workspace(), inside::WORKSPACE, false)?),
    }
    Ok(mounts)
}

fn outside(plan: &Plan) -> Network {
    Network {
        driver: "bridge",
        // Containers on it have nothing to say to each other: guards meet over sockets.
        driver_opts: BTreeMap::from([("com.docker.network.bridge.enable_icc", "false")]),
        enable_ipv6: false,
        labels: labels(plan),
    }
}

fn door(plan: &Plan) -> Volume {
    let identity = plan.identity;
    let options = format!("uid={},gid={},mode=0700,size=1m", identity.uid, identity.gid);
    Volume {
        driver: "local",
        driver_opts: BTreeMap::from([
            ("type", "tmpfs".into()),
            ("device", "tmpfs".into()),
            ("o", options.into()),
        ]),
        labels: labels(plan),
    }
}

fn labels(plan: &Plan) -> BTreeMap<&'static str, Text> {
    BTreeMap::from([(naming::HOME_LABEL, plan.home.hash().into())])
}

fn bind(source: &Path, target: &str, read_only: bool) -> Result<Mount> {
    Ok(Mount {
        kind: "bind",
        source: utf8(source)?.into(),
        target: target.into(),
        read_only,
    })
}

fn volume(source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        kind: "volume",
        source: source.into(),
        target: target.into(),
        read_only,
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::usage(format!(
            "the path {} is not UTF-8, which compose needs",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests;
