//! May this push go out? Refs first, then every new object.
//!
//! The judge answers with what it found and never with less: an object that cannot be read, a cap that is reached, a clock that
//! has run out are findings like a secret.

mod looker;
mod tip;

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use contract::DenialReason;
use contract::gate::GatePolicy;
use git2::{ObjectType, Oid, Reference, Repository};

use super::findings::{Finding, Place, Weight};
use super::scan::{PathClass, Scans};
use super::walk::{self, Unread};
use crate::hook::message::Update;
use crate::table::{Remote, Table};
use looker::Looker;

const MOVED: &str = "the upstream's ref moved meanwhile; fetch first";

/// So many findings are told and logged; the rest are counted.
pub const MOST_FINDINGS: usize = 200;

/// The longest name of a ref, in bytes: what a file system takes as one path, less the rest of it.
const LONGEST_REF: usize = 1024;

/// What a judge is given.
pub struct Case {
    /// The upstream and what may go there.
    pub remote: Arc<Remote>,
    /// What is in force.
    pub table: Arc<Table>,
    /// The scanner.
    pub scans: Arc<Scans>,
    /// Where the new objects are; none when refs are only deleted.
    pub quarantine: Option<String>,
    /// Which refs.
    pub updates: Vec<Update>,
    /// Set when nobody waits for the answer any more.
    pub abandoned: Arc<AtomicBool>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Each finding.
    pub findings: Vec<Finding>,
    /// Refusals beyond [`MOST_FINDINGS`].
    pub more: u64,
    /// Objects that were looked at.
    pub objects: u64,
}

// === impl Judgement ===

impl Judgement {
    /// Whether nothing stands against the push.
    pub fn accepts(&self) -> bool {
        self.more == 0
            && !self
                .findings
                .iter()
                .any(|finding| finding.weight == Weight::Refuse)
    }

    fn add(&mut self, finding: Finding) {
        keep(&mut self.findings, &mut self.more, finding);
    }
}

/// Keeps a finding, or counts it if it is one refusal too many. Warnings have a cap of their own: they must not crowd a refusal
/// out, and dropping one changes nothing.
fn keep(findings: &mut Vec<Finding>, more: &mut u64, finding: Finding) -> bool {
    let refuses = finding.weight == Weight::Refuse;
    let alike = findings
        .iter()
        .filter(|known| (known.weight == Weight::Refuse) == refuses)
        .count();
    if alike < MOST_FINDINGS {
        findings.push(finding);
        return true;
    }
    *more += u64::from(refuses);
    false
}

/// Judges a push. Blocks on the disk.
pub fn judge(case: &Case) -> Judgement {
    let mut judgement = Judgement::default();
    let began = Instant::now();
    refs(case, &mut judgement);
    if !judgement.accepts() {
        // Whoever may not push there at all is not told what else would be wrong.
        return judgement;
    }
    if let Err(error) = objects(case, began, &mut judgement) {
        let reason = match error {
            Unread::Stopped(_) | Unread::TooDeep | Unread::TooLarge(..) => DenialReason::LimitReached,
            Unread::Object(..) | Unread::Git(_) => DenialReason::ObjectMalformed,
        };
        judgement.add(Finding {
            reason,
            rule: reason.as_str().to_owned(),
            what: format!("not everything could be looked at: {error}"),
            place: Place::Reference(
                case.updates
                    .first()
                    .map(|update| case.scans.shown(update.reference.as_bytes()))
                    .unwrap_or_default(),
            ),
            redacted: None,
            fingerprint: None,
            weight: Weight::Refuse,
        });
    }
    judgement
}

fn refs(case: &Case, judgement: &mut Judgement) {
    let policy = &case.remote.settings.policy;
    let many = u64::try_from(case.updates.len()).unwrap_or(u64::MAX);
    if many > policy.caps.refs {
        judgement.add(Finding::of_ref(
            DenialReason::LimitReached,
            "caps.refs",
            "",
            format!("{many} refs in one push; at most {} are taken", policy.caps.refs),
        ));
        return;
    }
    for update in &case.updates {
        let name = &update.reference;
        match case.scans.text(PathClass::Text, name.as_bytes(), &case.table.key) {
            Ok(hits) => {
                for hit in hits {
                    let place = Place::Reference(case.scans.shown(name.as_bytes()));
                    judgement.add(looker::secret(&hit, place, &case.table));
                }
            }
            Err(error) => judgement.add(Finding::of_ref(
                DenialReason::LimitReached,
                "caps.unpacked",
                name,
                error.to_string(),
            )),
        }
        if let Some(mut finding) = one_ref(policy, update) {
            finding.place = Place::Reference(case.scans.shown(name.as_bytes()));
            judgement.add(finding);
        }
    }
}

fn one_ref(policy: &GatePolicy, update: &Update) -> Option<Finding> {
    let name = &update.reference;
    // git asks only when it moves a ref itself, and here it moves none.
    if name.len() > LONGEST_REF || !Reference::is_valid_name(name) {
        return Some(Finding::of_ref(
            DenialReason::RefNotAllowed,
            "policy.refs",
            name,
            format!("this is no name of a ref (git-check-ref-format), or longer than {LONGEST_REF} bytes"),
        ));
    }
    if !policy.admits_ref(name) {
        let admitted: Vec<&str> = policy.refs.iter().map(|pattern| pattern.as_str()).collect();
        return Some(Finding::of_ref(
            DenialReason::RefNotAllowed,
            "policy.refs",
            name,
            format!("this ref may not be pushed; what may: {}", admitted.join(", ")),
        ));
    }
    let deletes = update.ids().is_none_or(|(_, new)| new.is_none());
    (deletes && !policy.admits_delete(name)).then(|| {
        Finding::of_ref(
            DenialReason::DeleteNotAllowed,
            "policy.delete",
            name,
            "this ref may not be deleted",
        )
    })
}

