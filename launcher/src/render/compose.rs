//! `docker-compose.yml` of one launch: who may do what, and who reaches whom.
//!
//! The agent has no network, and neither has egress, which reads the agent's bytes and holds the credentials: its one way out is the
//! socket of the pipelock seat. The seat is on the bottle's one bridge. All run as the operator, who is nobody special in there,
//! without a capability. None waits for another to start: whoever needs a socket connects when it is asked something, and the
//! launcher lets nobody in before the guards have acknowledged their files (measured: a quarter of a second less).

use super::compose_file::{ComposeFile, Logging, Mount, Network, NoHealthcheck, Service, Text, Volume};
mod git_gate;
mod supervise;

pub(super) use git_gate::config as git_gate_config;

use super::inside;
use crate::agent_environment::AGENT_VARIABLES;
use crate::error::{Doing as _, Error, Result};
use crate::images::References;
use crate::naming;
use crate::plan::{ClaudeLogin, EnvValue, HowWorkspace, Plan, Seat};
use contract::PLACEHOLDER_CREDENTIAL;
use contract::place::{config, container};
use std::collections::BTreeMap;
use std::path::Path;

/// The volume behind the front door of egress.
pub const EGRESS_DOOR: &str = "egress-door";
/// The volume behind the front door of the pipelock seat.
pub const PIPELOCK_DOOR: &str = "pipelock-door";

/// Where the real pipelock listens, in a network namespace that it shares with its shim alone.
const PIPELOCK_PORT: &str = "127.0.0.1:8888";

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
    let mut services = BTreeMap::from([
        (naming::AGENT, agent(plan, images)?),
        (naming::EGRESS, egress(plan, images)?),
    ]);
    services.extend(seat(plan, images)?);
    let mut file = ComposeFile {
        services,
        networks: BTreeMap::from([(naming::OUTSIDE, outside(plan))]),
        volumes: BTreeMap::from([(EGRESS_DOOR, door(plan)), (PIPELOCK_DOOR, door(plan))]),
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

/// What every guard of ours is told: its folders and its door.
fn guard_command() -> Vec<Text> {
    let command = [
        "run".to_owned(),
        "--config".to_owned(),
        container::CONFIG.to_owned(),
        "--run".to_owned(),
        container::RUN.to_owned(),
        "--listen".to_owned(),
        format!("unix:{}/{}", container::DOOR, container::SOCKET),
    ];
    command.into_iter().map(Text::from).collect()
}

/// This launch's mark, and the secrets whose variables begin with `prefix`, by name.
fn guard_environment(plan: &Plan, prefix: &str) -> Vec<(String, Option<Text>)> {
    let mut environment = vec![(
        "BOTTLE_LAUNCH_NONCE".to_owned(),
        Some(Text::from(plan.launch_nonce.as_str())),
    )];
    let variables = plan.secrets.iter().map(|source| &source.variable);
    let wanted = variables.filter(|variable| variable.starts_with(prefix));
    environment.extend(wanted.map(|variable| (variable.clone(), None)));
    environment
}

fn egress(plan: &Plan, images: &References) -> Result<Service> {
    let state = plan.state();
    let mut command = guard_command();
    let seat = format!(
        "unix:{}/{}/{}",
        container::DOORS,
        naming::PIPELOCK,
        container::SOCKET
    );
    let authority = format!("{}/{}", container::CONFIG, config::SEAT_CA);
    command.extend(["--upstream-proxy".into(), seat.into()]);
    command.extend(["--upstream-proxy-ca".into(), authority.into()]);
    if plan.supervise {
        command.push("--supervise".into());
    }
    Ok(Service {
        command,
        environment: guard_environment(plan, "EGRESS_TOKEN_"),
        network_mode: Some("none"),
        volumes: vec![
            bind(&state.egress_config(), container::CONFIG, true)?,
            bind(&state.egress_run(), container::RUN, false)?,
            volume(EGRESS_DOOR, container::DOOR, false),
            volume(
                PIPELOCK_DOOR,
                &format!("{}/{}", container::DOORS, naming::PIPELOCK),
                true,
            ),
        ],
        ..proxy(plan, naming::EGRESS, guard_image(images, naming::EGRESS)?)?
    })
}

/// Whoever sits in the seat: our engine by itself, or the real pipelock with a shim that offers its port as the socket.
fn seat(plan: &Plan, images: &References) -> Result<Vec<(&'static str, Service)>> {
    let state = plan.state();
    // The values of the agent's own secrets are findings in whatever leaves.
    let environment = guard_environment(plan, "BOTTLE_ENV_SECRET_");
    let config = bind(&state.pipelock_config(), container::CONFIG, true)?;
    let door = volume(PIPELOCK_DOOR, container::DOOR, false);
    match &plan.seat {
        Seat::Builtin => {
            let mut command = guard_command();
            if plan.supervise {
                // A refusal then holds the call that asks for an exemption.
                command.push("--supervise".into());
            }
            let engine = Service {
                command,
                environment,
                networks: vec![naming::OUTSIDE],
                volumes: vec![config, bind(&state.pipelock_run(), container::RUN, false)?, door],
                ..proxy(plan, naming::PIPELOCK, guard_image(images, naming::DLP)?)?
            };
            Ok(vec![(naming::PIPELOCK, engine)])
        }
        Seat::Image(image) => {
            let file = format!("{}/{}", container::CONFIG, pipelock_config::place::PIPELOCK);
            let engine = Service {
                pull_policy: "missing",
                command: ["run", "-c", &file, "-l", PIPELOCK_PORT].map(Text::from).into(),
                environment,
                networks: vec![naming::OUTSIDE],
                volumes: vec![config],
                ..proxy(plan, naming::PIPELOCK, image)?
            };
            let forward = format!("unix:{}/{}={PIPELOCK_PORT}", container::DOOR, container::SOCKET);
            let shim = Service {
                entrypoint: vec![inside::SHIM.into(), "--forward".into(), forward.into()],
                network_mode: Some("service:pipelock"),
                volumes: vec![bind(&state.shim(), inside::SHIM, true)?, door],
                // Any image does: nothing of it is run.
                ..proxy(plan, naming::PIPELOCK_SHIM, guard_image(images, naming::EGRESS)?)?
            };
            Ok(vec![(naming::PIPELOCK, engine), (naming::PIPELOCK_SHIM, shim)])
        }
    }
}

/// A guard that forwards connections.
fn proxy(plan: &Plan, name: &'static str, image: &str) -> Result<Service> {
    Ok(Service {
        read_only: true,
        // Four for each of its 1024 connections, and room; engines without a hard limit of their own differ.
        ulimits: BTreeMap::from([("core", 0), ("nofile", 16384)]),
        restart: "on-failure",
        ..service(plan, name, image, &GUARD_LIMITS)?
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
