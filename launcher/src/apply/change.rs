//! What would be done to a bottle's policy, as a value: it can be shown, compared with what was shown before, and performed.

use crate::error::{Error, Result};
use crate::proposals::diff;
use contract::audit::{FileChange, LastingChange};
use contract::{EnvName, Guard, HostName, Sha256Hex, TokenSlot};
use std::path::PathBuf;

/// One file, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStep {
    /// Its name in the guard's config directory.
    pub name: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes when the change was worked out.
    pub before: Vec<u8>,
    /// What it is to become.
    pub after: Vec<u8>,
}

/// One guard's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardStep {
    /// The guard.
    pub guard: Guard,
    /// Every file that it reads and that may change.
    pub files: Vec<FileStep>,
    /// Where its acknowledgement lies; a guard without one cannot be verified that way.
    pub applied: Option<PathBuf>,
    /// The hash by which it acknowledges the files after.
    pub after_sha256: Sha256Hex,
    /// The same for the files before.
    pub before_sha256: Sha256Hex,
    /// Hosts that it must admit afterwards: by them a guard without an acknowledgement is verified.
    pub probes: Vec<HostName>,
}

/// A credential that the running egress has no value for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSlot {
    /// The variable that will carry it.
    pub slot: TokenSlot,
    /// The operator's name for it.
    pub token_ref: EnvName,
}

/// Everything that one decision changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// In the order in which they are done.
    pub guards: Vec<GuardStep>,
    /// A file that no running guard reads (the stored Dockerfile).
    pub stored: Option<FileStep>,
    /// Guards that should have a part in this and that the bottle does not have.
    pub absent: Vec<Guard>,
    /// What becomes of a host's lasting route.
    pub lasting: Option<LastingChange>,
    /// For the operator: what was ignored, dropped or is in the way.
    pub notes: Vec<String>,
    /// Credentials that egress has to be made anew for.
    pub new_slots: Vec<NewSlot>,
    /// For the agent, once it is done: such as `api.github.com is live`.
    pub statement: String,
    /// What follows the time since when, such as `, until 2026-11-21T18:00:00.000Z`.
    pub until: String,
}

impl FileStep {
    /// Reads what is there.
    pub fn read(name: &'static str, path: PathBuf) -> Result<Self> {
        let before = fs_err::read(&path)?;
        Ok(Self {
            name,
            path,
            after: before.clone(),
            before,
        })
    }

    /// What is there, as text.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.before)
            .map_err(|error| Error::failed(format!("{} is not UTF-8", self.path.display())).because(error))
    }

    /// Whether it changes at all.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }
}

impl Change {
    /// A statement of what is true from this time on.
    pub fn now(&self, at: contract::Timestamp) -> String {
        match &self.stored {
            Some(_) => self.statement.clone(),
            None => format!("{} since {at}{}", self.statement, self.until),
        }
    }

    /// Says which hosts the seat is to admit afterwards.
    pub(super) fn probes(&mut self, hosts: &[HostName]) {
        for step in self
            .guards
            .iter_mut()
            .filter(|step| step.guard == Guard::Pipelock)
        {
            step.probes = hosts.to_vec();
        }
    }

    fn files(&self) -> impl Iterator<Item = &FileStep> {
        self.guards
            .iter()
            .flat_map(|step| &step.files)
            .chain(&self.stored)
    }

    /// The whole difference in what would be enforced, egress first: that is what the operator is asked about.
    pub fn diff(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut files: Vec<&FileStep> = self.files().collect();
        files.reverse();
        files
            .iter()
            .map(|file| diff::unified(file.name, &text(&file.before), &text(&file.after)))
            .collect()
    }

    /// The same for the audit, in the order in which it is done.
    pub fn changes(&self) -> Vec<FileChange> {
        self.files()
            .filter(|file| file.changes())
            .map(|file| diff::change(file.name, &file.before, &file.after))
            .collect()
    }

    /// Whether there is nothing to write.
    pub fn is_nothing(&self) -> bool {
        !self.files().any(FileStep::changes)
    }

    /// Whether what would be enforced is what somebody was shown.
    pub fn enforces_the_same(&self, shown: &Self) -> bool {
        let same = |one: &FileStep, other: &FileStep| {
            one.path == other.path && one.before == other.before && one.after == other.after
        };
        let (mine, theirs): (Vec<_>, Vec<_>) = (self.files().collect(), shown.files().collect());
        mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(one, other)| same(one, other))
    }
}
