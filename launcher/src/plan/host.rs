//! What the host has to say about a plan: directories, files and variables that a manifest names.

use super::{ExtraCa, HowWorkspace, Identity, SecretSource, SecretValue, Skill, Wanted, Workspace};
use crate::environment::{self, Environment, Named};
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use crate::manifest::nearest::suggestion;
use crate::manifest::{AgentManifest, At, BottleManifest, Declared, EnvEntry, Manifest};
use contract::{AuthScheme, EnvName, RouteTable};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::cell::{Cell, RefCell};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The shortest credential that egress watches for in other places than its own header, in bytes.
const SHORTEST_WATCHED: usize = 12;
/// The largest file of certificate authorities that is read, in bytes.
const LARGEST_CA: u64 = 1024 * 1024;
/// Programs that git runs.
const GIT_HOOKS: &str = ".git/hooks";

/// Everything that stands against a launch, told at once.
#[derive(Default)]
pub(super) struct Problems {
    found: RefCell<Vec<String>>,
    hint: Cell<Option<&'static str>>,
}

impl Problems {
    pub(super) fn add(&self, problem: String) {
        self.found.borrow_mut().push(problem);
    }

    pub(super) fn extend(&self, problems: Vec<String>) {
        self.found.borrow_mut().extend(problems);
    }

    /// What to do about one kind of problem, told once behind them all.
    pub(super) fn hint(&self, hint: &'static str) {
        self.hint.set(Some(hint));
    }

    pub(super) fn into_result(self) -> Result<()> {
        let found = self.found.into_inner();
        if found.is_empty() {
            return Ok(());
        }
        let error = Error::several(Kind::Usage, found);
        Err(match self.hint.get() {
            Some(hint) => error.hinted(hint),
            None => error,
        })
    }
}

/// The place in a manifest that wants something.
pub(super) fn wanted<M, T>(manifest: &Manifest<M>, at: &At<T>) -> Wanted {
    Wanted {
        file: manifest.shown.clone(),
        line: at.line,
        field: at.field.clone(),
    }
}

/// The directory to work in: there, readable, and not one that holds the operator's secrets.
pub(super) fn workspace(
    path: &Path,
    mount: bool,
    home: &Home,
    environment: &Environment,
) -> std::result::Result<Workspace, String> {
    let directory = fs_err::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("--cwd: there is no directory {}", path.display()),
        _ => format!("--cwd: {error}"),
    })?;
    let shown = directory.display();
    if directory.to_str().is_none() {
        return Err(format!(
            "--cwd: the path {shown} is not UTF-8, which compose needs; give the directory another name"
        ));
    }
    if !directory.is_dir() {
        return Err(format!("--cwd: {shown} is not a directory"));
    }
    let operators = environment.get(environment::HOME).map(PathBuf::from);
    let operators = operators.and_then(|path| fs_err::canonicalize(path).ok());
    let forbidden = [
        (operators.as_deref(), "your home folder, with your keys in it"),
        (Some(home.root()), "bottle's own folder"),
    ];
    for (inside, what) in forbidden {
        if inside.is_some_and(|inside| inside.starts_with(&directory)) {
            return Err(format!(
                "--cwd: {shown} is or holds {what}; name the project's own directory"
            ));
        }
    }
    let own = [
        home.agents(),
        home.bottles(),
        home.states(),
        home.root().join("audit"),
        home.root().join("events"),
    ];
    if own.iter().any(|own| directory.starts_with(own)) {
        return Err(format!(
            "--cwd: {shown} is bottle's own; name the project's own directory"
        ));
    }
    if mount && let Some(socket) = socket_in(&directory) {
        return Err(format!(
            "--mount: {} is a socket; whoever listens there could be reached past every guard. Give the agent a copy (leave out --mount), or take it away",
            socket.display()
        ));
    }
    Ok(Workspace {
        guarded: if mount { guarded(&directory) } else { Vec::new() },
        directory,
        how: if mount {
            HowWorkspace::Mount
        } else {
            HowWorkspace::Copy
        },
    })
}

/// How many entries of a mounted directory are looked at; a repository with its dependencies has some 100,000.
const MOST_ENTRIES: usize = 1_000_000;

/// The first socket in a directory. What another program makes there later is not seen: preflight and README say so.
fn socket_in(directory: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::FileTypeExt as _;
    let mut folders = vec![directory.to_owned()];
    let mut left = MOST_ENTRIES;
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).into_iter().flatten().flatten() {
            left = left.checked_sub(1)?;
            match entry.file_type() {
                Ok(kind) if kind.is_socket() => return Some(entry.path()),
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => {}
            }
        }
    }
    None
}

/// What git runs on the host, where the directory is a repository of its own.
fn guarded(directory: &Path) -> Vec<&'static str> {
    let is = |path: &str, wanted: fn(&std::fs::Metadata) -> bool| {
        fs_err::symlink_metadata(directory.join(path)).is_ok_and(|metadata| wanted(&metadata))
    };
    if !is(".git", std::fs::Metadata::is_dir) {
        return Vec::new();
    }
    let mut guarded = Vec::new();
    // Where there is no such folder yet, one is made for the guard's sake.
    if is(GIT_HOOKS, std::fs::Metadata::is_dir) || !directory.join(GIT_HOOKS).exists() {
        guarded.push(GIT_HOOKS);
    }
    if is(".git/config", std::fs::Metadata::is_file) {
        guarded.push(".git/config");
    }
    guarded
}

