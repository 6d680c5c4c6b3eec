//! Manifests: `agents/<agent>.md` and `bottles/<bottle>.md`, read whole and checked.
//!
//! A manifest that comes out of here holds no mistake that its own text could show: unknown and retired keys, two routes for one
//! host, a reserved variable. What the host has to say about it (is the variable set, is the skill there) is the plan's
//! business. All mistakes of a file are told, each with file, line and field. Nothing here reads the environment.

mod agent;
mod bottle;
mod env;
pub mod front_matter;
mod git;
pub mod nearest;
pub mod node;
mod route;
mod walk;

pub use agent::{AgentManifest, ImageChoice};
pub use bottle::{BottleManifest, Pipelock};
pub use env::{Declared, EnvEntry, RESERVED, Reserved};
pub use git::Remote;
pub use route::{DeclaredAuth, DeclaredRoute};
pub use walk::{At, Finding};

use crate::error::{Error, Kind, Result};
use crate::home::Home;
use contract::{AgentName, BottleName};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use walk::{Cursor, Findings};

/// The largest manifest that is read, in bytes: what the host reads of any file.
const LARGEST: u64 = 1024 * 1024;

/// A manifest and the file that it was read from.
#[derive(Debug, Clone)]
pub struct Manifest<T> {
    /// What it says.
    pub value: T,
    /// As messages name it: `bottles/dev.md`.
    pub shown: PathBuf,
    /// The folder that relative paths in it start from.
    pub folder: PathBuf,
}

/// What one file's front matter and body become.
pub trait Kinded: Sized {
    /// Walks the tree; `None` only if there is a finding.
    fn walk(root: &Cursor<'_>, body: String) -> Option<Self>;
}

/// Reads a manifest's bytes; `Err` holds at least one finding, in the order of lines.
pub fn parse<T: Kinded>(bytes: &[u8]) -> std::result::Result<T, Vec<Finding>> {
    let one = |found: node::Unreadable| {
        vec![Finding {
            line: found.line,
            message: found.message,
        }]
    };
    let halves = front_matter::split(bytes).map_err(one)?;
    let tree = node::parse(halves.front_matter, halves.first_line).map_err(one)?;
    let findings = Findings::default();
    let value = T::walk(&Cursor::root(&tree, &findings), halves.body);
    let found = findings.sorted();
    match value {
        Some(value) if found.is_empty() => Ok(value),
        _ => Err(found),
    }
}

/// Reads `agents/<name>.md`.
pub fn agent(home: &Home, name: &AgentName) -> Result<Manifest<AgentManifest>> {
    read(home, &home.agents(), name.as_str(), "agent")
}

/// Reads `bottles/<name>.md`.
pub fn bottle(home: &Home, name: &BottleName) -> Result<Manifest<BottleManifest>> {
    read(home, &home.bottles(), name.as_str(), "bottle")
}

/// The names of the agents that there are, sorted; a file whose name is none is left out.
pub fn agents(home: &Home) -> Result<Vec<AgentName>> {
    names(&home.agents())
}

/// The names of the bottles that there are, sorted.
pub fn bottles(home: &Home) -> Result<Vec<BottleName>> {
    names(&home.bottles())
}

/// The stems of the `.md` files in a folder, sorted; a folder that is not there holds none.
pub fn stems(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut stems = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some(stem) = name.to_string_lossy().strip_suffix(".md") {
            stems.push(stem.to_owned());
        }
    }
    stems.sort();
    Ok(stems)
}

fn names<N: FromStr>(folder: &Path) -> Result<Vec<N>> {
    Ok(stems(folder)?
        .iter()
        .filter_map(|stem| stem.parse().ok())
        .collect())
}

fn read<T: Kinded>(home: &Home, folder: &Path, name: &str, what: &str) -> Result<Manifest<T>> {
    let path = folder.join(format!("{name}.md"));
    let shown = path.strip_prefix(home.root()).unwrap_or(&path).to_path_buf();
    let bytes = match bytes_of(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(not_found(home, &shown, name, what, &stems(folder)?));
        }
        Err(error) => {
            return Err(Error::usage(format!("{}: cannot be read", shown.display())).because(error));
        }
    };
    match parse(&bytes) {
        Ok(value) => Ok(Manifest {
            value,
            shown,
            folder: folder.to_path_buf(),
        }),
        Err(found) => Err(told(&shown, &found)),
    }
}

/// Findings of one file, each as `<file>:<line>: <field>: <mistake>`.
pub fn told(shown: &Path, found: &[Finding]) -> Error {
    let line = |finding: &Finding| format!("{}:{}: {}", shown.display(), finding.line, finding.message);
    Error::several(Kind::Usage, found.iter().map(line).collect())
}

fn not_found(home: &Home, shown: &Path, name: &str, what: &str, there: &[String]) -> Error {
    if home.root().join(shown).is_symlink() {
        return Error::usage(format!("{}: this link leads to no file", shown.display()))
            .hinted("take it away, or let it lead to a manifest");
    }
    let error = Error::usage(format!(
        "no {what} `{name}`: there is no {} in {}",
        shown.display(),
        home.root().display()
    ));
    if there.is_empty() {
        return error.hinted("run `bottle init` to write a first agent and bottle");
    }
    error.hinted(nearest::suggestion(name, there.iter().map(String::as_str)))
}

/// The bytes of a regular file of at most [`LARGEST`] bytes.
fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;
    let other = |message: &str| std::io::Error::other(format!("{} {message}", path.display()));
    // Without O_NONBLOCK a FIFO in the folder would hang the program.
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(other("is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(other("has more than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
