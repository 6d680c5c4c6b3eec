//! What stands at protected paths once a push is upstream.
//!
//! A commit that changes a protected path is refused by itself. A merge need not change it: it can take what an older commit of the
//! upstream's had there, and so bring back what has been mended since. So a tip is also held against what the upstream has now:
//! at the branch that is moved, or at its default branch. A new branch is held against the newest commits of the upstream's that
//! it stands on, which may be older than the default branch: whoever branched off yesterday has changed nothing. If it joins two
//! of the upstream's branches, it may have what either has: it could as well stand on that one alone.

use std::collections::HashSet;
use std::time::Instant;

use contract::DenialReason;
use contract::gate::GatePolicy;
use git2::{Odb, Oid, Repository};

use super::Case;
use crate::push::findings::{Finding, Place, Weight};
use crate::push::walk::{self, Met, Unread, Visit};

/// Findings for every protected path at which a pushed tip has what the upstream does not have there now.
pub(super) fn protected(
    case: &Case,
    repository: &Repository,
    odb: &Odb<'_>,
    tips: &[Oid],
    deadline: Instant,
) -> Result<Vec<Finding>, Unread> {
    let mut findings = Vec::new();
    let policy = &case.remote.settings.policy;
    if policy.protected_paths.is_empty() {
        return Ok(findings);
    }
    let default = repository
        .head()
        .and_then(|head| head.peel_to_commit())
        .ok()
        .map(|commit| commit.id());
    let commit_of = |tip: Oid| walk::commit_of(repository, tip);
    for update in &case.updates {
        let Some((old, Some(new))) = update.ids() else {
            continue;
        };
        // What is no commit runs nowhere; its files were looked at one by one.
        let Some(new) = commit_of(new) else { continue };
        let mut olds = match old.and_then(commit_of) {
            Some(old) => vec![old],
            None => foundations(repository, new, tips, deadline)?,
        };
        if olds.is_empty() {
            // Nothing is new, or it stands on nothing: each of its files was looked at as a change.
            continue;
        }
        olds.extend(default);
        let mut changed = HashSet::new();
        let mut visit = Changes {
            policy,
            deadline,
            changed: &mut changed,
        };
        walk::compare(odb, new, &olds, &mut visit)?;
        let mut changed: Vec<Vec<u8>> = changed.into_iter().collect();
        changed.sort();
        findings.extend(
            changed
                .iter()
                .filter_map(|path| finding(case, new, path, &update.reference)),
        );
    }
    Ok(findings)
}

/// The upstream's commits that new ones stand on, less those that others of them have behind them. None when nothing is new.
fn foundations(
    repository: &Repository,
    new: Oid,
    tips: &[Oid],
    deadline: Instant,
) -> Result<Vec<Oid>, Unread> {
    let mut revisions = repository.revwalk()?;
    revisions.push(new)?;
    for tip in tips {
        if let Some(commit) = walk::commit_of(repository, *tip) {
            revisions.hide(commit)?;
        }
    }
    let fresh = revisions.collect::<Result<HashSet<Oid>, _>>()?;
    let mut all = HashSet::new();
    for commit in &fresh {
        let commit = repository.find_commit(*commit)?;
        all.extend(commit.parent_ids().filter(|parent| !fresh.contains(parent)));
    }
    newest(repository, all, deadline)
}

/// Those that no other of them has behind it.
fn newest(repository: &Repository, mut all: HashSet<Oid>, deadline: Instant) -> Result<Vec<Oid>, Unread> {
    if all.len() > 1 {
        let mut behind = repository.revwalk()?;
        for one in &all {
            for parent in repository.find_commit(*one)?.parent_ids() {
                behind.push(parent)?;
            }
        }
        // All of them have it behind them, or are it.
        let list: Vec<Oid> = all.iter().copied().collect();
        if let Ok(base) = repository.merge_base_octopus(&list) {
            for parent in repository.find_commit(base)?.parent_ids() {
                behind.hide(parent)?;
            }
        }
        for commit in behind {
            in_time(deadline)?;
            all.remove(&commit?);
            if all.len() == 1 {
                break;
            }
        }
    }
    Ok(all.into_iter().collect())
}

fn finding(case: &Case, commit: Oid, path: &[u8], reference: &str) -> Option<Finding> {
    let pattern = case.remote.settings.policy.protects(path)?;
    Some(Finding {
        reason: DenialReason::PathProtected,
        rule: "policy.protected_paths".to_owned(),
        what: format!(
            "{} would have at {pattern} what the upstream does not have there now: merge or rebase onto what is there",
            case.scans.shown(reference.as_bytes())
        ),
        place: Place::File {
            commit: Some(commit),
            path: case.scans.shown(path),
            line: None,
        },
        redacted: None,
        fingerprint: None,
        weight: Weight::Refuse,
    })
}

fn in_time(deadline: Instant) -> Result<(), Unread> {
    if Instant::now() > deadline {
        return Err(Unread::Stopped(
            "comparing it with the upstream took too long (caps.seconds)".to_owned(),
        ));
    }
    Ok(())
}

/// Protected paths that are changed.
struct Changes<'a> {
    policy: &'a GatePolicy,
    deadline: Instant,
    changed: &'a mut HashSet<Vec<u8>>,
}

impl Visit for Changes<'_> {
    fn meet(&mut self, met: &Met<'_>) -> Result<(), Unread> {
        if let Met::Changed { path, .. } = met
            && self.policy.protects(path).is_some()
        {
            self.changed.insert(path.to_vec());
        }
        if Instant::now() > self.deadline {
            return Err(Unread::Stopped(
                "comparing it with the upstream took too long".to_owned(),
            ));
        }
        Ok(())
    }
}
