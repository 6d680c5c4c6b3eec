//! Looks at each object that a walk meets.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use contract::DenialReason;
use contract::gate::GateFingerprint;
use git2::{ObjectType, Odb, Oid, Repository, TreeWalkMode, TreeWalkResult};

use super::{Case, keep};
use crate::push::findings::{Finding, Place, Weight};
use crate::push::scan::{Hit, PathClass, TooMuch};
use crate::push::walk::{Met, Unread, Visit};
use crate::table::Table;

/// A pointer is shorter than this (git-lfs, docs/spec.md).
const LFS_POINTER: usize = 1024;

/// The first line of an LFS pointer begins with one of these.
const LFS_VERSIONS: [&[u8]; 2] = [
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
];

/// So many entries of the upstream's trees are compared with a finding.
const COMPARED: usize = 200_000;

/// So many commits of the upstream are.
const COMPARED_COMMITS: usize = 8;

/// What was met.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) findings: Vec<Finding>,
    pub(super) more: u64,
}

pub(super) struct Looker<'a> {
    case: &'a Case,
    repository: &'a Repository,
    odb: &'a Odb<'a>,
    deadline: Instant,
    blobs: HashSet<(Oid, PathClass)>,
    names: HashSet<Vec<u8>>,
    protected: HashSet<(Vec<u8>, Oid)>,
    met: u64,
    looked: Looked,
    /// Findings in files, by index: the upstream may have them already.
    in_files: Vec<(usize, Oid, Vec<u8>)>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(case: &'a Case, repository: &'a Repository, odb: &'a Odb<'a>, began: Instant) -> Self {
        Self {
            case,
            repository,
            odb,
            deadline: began + Duration::from_secs(case.remote.settings.policy.caps.seconds),
            blobs: HashSet::new(),
            names: HashSet::new(),
            protected: HashSet::new(),
            met: 0,
            looked: Looked::default(),
            in_files: Vec::new(),
        }
    }

    /// What was found, less what the upstream has already.
    pub(super) fn finish(mut self, boundary: &[Oid]) -> Looked {
        if !self.in_files.is_empty() && !boundary.is_empty() {
            self.spare_what_is_upstream(boundary);
        }
        self.looked
    }

    fn add(&mut self, finding: Finding) -> bool {
        keep(&mut self.looked.findings, &mut self.looked.more, finding)
    }

    fn blob(&mut self, id: Oid, path: &[u8], commit: Option<Oid>) -> Result<(), Unread> {
        let class = match path.rsplit(|byte| *byte == b'/').next() {
            Some(b".gitmodules") => PathClass::Modules,
            _ => PathClass::File,
        };
        if !self.blobs.insert((id, class)) {
            return Ok(());
        }
        let unread = |error: git2::Error| Unread::Object(id, error.message().to_owned());
        let (size, kind) = self.odb.read_header(id).map_err(unread)?;
        if kind != ObjectType::Blob {
            return Err(Unread::Object(
                id,
                format!("it is a {kind} where a file should be"),
            ));
        }
        let cap = self.case.remote.settings.policy.caps.file_bytes;
        if u64::try_from(size).unwrap_or(u64::MAX) > cap {
            self.file(
                DenialReason::LimitReached,
                "caps.file_bytes",
                format!("a file of {size} bytes; at most {cap} are taken"),
                (commit, path),
            );
            return Ok(());
        }
        if let Some(hits) = self.case.scans.remembered(id, class)
            && hits.is_empty()
            && size >= LFS_POINTER
        {
            return Ok(());
        }
        let object = self.odb.read(id).map_err(unread)?;
        if object.len() < LFS_POINTER
            && is_lfs_pointer(object.data())
            && !self.case.remote.settings.policy.lfs
        {
            let at = self.looked.findings.len();
            self.file(
                DenialReason::LfsPointer,
                "policy.lfs",
                "a Git LFS pointer: its content would not pass through the gate; commit the file itself"
                    .to_owned(),
                (commit, path),
            );
            self.in_files.push((at, id, path.to_vec()));
        }
        let hits = match self
            .case
            .scans
            .object(id, class, object.data(), &self.case.table.key)
        {
            Ok(hits) => hits,
            Err(TooMuch) => {
                self.file(
                    DenialReason::LimitReached,
                    "caps.unpacked",
                    TooMuch.to_string(),
                    (commit, path),
                );
                return Ok(());
            }
        };
        let binary = object.data().iter().take(8000).any(|byte| *byte == 0);
        if hits.is_empty() {
            return Ok(());
        }
        let shown = self.case.scans.shown(path);
        for hit in hits.iter() {
            let place = Place::File {
                commit,
                path: shown.clone(),
                line: (!binary).then_some(hit.line),
            };
            let at = self.looked.findings.len();
            if self.add(secret(hit, place, &self.case.table)) {
                self.in_files.push((at, id, path.to_vec()));
            }
        }
        Ok(())
    }

    fn file(&mut self, reason: DenialReason, rule: &str, what: String, (commit, path): (Option<Oid>, &[u8])) {
        self.add(Finding {
            reason,
            rule: rule.to_owned(),
            what,
            place: Place::File {
                commit,
                path: self.case.scans.shown(path),
                line: None,
            },
            redacted: None,
            fingerprint: None,
            weight: Weight::Refuse,
        });
    }

    fn text(&mut self, id: Oid, raw: &[u8], place: impl Fn(&Hit) -> Place) -> Result<(), Unread> {
        let hits = self
            .case
            .scans
            .object(id, PathClass::Text, raw, &self.case.table.key)
            .map_err(|error| Unread::Stopped(format!("{id}: {error}")))?;
        for hit in hits.iter() {
            let finding = secret(hit, place(hit), &self.case.table);
            self.add(finding);
        }
        Ok(())
    }

    fn name(&mut self, path: &[u8], commit: Option<Oid>) -> Result<(), Unread> {
        for hit in self.case.scans.across_names(path, &self.case.table.key) {
            let before = path.get(..hit.offset).unwrap_or_default();
            let place = Place::Name {
                commit,
                folder: self.case.scans.shown(split_name(before).0),
            };
            self.add(secret(&hit, place, &self.case.table));
        }
        let (folder, name) = split_name(path);
        // Shorter than any secret.
        if name.len() < 8 || !self.names.insert(name.to_vec()) {
            return Ok(());
        }
        let hits = self
            .case
            .scans
            .text(PathClass::Text, name, &self.case.table.key)
            .map_err(|error| Unread::Stopped(error.to_string()))?;
        for hit in hits {
            let place = Place::Name {
                commit,
                folder: self.case.scans.shown(folder),
            };
            self.add(secret(&hit, place, &self.case.table));
        }
        Ok(())
    }

    fn submodule(&mut self, id: Oid, path: &[u8], commit: Option<Oid>) {
        let text = [id.as_bytes(), b"\n", id.to_string().as_bytes()].concat();
        for hit in self.case.scans.values(&text, &self.case.table.key) {
            let place = Place::File {
                commit,
                path: self.case.scans.shown(path),
                line: None,
            };
            self.add(secret(&hit, place, &self.case.table));
        }
    }

    fn changed(&mut self, path: &[u8], commit: Oid) {
        let Some(pattern) = self.case.remote.settings.policy.protects(path) else {
            return;
        };
        if self.protected.insert((path.to_vec(), commit)) {
            let what = format!(
                "no push may change {pattern}: what is there may run with the upstream's own rights, or says who must agree"
            );
            self.file(
                DenialReason::PathProtected,
                "policy.protected_paths",
                what,
                (Some(commit), path),
            );
        }
    }

    /// What stands in the upstream under the same path, or is there as the very same object, is no news to it.
    fn spare_what_is_upstream(&mut self, boundary: &[Oid]) {
        let boundary = boundary.get(..COMPARED_COMMITS).unwrap_or(boundary);
        let there = self.blobs_of(boundary);
        for (at, id, path) in std::mem::take(&mut self.in_files) {
            let Some(finding) = self.looked.findings.get(at) else {
                continue;
            };
            let same_value = |fingerprint: &GateFingerprint| {
                boundary
                    .iter()
                    .any(|commit| self.holds(*commit, &path, fingerprint))
            };
            let spared = there.contains(&id) || finding.fingerprint.as_ref().is_some_and(same_value);
            if spared && let Some(finding) = self.looked.findings.get_mut(at) {
                finding.weight = Weight::Warn;
                finding.what.push_str(" (the upstream has it already)");
            }
        }
    }

    fn blobs_of(&self, commits: &[Oid]) -> HashSet<Oid> {
        let (mut blobs, mut compared) = (HashSet::new(), 0);
        for commit in commits {
            let Ok(tree) = self
                .repository
                .find_commit(*commit)
                .and_then(|commit| commit.tree())
            else {
                continue;
            };
            // An unreadable tree spares nothing.
            let _ = tree.walk(TreeWalkMode::PreOrder, |_, entry| {
                // A submodule may name any id, without its content being there.
                if entry.kind() == Some(ObjectType::Blob) {
                    blobs.insert(entry.id());
                }
                compared += 1;
                if compared < COMPARED {
                    TreeWalkResult::Ok
                } else {
                    TreeWalkResult::Abort
                }
            });
        }
        blobs
    }

    fn holds(&self, commit: Oid, path: &[u8], fingerprint: &GateFingerprint) -> bool {
        let blob = self.repository.find_commit(commit).and_then(|commit| {
            let path = std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(
                path,
            ));
            commit.tree()?.get_path(path)
        });
        let class = if path.ends_with(b".gitmodules") {
            PathClass::Modules
        } else {
            PathClass::File
        };
        let cap = self.case.remote.settings.policy.caps.file_bytes;
        blob.ok()
            .filter(|entry| entry.kind() == Some(ObjectType::Blob))
            .map(|entry| entry.id())
            .filter(|id| {
                self.odb
                    .read_header(*id)
                    .is_ok_and(|(size, _)| u64::try_from(size).is_ok_and(|size| size <= cap))
            })
            .and_then(|id| Some((id, self.odb.read(id).ok()?)))
            .and_then(|(id, object)| {
                self.case
                    .scans
                    .object(id, class, object.data(), &self.case.table.key)
                    .ok()
            })
            .is_some_and(|hits| {
                hits.iter()
                    .any(|hit| hit.fingerprint.as_ref() == Some(fingerprint))
            })
    }
}

