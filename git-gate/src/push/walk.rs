//! Every object that a push would give the upstream, and what each new commit changes.
//!
//! The objects are read with libgit2, in this process: it starts none (`rev-list` and `cat-file` cost 2–4 ms each), reads no
//! attributes and no configuration of the repository, and knows nothing of replace refs. Trees are parsed here, from their
//! raw bytes.
//!
//! What is left out is only what the upstream is known to have: an entry of a new commit's tree is passed over if a parent has
//! the very same object under the same name. A parent is either new itself, and looked at, or the upstream's. Objects that
//! merely lie in the repository (refused before, or sent without a ref) count for nothing.

pub(crate) mod tree;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use git2::{ObjectType, Odb, Oid, Repository, Sort};
use tree::{Entry, Mode};

/// The deepest folder. git itself stops at 2048.
const DEEPEST: usize = 256;

/// The longest path, in bytes.
const LONGEST_PATH: usize = 16 * 1024;

/// The largest commit, tag or folder, in bytes: some 300,000 names. Unlike a file it is taken apart in memory.
const LARGEST_STRUCTURE: usize = 16 << 20;

/// An object as it is met.
#[derive(Debug)]
pub enum Met<'a> {
    /// A file's content: where it was met first.
    Blob {
        /// Its id.
        id: Oid,
        /// Its path.
        path: &'a [u8],
        /// The commit; none under a tag that points at no commit.
        commit: Option<Oid>,
    },
    /// A whole commit object.
    Commit {
        /// Its id.
        id: Oid,
        /// Its raw bytes.
        raw: &'a [u8],
    },
    /// A whole tag object.
    Tag {
        /// Its id.
        id: Oid,
        /// Its raw bytes.
        raw: &'a [u8],
    },
    /// A folder.
    Tree {
        /// Its id.
        id: Oid,
    },
    /// A new name in a folder.
    Name {
        /// The folder and the name.
        path: &'a [u8],
        /// The commit.
        commit: Option<Oid>,
    },
    /// A commit of another repository, which nobody has seen: any twenty bytes.
    Submodule {
        /// What it is said to be.
        id: Oid,
        /// Its path.
        path: &'a [u8],
        /// The commit that names it.
        commit: Option<Oid>,
    },
    /// A path differs from what it was in every parent: added, changed or gone.
    Changed {
        /// The path.
        path: &'a [u8],
        /// The commit.
        commit: Oid,
    },
}

/// Why a push could not be looked at whole; each means a refusal.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// an object is missing or broken
    #[error("the object {0} cannot be read: {1}")]
    Object(Oid, String),
    /// libgit2 failed otherwise
    #[error("{0}")]
    Git(#[from] git2::Error),
    /// folders in folders
    #[error("folders are nested deeper than {DEEPEST}, or a path is longer than {LONGEST_PATH} bytes")]
    TooDeep,
    /// a commit, tag or folder that nobody makes by hand
    #[error("the {1} {0} has {2} bytes; at most {LARGEST_STRUCTURE} are taken")]
    TooLarge(Oid, ObjectType, usize),
    /// whoever looked wanted no more
    #[error("{0}")]
    Stopped(String),
}

/// Takes what is met; an error ends the walk.
pub trait Visit {
    /// Called for each.
    fn meet(&mut self, met: &Met<'_>) -> Result<(), Unread>;
}

/// What a walk leaves behind.
#[derive(Debug, Default)]
pub struct Walked {
    /// New objects, each counted once per place.
    pub objects: u64,
    /// Commits that the upstream has and new ones stand on.
    pub boundary: Vec<Oid>,
}

/// One walk.
pub struct Walk<'a> {
    odb: &'a Odb<'a>,
    visit: &'a mut dyn Visit,
    /// Trees that were walked, with the hash of their path and of what they were compared with: a protected path must be seen
    /// under its own name and as a change of its own.
    trees: HashSet<(Oid, u64)>,
    roots: HashMap<Oid, Oid>,
    hasher: RandomState,
    objects: u64,
}

/// Walks what `new` reaches and the upstream's `tips` do not.
pub fn walk(
    repository: &Repository,
    odb: &Odb<'_>,
    new: &[Oid],
    tips: &[Oid],
    visit: &mut dyn Visit,
) -> Result<Walked, Unread> {
    let mut walk = Walk::new(odb, visit);
    let known: HashSet<Oid> = tips.iter().copied().collect();
    let mut commits = Vec::new();
    for tip in new {
        commits.extend(walk.peel(*tip, &known)?);
    }
    let mut revisions = repository.revwalk()?;
    revisions.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    for commit in &commits {
        revisions.push(*commit)?;
    }
    for tip in &known {
        if let Some(commit) = commit_of(repository, *tip) {
            revisions.hide(commit)?;
        }
    }
    let order = revisions.collect::<Result<Vec<Oid>, _>>()?;
    let fresh: HashSet<Oid> = order.iter().copied().collect();
    let mut boundary = HashSet::new();
    for commit in order {
        let parents = walk.commit(commit)?;
        boundary.extend(parents.into_iter().filter(|parent| !fresh.contains(parent)));
    }
    Ok(Walked {
        objects: walk.objects,
        boundary: boundary.into_iter().collect(),
    })
}

