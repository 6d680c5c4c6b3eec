//! The plan of one launch: everything resolved, nothing touched.
//!
//! A plan is a value. It was checked while it was made ([`Plan::make`]), so that rendering and bringing up cannot find a
//! mistake of the operator's any more. It holds the *names* of secrets; their values are in [`Secrets`], which cannot be
//! printed. What a plan refuses to do: write a file, talk to an engine, hold a value that must not be logged.

use crate::home::{Home, State};
use contract::gate::{FingerprintKey, GatePolicy, Upstream};
use contract::{
    AgentName, BottleName, EnvName, LaunchNonce, Metadata, RouteTable, SCHEMA_VERSION, SkillName, Slug,
    Timestamp,
};
use std::path::PathBuf;

mod fresh;
mod git;
mod host;
mod make;
mod routes;
mod secrets;

pub use fresh::Fresh;
pub use host::certificates;
pub use make::Request;

pub use secrets::{SecretSource, SecretValue, Secrets, Wanted};

/// One launch.
#[derive(Debug, Clone)]
pub struct Plan {
    /// This launch's own name.
    pub slug: Slug,
    /// The agent that runs.
    pub agent_name: AgentName,
    /// The bottle that it runs in.
    pub bottle_name: BottleName,
    /// The operator's folder.
    pub home: Home,
    /// This launch's own mark.
    pub launch_nonce: LaunchNonce,
    /// When it began.
    pub started_at: Timestamp,
    /// Who the containers run as.
    pub identity: Identity,
    /// The agent container.
    pub agent: Agent,
    /// The manifest's routes and the folded-in defaults, generation 1.
    pub routes: RouteTable,
    /// Every secret by name, in the order of declaration; each compose variable once.
    pub secrets: Vec<SecretSource>,
    /// Certificate authorities trusted upstream besides the public roots.
    pub extra_ca: Option<ExtraCa>,
    /// What scans the bytes on their way out.
    pub seat: Seat,
    /// Whether the agent can ask.
    pub supervise: bool,
    /// Git upstreams behind the gate.
    pub git_remotes: Vec<GitRemote>,
    /// By which the gate's findings are known again, in this bottle alone.
    pub fingerprint_key: FingerprintKey,
    /// What the operator should know before saying yes.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The compose project: `claude-bottle-<slug>`.
    pub fn compose_project(&self) -> String {
        crate::naming::project(&self.slug)
    }

    /// Where this launch's files go.
    pub fn state(&self) -> State {
        self.home.state(&self.slug)
    }

    /// What `metadata.json` says.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            schema_version: SCHEMA_VERSION,
            agent_name: self.agent_name.clone(),
            bottle: self.bottle_name.clone(),
            cwd: self
                .agent
                .workspace
                .as_ref()
                .map(|workspace| workspace.directory.clone()),
            copy_cwd: self
                .agent
                .workspace
                .as_ref()
                .is_some_and(|workspace| workspace.how == HowWorkspace::Copy),
            started_at: self.started_at,
            compose_project: self.compose_project(),
            launch_nonce: self.launch_nonce.clone(),
        }
    }
}

/// The uid and gid of every process in every container, as the containers see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Files under the state directory must be given to this uid and gid (a root operator: the process may do so).
    pub chown: bool,
}

impl Identity {
    /// The user `nobody`-like 65532 of a root operator, as distroless images number it.
    pub const UNPRIVILEGED: u32 = 65532;

    /// For an engine on this host that maps no users.
    pub fn of_operator(uid: u32, gid: u32) -> Self {
        if uid == 0 {
            Self {
                uid: Self::UNPRIVILEGED,
                gid: Self::UNPRIVILEGED,
                chown: true,
            }
        } else {
            Self {
                uid,
                gid,
                chown: false,
            }
        }
    }

    /// For a rootless or remapped engine: container uid 0 *is* the operator there.
    pub fn remapped() -> Self {
        Self {
            uid: 0,
            gid: 0,
            chown: false,
        }
    }
}

/// Whether this program is Claude Code's.
pub(crate) fn is_claude(program: &str) -> bool {
    program.rsplit('/').next() == Some("claude")
}

/// The agent container's contents.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The image that it runs in.
    pub image: AgentImage,
    /// What a session executes; the first word is the program. Claude Code's holds the prompt.
    pub command: Vec<String>,
    /// The manifest's body, handed to the agent as its instructions; empty: none.
    pub prompt: String,
    /// Copied into the agent, each with the host folder it comes from.
    pub skills: Vec<Skill>,
    /// The manifest's `env`, in the order of declaration.
    pub env: Vec<(EnvName, EnvValue)>,
    /// How Claude Code logs in; `None` for other agents.
    pub claude: Option<ClaudeLogin>,
    /// `--cwd`; without it the workspace is an empty folder of the state directory.
    pub workspace: Option<Workspace>,
}

/// Which image the agent runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentImage {
    /// Ours, with Claude Code.
    Claude,
    /// Ours, with a shell and git only.
    Small,
    /// Built from the operator's own Dockerfile, its folder being the build context.
    Dockerfile(PathBuf),
}

/// A skill and the folder that it is copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// Its name.
    pub name: SkillName,
    /// The folder.
    pub folder: PathBuf,
}

/// One value of the manifest's `env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// Written in the manifest.
    Literal(String),
    /// A secret: the compose variable ([`SecretSource::variable`]) that carries it.
    Secret(String),
}

/// How Claude Code finds itself logged in: it holds a placeholder, egress holds the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaudeLogin {
    /// The route for `api.anthropic.com` injects `x-api-key`.
    ApiKey,
    /// It injects `Authorization: Bearer`.
    OauthToken,
    /// It injects nothing; preflight warns.
    None,
}

/// The operator's directory in the bottle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// On the host, absolute and resolved.
    pub directory: PathBuf,
    /// Copied or mounted.
    pub how: HowWorkspace,
    /// What the agent may not change even where the directory is mounted, relative to it: git runs hooks, and what its
    /// configuration names, on the host.
    pub guarded: Vec<&'static str>,
}

/// How a directory comes into the bottle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowWorkspace {
    /// A copy in the state directory; the original stays as it is.
    Copy,
    /// The directory itself.
    Mount,
}

/// Certificate authorities of the operator's network, read while the plan was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraCa {
    /// Where they came from.
    pub path: PathBuf,
    /// One or more `CERTIFICATE` blocks, nothing else.
    pub pem: String,
}

/// What scans the bytes on their way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seat {
    /// Our own engine.
    Builtin,
    /// The real pipelock, in this image.
    Image(String),
}

/// A git upstream behind the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRemote {
    /// Where it is.
    pub upstream: Upstream,
    /// How the gate authenticates itself.
    pub identity: GitIdentity,
    /// Lines of a known_hosts file.
    pub known_hosts: String,
    /// What may be pushed.
    pub policy: GatePolicy,
}

/// How git-gate authenticates itself to an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitIdentity {
    /// With the private key in this compose variable ([`SecretSource::variable`]).
    Key(EnvName),
    /// With the operator's ssh-agent, at this socket on the host.
    Agent(PathBuf),
}

#[cfg(test)]
mod tests;