fn objects(case: &Case, began: Instant, judgement: &mut Judgement) -> Result<(), Unread> {
    let directory = case.remote.repository.directory();
    let repository = Repository::open_bare(directory)?;
    let odb = repository.odb()?;
    if let Some(quarantine) = &case.quarantine {
        let most = case.remote.settings.policy.caps.objects;
        if packed(Path::new(quarantine)).map_err(|error| Unread::Stopped(error.to_string()))? > most {
            return Err(Unread::Stopped(format!("more than {most} new objects")));
        }
        odb.add_disk_alternate(quarantine)?;
    }
    let tips = case.remote.repository.tips()?;
    let at: HashMap<&str, Oid> = tips.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    for update in &case.updates {
        // What is judged by is where the ref is, not where the client says.
        if update
            .ids()
            .is_some_and(|(old, _)| old != at.get(update.reference.as_str()).copied())
        {
            judgement.add(Finding::of_ref(
                DenialReason::RewriteNotAllowed,
                "policy.force",
                &update.reference,
                MOVED,
            ));
            continue;
        }
        if let Some(finding) = rewrite(&repository, &case.remote.settings.policy, update)? {
            judgement.add(finding);
        }
    }
    let new: Vec<Oid> = case.updates.iter().filter_map(|update| update.ids()?.1).collect();
    let tips: Vec<Oid> = tips.into_iter().map(|(_, id)| id).collect();
    let mut looker = Looker::new(case, &repository, &odb, began);
    let walked = walk::walk(&repository, &odb, &new, &tips, &mut looker);
    let met = looker.finish(walked.as_ref().map_or(&[], |walked| walked.boundary.as_slice()));
    for finding in met.findings {
        judgement.add(finding);
    }
    judgement.more += met.more;
    judgement.objects = walked?.objects;
    let deadline = began + Duration::from_secs(case.remote.settings.policy.caps.seconds);
    for finding in tip::protected(case, &repository, &odb, &tips, deadline)? {
        let told = |known: &Finding| known.reason == finding.reason && path(known) == path(&finding);
        if !judgement.findings.iter().any(told) {
            judgement.add(finding);
        }
    }
    Ok(())
}

fn path(finding: &Finding) -> Option<&str> {
    match &finding.place {
        Place::File { path, .. } => Some(path),
        _ => None,
    }
}

/// How many objects lie in packs there, by the packs' indexes (gitformat-pack(5)): a walk takes memory for each commit before
/// it meets the first.
fn packed(quarantine: &Path) -> io::Result<u64> {
    let folder = quarantine.join("pack");
    let mut objects = 0;
    if !folder.exists() {
        return Ok(objects);
    }
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            let mut head = [0; 8 + 256 * 4];
            fs_err::File::open(&path)?.read_exact(&mut head)?;
            let last = head.last_chunk::<4>().copied().unwrap_or([u8::MAX; 4]);
            objects += u64::from(u32::from_be_bytes(last));
        }
    }
    Ok(objects)
}

/// A lease alone lets a branch be rewritten, so whether this one is, is found out here.
fn rewrite(repository: &Repository, policy: &GatePolicy, update: &Update) -> Result<Option<Finding>, Unread> {
    let Some((Some(old), Some(new))) = update.ids() else {
        return Ok(None);
    };
    let name = &update.reference;
    if policy.admits_force(name) || old == new {
        return Ok(None);
    }
    let is_commit = |id: Oid| {
        repository
            .odb()
            .and_then(|odb| odb.read_header(id))
            .is_ok_and(|(_, kind)| kind == ObjectType::Commit)
    };
    let refused = |what: &str| {
        Ok(Some(Finding::of_ref(
            DenialReason::RewriteNotAllowed,
            "policy.force",
            name,
            what,
        )))
    };
    if name.starts_with("refs/tags/") {
        return refused("this tag is there already and may not be moved");
    }
    if !is_commit(old) {
        return refused(MOVED);
    }
    if !is_commit(new) {
        return refused("this is not a commit");
    }
    if repository.graph_descendant_of(new, old)? {
        return Ok(None);
    }
    refused(
        "this would rewrite the branch (not a fast-forward); fetch, and rebase or merge onto what is there",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(reference: &str, new: char) -> Update {
        Update {
            old: "0".repeat(40),
            new: new.to_string().repeat(40),
            reference: reference.to_owned(),
        }
    }

    #[test]
    fn a_ref_outside_the_policy_is_refused_by_its_rule() {
        let policy = GatePolicy::default();
        assert_eq!(one_ref(&policy, &update("refs/heads/a", '1')), None);
        let rule = |name: &str, new| one_ref(&policy, &update(name, new)).unwrap().rule;
        assert_eq!(rule("refs/replace/x", '1'), "policy.refs");
        assert_eq!(rule("refs/heads/a", '0'), "policy.delete");
    }

    #[test]
    fn packs_are_counted_by_their_indexes() {
        let quarantine = tempfile::tempdir().unwrap();
        assert_eq!(packed(quarantine.path()).unwrap(), 0);
        let folder = quarantine.path().join("pack");
        fs_err::create_dir(&folder).unwrap();
        for (name, count) in [("pack-a.idx", 700_u32), ("pack-b.idx", 3), ("pack-b.pack", 9)] {
            let mut head = vec![0; 8 + 255 * 4];
            head.extend(count.to_be_bytes());
            fs_err::write(folder.join(name), head).unwrap();
        }
        assert_eq!(packed(quarantine.path()).unwrap(), 703);
        fs_err::write(folder.join("pack-c.idx"), "half").unwrap();
        assert!(packed(quarantine.path()).is_err());
    }
}
