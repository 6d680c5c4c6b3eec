//! `bottles/<bottle>.md`: what the agent may reach, with which credentials; the body is the operator's notes.

use super::Kinded;
use super::env::{self, EnvEntry};
use super::git::{self, Remote};
use super::route::{self, DeclaredRoute};
use super::walk::{At, Cursor, Retired};

/// One bottle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BottleManifest {
    /// The agent can ask for more.
    pub supervise: bool,
    /// Variables of the agent, in the order of declaration.
    pub env: Vec<EnvEntry>,
    /// Routes, in the order of declaration; one per host.
    pub routes: Vec<DeclaredRoute>,
    /// Git upstreams behind the gate.
    pub remotes: Vec<Remote>,
    /// The seat.
    pub pipelock: Pipelock,
}

/// What the manifest says of the pipelock seat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pipelock {
    /// The image of the real pipelock; `None`: our own engine.
    pub image: Option<String>,
    /// Certificate authorities trusted upstream, as written: a path.
    pub extra_ca: Option<At<String>>,
}

const KEYS: &[&str] = &["egress", "env", "git", "pipelock", "supervise"];

const RETIRED: &[Retired] = &[
    Retired {
        key: "tokens",
        instead: "give the route its credential: `egress: { routes: [{ host: api.github.com, auth: { scheme: Bearer, token_ref: GITHUB_TOKEN } }] }`",
    },
    Retired {
        key: "ssh",
        instead: "list the repository: `git: { remotes: [{ upstream: ssh://git@github.com/acme/app.git, identity_file: ~/.ssh/acme }] }`",
    },
    Retired {
        key: "cred_proxy",
        instead: "give the route its credential: `egress: { routes: [{ host: api.github.com, auth: { scheme: Bearer, token_ref: GITHUB_TOKEN } }] }`",
    },
    Retired {
        key: "egress_proxy",
        instead: "write `egress: { routes: [{ host: docs.rs }] }`",
    },
];

const EGRESS_RETIRED: &[Retired] = &[
    Retired {
        key: "allowlist",
        instead: "write each host as a route: `routes: [{ host: docs.rs }]`",
    },
    Retired {
        key: "dlp_action",
        instead: "leave it out; a finding is always blocked",
    },
];

impl Kinded for BottleManifest {
    fn walk(root: &Cursor<'_>, _notes: String) -> Option<Self> {
        let fields = root.mapping(KEYS, RETIRED)?;
        let mut bottle = Self::default();
        if let Some(cursor) = fields.get("supervise") {
            bottle.supervise = cursor.truth().unwrap_or_default();
        }
        bottle.env = fields
            .get("env")
            .map(|cursor| env::walk(&cursor))
            .unwrap_or_default();
        if let Some(egress) = fields
            .get("egress")
            .and_then(|cursor| cursor.mapping(&["routes"], EGRESS_RETIRED))
        {
            bottle.routes = egress
                .get("routes")
                .map(|cursor| route::walk(&cursor))
                .unwrap_or_default();
        }
        if let Some(git) = fields
            .get("git")
            .and_then(|cursor| cursor.mapping(&["remotes"], &[]))
        {
            bottle.remotes = git
                .get("remotes")
                .map(|cursor| git::walk(&cursor))
                .unwrap_or_default();
        }
        if let Some(cursor) = fields.get("pipelock") {
            bottle.pipelock = pipelock(&cursor);
        }
        Some(bottle)
    }
}

fn pipelock(cursor: &Cursor<'_>) -> Pipelock {
    let Some(fields) = cursor.mapping(&["engine", "extra_ca", "image"], &[]) else {
        return Pipelock::default();
    };
    if let Some(engine) = fields.get("engine")
        && let Some(text) = engine.text()
        && text != "builtin"
    {
        engine.complain("the one engine by name is `builtin`; for the real pipelock write its image: `image: ghcr.io/luckypipewrench/pipelock:2.3.0`");
    }
    let image = fields.get("image").and_then(|cursor| {
        if fields.get("engine").is_some() {
            cursor.complain("write either `engine: builtin` or `image: …`");
        }
        image(&cursor)
    });
    let extra_ca = fields.get("extra_ca").and_then(|cursor| {
        let path = cursor.text()?;
        if path.is_empty() || path.contains('\0') {
            cursor.complain("names no file");
            return None;
        }
        Some(cursor.at(path.to_owned()))
    });
    Pipelock { image, extra_ca }
}

/// `repository:tag` or `repository@sha256:digest`. A version is a must: its configuration is strict, and its rules are what is trusted.
fn image(cursor: &Cursor<'_>) -> Option<String> {
    let text = cursor.text()?;
    let charset = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"./-_:@".contains(&byte));
    let last = text.rsplit('/').next().unwrap_or_default();
    let pinned = last
        .split_once([':', '@'])
        .is_some_and(|(name, version)| !name.is_empty() && !version.is_empty() && version != "latest");
    if charset && pinned && text.len() <= 512 && text.starts_with(|first: char| first.is_ascii_alphanumeric())
    {
        return Some(text.to_owned());
    }
    cursor.complain(format!(
        "`{}` is not an image with a version; write one such as ghcr.io/luckypipewrench/pipelock:2.3.0 or …@sha256:…",
        contract::text::harmless(text)
    ));
    None
}