impl Visit for Looker<'_> {
    fn meet(&mut self, met: &Met<'_>) -> Result<(), Unread> {
        self.met += 1;
        let caps = &self.case.remote.settings.policy.caps;
        // Names and changes are not objects, but no cheaper.
        if self.met > caps.objects.saturating_mul(4) || self.blobs.len() as u64 > caps.objects {
            return Err(Unread::Stopped(format!("more than {} new objects", caps.objects)));
        }
        if Instant::now() > self.deadline {
            return Err(Unread::Stopped(format!("it took longer than {} s", caps.seconds)));
        }
        if self.case.abandoned.load(Ordering::Relaxed) {
            return Err(Unread::Stopped("the client went away".to_owned()));
        }
        match *met {
            Met::Blob { id, path, commit } => self.blob(id, path, commit),
            Met::Commit { id, raw } => {
                let head = head_of(raw);
                self.text(id, raw, |hit| {
                    if hit.offset < head {
                        Place::CommitHead(id)
                    } else {
                        let before = raw.get(..head).unwrap_or_default();
                        let lines = before.iter().filter(|byte| **byte == b'\n').count();
                        Place::CommitMessage(id, hit.line.saturating_sub(lines))
                    }
                })
            }
            Met::Tree { .. } => Ok(()),
            Met::Tag { id, raw } => self.text(id, raw, |_| Place::Tag(id)),
            Met::Name { path, commit } => self.name(path, commit),
            Met::Submodule { id, path, commit } => {
                self.submodule(id, path, commit);
                Ok(())
            }
            Met::Changed { path, commit } => {
                self.changed(path, commit);
                Ok(())
            }
        }
    }
}