/// What to mind when the agent works in the operator's own directory.
pub(super) fn workspace_warnings(workspace: Option<&Workspace>, identity: Identity) -> Vec<String> {
    let Some(Workspace {
        directory,
        how: HowWorkspace::Mount,
        ..
    }) = workspace
    else {
        return Vec::new();
    };
    let shown = directory.display();
    let mut warnings = vec![format!(
        "the agent changes {shown} itself, and what it leaves there can run code as you: before you run git, a build or an editor there, look at .git (hooks, commondir, config), build scripts and editor tasks. A copy (without --mount) has none of this"
    )];
    if identity.chown {
        warnings.push(format!(
            "the agent runs as uid {}, which may not be able to write to {shown}",
            identity.uid
        ));
    }
    warnings
}

/// The manifest's skills; each must be a folder.
pub(super) fn skills(home: &Home, agent: &Manifest<AgentManifest>, problems: &Problems) -> Vec<Skill> {
    let mut skills = Vec::new();
    for at in &agent.value.skills {
        let folder = home.skill(&at.value);
        if folder.is_dir() {
            skills.push(Skill {
                name: at.value.clone(),
                folder,
            });
        } else {
            let there = folders(&home.skills());
            let suggestion = suggestion(at.value.as_str(), there.iter().map(String::as_str));
            problems.add(
                wanted(agent, at).says(&format!("there is no folder skills/{}; {suggestion}", at.value)),
            );
        }
    }
    skills
}

fn folders(path: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The file of `pipelock.extra_ca`, as certificates only.
pub(super) fn extra_ca(
    bottle: &Manifest<BottleManifest>,
    environment: &Environment,
    problems: &Problems,
) -> Option<ExtraCa> {
    let at = bottle.value.pipelock.extra_ca.as_ref()?;
    let path = bottle.folder.join(environment.expanded(&at.value));
    match certificates(&path) {
        Ok(pem) => Some(ExtraCa { path, pem }),
        Err(problem) => {
            problems.add(wanted(bottle, at).says(&problem));
            None
        }
    }
}

/// The certificates in a PEM file, and nothing else of it.
pub fn certificates(path: &Path) -> std::result::Result<String, String> {
    let shown = path.display();
    let file = fs_err::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(format!("{shown} is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_CA)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    let mut pem = String::new();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| format!("{shown} is not PEM: {error:?}"))?;
        // A certificate is a DER SEQUENCE (RFC 5280 §4.1); egress reads the rest.
        if certificate.first() != Some(&0x30) {
            return Err(format!("{shown} holds a block that is not a certificate"));
        }
        pem.push_str(&crate::ca::pem_block("CERTIFICATE", &certificate));
    }
    if pem.is_empty() {
        return Err(format!(
            "{shown} holds no certificate (a PEM block `-----BEGIN CERTIFICATE-----`)"
        ));
    }
    Ok(pem)
}

/// Literals that read like a shell's way of naming a variable.
pub(super) fn literal_dollars(bottle: &Manifest<BottleManifest>) -> Vec<String> {
    let warning = |entry: &EnvEntry| match &entry.value.value {
        Declared::Literal(text) => {
            let name: EnvName = text.strip_prefix('$')?.parse().ok()?;
            Some(wanted(bottle, &entry.value).says(&format!(
                "the agent gets the text `${name}` as it stands; for the host variable write `${{{name}}}`"
            )))
        }
        Declared::Host(_) | Declared::Asked(_) => None,
    };
    bottle.value.env.iter().filter_map(warning).collect()
}

/// Looks at the credentials' values without keeping them: what cannot be sent is a problem, what cannot be watched a warning.
pub(super) fn credentials(
    secrets: &[SecretSource],
    table: &RouteTable,
    environment: &Environment,
    problems: &Problems,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for source in secrets {
        let mut routes = table.routes().iter().filter_map(|route| route.auth.as_ref());
        let Some(auth) = routes.find(|auth| auth.token_env.to_string() == source.variable) else {
            continue;
        };
        let SecretValue::Host(name) = &source.value else {
            continue;
        };
        let Named::Set(value) = environment.named(name) else {
            continue;
        };
        if value.chars().any(char::is_control) {
            problems.add(source.wanted.says(&format!(
                "the host variable {name} holds a line end or another control character, which no header can carry"
            )));
        } else if !value.is_empty() && value.len() < SHORTEST_WATCHED {
            warnings.push(format!(
                "the credential {name} has only {} bytes: egress watches for leaks of credentials of {SHORTEST_WATCHED} bytes and more",
                value.len()
            ));
        }
        if auth.scheme == AuthScheme::Basic && !value.contains(':') {
            warnings.push(format!(
                "the credential {name} holds no `:`; the scheme Basic wants user:password"
            ));
        }
    }
    warnings
}