/// Meets what the tree of `new` has and none of the trees of `olds` has under the same name, or all of them have and it lacks.
pub fn compare(odb: &Odb<'_>, new: Oid, olds: &[Oid], visit: &mut dyn Visit) -> Result<(), Unread> {
    let mut walk = Walk::new(odb, visit);
    let root = walk.root_of(new)?;
    let olds = olds
        .iter()
        .map(|old| walk.root_of(*old).map(Some))
        .collect::<Result<Vec<_>, _>>()?;
    walk.tree(Some(new), Some(root), &olds, &mut Vec::new(), 0)
}

/// The commit that an upstream's ref stands for; none for a tag of something else.
pub fn commit_of(repository: &Repository, tip: Oid) -> Option<Oid> {
    let object = repository.find_object(tip, None).ok()?;
    Some(object.peel(ObjectType::Commit).ok()?.id())
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn new(odb: &'a Odb<'a>, visit: &'a mut dyn Visit) -> Self {
        Self {
            odb,
            visit,
            trees: HashSet::new(),
            roots: HashMap::new(),
            hasher: RandomState::new(),
            objects: 0,
        }
    }

    /// Follows tag objects down to a commit, meeting each; what a tag points at otherwise is met whole.
    fn peel(&mut self, tip: Oid, known: &HashSet<Oid>) -> Result<Option<Oid>, Unread> {
        let mut id = tip;
        loop {
            if known.contains(&id) {
                return Ok(None);
            }
            let (_, kind) = self
                .odb
                .read_header(id)
                .map_err(|error| Unread::Object(id, error.message().to_owned()))?;
            match kind {
                ObjectType::Commit => return Ok(Some(id)),
                ObjectType::Tag => {
                    let object = read(self.odb, id, ObjectType::Tag)?;
                    self.met(&Met::Tag {
                        id,
                        raw: object.data(),
                    })?;
                    id = tree::head_id(object.data(), b"object ")
                        .ok_or_else(|| Unread::Object(id, "not a tag".to_owned()))?;
                }
                ObjectType::Tree => {
                    self.tree(None, Some(id), &[], &mut Vec::new(), 0)?;
                    return Ok(None);
                }
                _ => {
                    self.met(&Met::Blob {
                        id,
                        path: b"",
                        commit: None,
                    })?;
                    return Ok(None);
                }
            }
        }
    }

    fn commit(&mut self, id: Oid) -> Result<Vec<Oid>, Unread> {
        let object = read(self.odb, id, ObjectType::Commit)?;
        self.met(&Met::Commit {
            id,
            raw: object.data(),
        })?;
        let broken = || Unread::Object(id, "not a commit".to_owned());
        let root = tree::head_id(object.data(), b"tree ").ok_or_else(broken)?;
        let parents = tree::parents(object.data());
        self.roots.insert(id, root);
        let mut olds = Vec::with_capacity(parents.len());
        for parent in &parents {
            olds.push(Some(self.root_of(*parent)?));
        }
        self.tree(Some(id), Some(root), &olds, &mut Vec::new(), 0)?;
        Ok(parents)
    }

    fn root_of(&mut self, commit: Oid) -> Result<Oid, Unread> {
        if let Some(root) = self.roots.get(&commit) {
            return Ok(*root);
        }
        let object = read(self.odb, commit, ObjectType::Commit)?;
        let root = tree::head_id(object.data(), b"tree ")
            .ok_or_else(|| Unread::Object(commit, "not a commit".to_owned()))?;
        self.roots.insert(commit, root);
        Ok(root)
    }

    /// Meets what `new` has and none of `olds` (one per parent, none where a parent has no such folder) has under the same
    /// name, and what all of them have and `new` lacks.
    fn tree(
        &mut self,
        commit: Option<Oid>,
        new: Option<Oid>,
        olds: &[Option<Oid>],
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Unread> {
        if olds.contains(&new) {
            return Ok(());
        }
        if depth > DEEPEST || path.len() > LONGEST_PATH {
            return Err(Unread::TooDeep);
        }
        if let Some(new) = new
            && !self.trees.insert((new, self.hasher.hash_one((&*path, olds))))
        {
            return Ok(());
        }
        let entries = match new {
            Some(id) => {
                self.met(&Met::Tree { id })?;
                self.entries(id)?
            }
            None => Vec::new(),
        };
        let mut before = Vec::with_capacity(olds.len());
        for old in olds {
            let entries = old.map_or_else(|| Ok(Vec::new()), |id| self.entries(id))?;
            before.push(by_name(entries));
        }
        let length = path.len();
        for entry in &entries {
            join(path, &entry.name);
            let done = self.entry(commit, entry, &before, path, depth);
            path.truncate(length);
            done?;
        }
        self.gone(commit, &entries, &before, path, depth)
    }

    fn entry(
        &mut self,
        commit: Option<Oid>,
        entry: &Entry,
        before: &[HashMap<Vec<u8>, (Mode, Oid)>],
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Unread> {
        let olds: Vec<Option<(Mode, Oid)>> = before
            .iter()
            .map(|entries| entries.get(&entry.name).copied())
            .collect();
        if olds.contains(&Some((entry.mode, entry.id))) {
            return Ok(());
        }
        if olds.iter().all(Option::is_none) {
            self.met(&Met::Name { path, commit })?;
        }
        let old_trees: Vec<Option<Oid>> = olds
            .iter()
            .map(|old| old.filter(|(mode, _)| *mode == Mode::Tree).map(|(_, id)| id))
            .collect();
        if entry.mode == Mode::Tree {
            let was_none = |old: &Option<(Mode, Oid)>| old.is_some_and(|(mode, _)| mode != Mode::Tree);
            if let Some(commit) = commit
                && !olds.is_empty()
                && olds.iter().all(was_none)
            {
                // A folder stands where every parent had a file: the file is gone.
                self.met(&Met::Changed { path, commit })?;
            }
            return self.tree(commit, Some(entry.id), &old_trees, path, depth + 1);
        }
        if let Some(commit) = commit {
            self.met(&Met::Changed { path, commit })?;
            if !old_trees.is_empty() && old_trees.iter().all(Option::is_some) {
                // A file stands where every parent had a folder.
                self.tree(Some(commit), None, &old_trees, path, depth + 1)?;
            }
        }
        let id = entry.id;
        // That a parent has the same id there as a submodule or folder says nothing: a submodule may name any id.
        match entry.mode {
            Mode::Blob | Mode::Link => self.met(&Met::Blob { id, path, commit }),
            Mode::Submodule => self.met(&Met::Submodule { id, path, commit }),
            Mode::Tree => Ok(()),
        }
    }

    /// What every parent has and the new tree lacks.
    fn gone(
        &mut self,
        commit: Option<Oid>,
        entries: &[Entry],
        before: &[HashMap<Vec<u8>, (Mode, Oid)>],
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Unread> {
        let (Some(commit), Some((first, rest))) = (commit, before.split_first()) else {
            return Ok(());
        };
        if first.is_empty() {
            return Ok(());
        }
        let kept: HashSet<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
        let length = path.len();
        for (name, (mode, id)) in first {
            if kept.contains(name.as_slice()) || !rest.iter().all(|other| other.contains_key(name)) {
                continue;
            }
            join(path, name);
            let done = if *mode == Mode::Tree {
                let olds: Vec<Option<Oid>> = std::iter::once(Some(*id))
                    .chain(rest.iter().map(|other| {
                        other
                            .get(name)
                            .filter(|(mode, _)| *mode == Mode::Tree)
                            .map(|(_, id)| *id)
                    }))
                    .collect();
                self.tree(Some(commit), None, &olds, path, depth + 1)
            } else {
                self.met(&Met::Changed { path, commit })
            };
            path.truncate(length);
            done?;
        }
        Ok(())
    }

    fn entries(&mut self, id: Oid) -> Result<Vec<Entry>, Unread> {
        let object = read(self.odb, id, ObjectType::Tree)?;
        tree::parse(object.data()).ok_or_else(|| Unread::Object(id, "not a tree".to_owned()))
    }

    fn met(&mut self, met: &Met<'_>) -> Result<(), Unread> {
        if !matches!(
            met,
            Met::Changed { .. } | Met::Name { .. } | Met::Submodule { .. }
        ) {
            self.objects += 1;
        }
        self.visit.meet(met)
    }
}

fn read<'a>(odb: &'a Odb<'_>, id: Oid, kind: ObjectType) -> Result<git2::OdbObject<'a>, Unread> {
    let unread = |error: git2::Error| Unread::Object(id, error.message().to_owned());
    let (size, found) = odb.read_header(id).map_err(unread)?;
    if size > LARGEST_STRUCTURE {
        return Err(Unread::TooLarge(id, found, size));
    }
    let object = odb.read(id).map_err(unread)?;
    if object.kind() == kind {
        Ok(object)
    } else {
        Err(Unread::Object(
            id,
            format!("it is a {}, not a {kind}", object.kind()),
        ))
    }
}

fn by_name(entries: Vec<Entry>) -> HashMap<Vec<u8>, (Mode, Oid)> {
    entries
        .into_iter()
        .map(|entry| (entry.name, (entry.mode, entry.id)))
        .collect()
}

fn join(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