/// How a secret weighs: the operator's yes, then how sure the scanner is.
pub(super) fn secret(hit: &Hit, place: Place, table: &Arc<Table>) -> Finding {
    let allowed = hit
        .fingerprint
        .as_ref()
        .and_then(|fingerprint| table.allowance(fingerprint));
    let weight = match allowed {
        Some(allowance) => Weight::Allowed(allowance.reason.clone()),
        None if hit.sure => Weight::Refuse,
        None => Weight::Warn,
    };
    Finding {
        reason: DenialReason::SecretFound,
        rule: hit.rule.to_string(),
        what: hit.what.clone(),
        place,
        redacted: Some(hit.redacted.clone()),
        fingerprint: hit.fingerprint.clone(),
        weight,
    }
}

/// The folder and the name.
fn split_name(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"", path),
    }
}

/// Where a commit's message begins.
fn head_of(raw: &[u8]) -> usize {
    raw.windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or(raw.len(), |at| at + 2)
}

fn is_lfs_pointer(raw: &[u8]) -> bool {
    LFS_VERSIONS.iter().any(|version| raw.starts_with(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_behind_the_first_empty_line() {
        assert_eq!(head_of(b"tree x\nauthor y\n\nhello\n\nmore"), 17);
        assert_eq!(head_of(b"tree x"), 6);
    }

    #[test]
    fn a_pointer_is_known_by_its_first_line() {
        assert!(is_lfs_pointer(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
        ));
        assert!(!is_lfs_pointer(b"see version https://git-lfs.github.com/spec/v1"));
    }
}
