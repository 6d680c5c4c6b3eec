//! One bare repository per upstream: a mirror of its branches and tags, and nothing else.
//!
//! Every ref in it is one that the upstream was seen to have. What a push brings stays in receive-pack's quarantine until it
//! may go out, and what the upstream then refuses is removed. A gate that was killed in between leaves a mark, and the next
//! one throws the whole repository away: it is a copy, and the upstream has the original.

mod mirror;

pub use mirror::{NotMirrored, reason_in};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::Sha256Hex;
use git2::{Oid, RepositoryInitOptions};

/// How old the mirror may be when someone reads from it.
pub const FRESH: Duration = Duration::from_secs(3);

/// In a repository: a push that was let out of quarantine is not settled yet.
const UNSETTLED: &str = "unsettled-push";

/// One mirror.
#[derive(Debug)]
pub struct Repository {
    directory: PathBuf,
    /// Held while refs change.
    mirroring: tokio::sync::Mutex<()>,
    /// Held by a push from its judgement until it is settled.
    pushing: Arc<tokio::sync::Mutex<()>>,
    state: parking_lot::Mutex<State>,
    /// How many `git receive-pack` run in it.
    receiving: parking_lot::Mutex<usize>,
}

/// A `git receive-pack` runs in a repository. When the last one is over, what lies in quarantine is nobody's and is removed:
/// git does not take it along when it is ended just as it begins, or while its own children still write.
#[derive(Debug)]
pub struct Receiving(Arc<Repository>);

#[derive(Debug, Default)]
struct State {
    /// When the refresh began by which the mirror is what it is.
    refreshed: Option<Instant>,
    /// When the upstream's HEAD was asked for last.
    asked_for_head: Option<Instant>,
    /// The last refresh that failed: when it ended, and why.
    failed: Option<(Instant, NotMirrored)>,
}

/// A push is judged or forwarded: no other is, in this repository.
pub type Turn = tokio::sync::OwnedMutexGuard<()>;

// === impl Repository ===

impl Repository {
    /// Opens the mirror of `route` in `root`, or makes an empty one. A push that was never settled is thrown away with all else.
    pub fn open(root: &Path, route: &str) -> io::Result<Self> {
        let directory = root.join(directory_name(route));
        // A gate that ended while it threw a mirror away.
        let gone = thrown_away(&directory);
        if gone.exists() {
            fs_err::remove_dir_all(gone)?;
        }
        if directory.join(UNSETTLED).exists() {
            tracing::warn!("the gate ended in the middle of a push to {route}: its mirror is made anew");
            throw_away(&directory)?;
        }
        let usable = || git2::Repository::open_bare(&directory).is_ok();
        if directory.exists() && !usable() {
            tracing::warn!("the mirror of {route} cannot be read: it is made anew");
            throw_away(&directory)?;
        }
        if !directory.exists() {
            fs_err::create_dir_all(root)?;
            let mut options = RepositoryInitOptions::new();
            options.bare(true).external_template(false).initial_head("main");
            git2::Repository::init_opts(&directory, &options).map_err(io::Error::other)?;
        }
        sweep(&directory)?;
        Ok(Self {
            directory,
            mirroring: tokio::sync::Mutex::new(()),
            pushing: Arc::new(tokio::sync::Mutex::new(())),
            state: parking_lot::Mutex::new(State::default()),
            receiving: parking_lot::Mutex::new(0),
        })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// For a `git receive-pack` that begins; to be dropped when it is over.
    pub fn receiving(self: &Arc<Self>) -> Receiving {
        *self.receiving.lock() += 1;
        Receiving(Arc::clone(self))
    }

    /// Waits until no other push is judged or forwarded.
    pub async fn turn(&self) -> Turn {
        Arc::clone(&self.pushing).lock_owned().await
    }

    /// Marks that objects come in which the upstream may refuse.
    pub fn mark_unsettled(&self) -> io::Result<()> {
        fs_err::write(self.directory.join(UNSETTLED), "")
    }

    /// What came in is in the upstream or gone.
    pub fn mark_settled(&self) -> io::Result<()> {
        match fs_err::remove_file(self.directory.join(UNSETTLED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where a ref was when the mirror was refreshed.
    pub fn tips(&self) -> Result<Vec<(String, Oid)>, git2::Error> {
        let repository = git2::Repository::open_bare(&self.directory)?;
        let mut tips = Vec::new();
        for reference in repository.references()? {
            let reference = reference?;
            if let (Ok(name), Some(id)) = (reference.name(), reference.target()) {
                tips.push((name.to_owned(), id));
            }
        }
        Ok(tips)
    }
}

// === impl Receiving ===

impl Drop for Receiving {
    fn drop(&mut self) {
        // Held to the end: whoever begins now has no quarantine yet.
        let mut receiving = self.0.receiving.lock();
        *receiving = receiving.saturating_sub(1);
        if *receiving > 0 {
            return;
        }
        if let Err(error) = remove_quarantines(&self.0.directory) {
            tracing::warn!("a quarantine stays until the next push: {error}");
        }
    }
}

/// A flat name that no other route has, and that still says which it is.
fn directory_name(route: &str) -> String {
    let shown: String = route
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        })
        .take(60)
        .collect();
    let hash = Sha256Hex::of(route.as_bytes());
    let hash = hash.as_str().get(..12).unwrap_or_default();
    format!("{shown}-{hash}.git")
}

/// Out of the way at once, then removed: half a mirror, without its mark, would be taken for a whole one.
fn throw_away(directory: &Path) -> io::Result<()> {
    let gone = thrown_away(directory);
    fs_err::rename(directory, &gone)?;
    fs_err::remove_dir_all(gone)
}

fn thrown_away(directory: &Path) -> PathBuf {
    directory.with_extension("gone")
}

/// How many bytes the packs of a repository take.
pub fn packed_bytes(directory: &Path) -> io::Result<u64> {
    let folder = directory.join("objects/pack");
    let mut bytes = 0;
    if folder.exists() {
        for entry in fs_err::read_dir(folder)? {
            match entry?.metadata() {
                Ok(file) => bytes += file.len(),
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

/// Removes what a fetch that failed had of its pack. A push has its half packs in its quarantine.
fn remove_half_packs(directory: &Path) -> io::Result<()> {
    let folder = directory.join("objects/pack");
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"tmp_") {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes what receive-packs left that are over.
fn remove_quarantines(directory: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(directory.join("objects"))? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b"tmp_objdir-") {
            continue;
        }
        let mut tries = 0;
        loop {
            match fs_err::remove_dir_all(entry.path()) {
                // A process that was just killed wrote its last file.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < 5 => tries += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                done => break done?,
            }
        }
    }
    Ok(())
}

/// Removes quarantines, half packs and locks that a killed gate left.
fn sweep(directory: &Path) -> io::Result<()> {
    unlock(directory, false)?;
    unlock(&directory.join("refs"), true)?;
    for folder in ["objects", "objects/pack"] {
        let folder = directory.join(folder);
        if !folder.exists() {
            continue;
        }
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(b"tmp_") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs_err::remove_dir_all(entry.path())?;
            } else {
                fs_err::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// No ref ends in `.lock` (git-check-ref-format).
fn unlock(folder: &Path, deep: bool) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if deep {
                unlock(&entry.path(), true)?;
            }
        } else if entry.file_name().as_encoded_bytes().ends_with(b".lock") {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "github.com/acme/app.git";

    #[test]
    fn two_routes_never_share_a_directory() {
        let names = ["h/a-b.git", "h/a/b.git", "h/a.b.git", "h/a.git"].map(directory_name);
        for (at, name) in names.iter().enumerate() {
            assert!(!name.contains('/') && !names[at + 1..].contains(name), "{name}");
        }
    }

    #[test]
    fn a_quarantine_goes_with_the_last_push_and_not_before() {
        let root = tempfile::tempdir().unwrap();
        let repository = Arc::new(Repository::open(root.path(), ROUTE).unwrap());
        let left = repository.directory().join("objects/tmp_objdir-incoming-x");
        let (first, second) = (repository.receiving(), repository.receiving());
        fs_err::create_dir_all(left.join("pack")).unwrap();
        fs_err::write(left.join("pack/tmp_pack_x"), "half").unwrap();
        drop(first);
        assert!(left.exists());
        drop(second);
        assert!(!left.exists());
        assert!(repository.directory().join("objects/pack").exists());
    }

    #[test]
    fn packs_are_counted_and_half_ones_go() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(packed_bytes(root.path()).unwrap(), 0);
        remove_half_packs(root.path()).unwrap();
        let folder = root.path().join("objects/pack");
        fs_err::create_dir_all(&folder).unwrap();
        for name in ["pack-a.pack", "tmp_pack_b"] {
            fs_err::write(folder.join(name), [0; 100]).unwrap();
        }
        assert_eq!(packed_bytes(root.path()).unwrap(), 200);
        remove_half_packs(root.path()).unwrap();
        assert_eq!(packed_bytes(root.path()).unwrap(), 100);
    }

    #[test]
    fn what_a_killed_gate_left_is_gone_when_the_next_one_opens() {
        let root = tempfile::tempdir().unwrap();
        let first = Repository::open(root.path(), ROUTE).unwrap();
        let objects = first.directory().join("objects");
        fs_err::create_dir_all(objects.join("tmp_objdir-incoming-x/pack")).unwrap();
        fs_err::create_dir_all(objects.join("pack")).unwrap();
        fs_err::write(objects.join("pack/tmp_pack_x"), "half").unwrap();
        let locks = ["packed-refs.lock", "refs/heads/main.lock"].map(|name| first.directory().join(name));
        for lock in &locks {
            fs_err::create_dir_all(lock.parent().unwrap()).unwrap();
            fs_err::write(lock, "").unwrap();
        }
        drop(first);
        let second = Repository::open(root.path(), ROUTE).unwrap();
        assert!(!objects.join("tmp_objdir-incoming-x").exists() && !objects.join("pack/tmp_pack_x").exists());

        assert!(locks.iter().all(|lock| !lock.exists()));

        fs_err::write(second.directory().join("mine"), "").unwrap();
        second.mark_unsettled().unwrap();
        let third = Repository::open(root.path(), ROUTE).unwrap();
        assert!(!third.directory().join("mine").exists(), "made anew");
        let gone = thrown_away(third.directory());
        fs_err::create_dir_all(gone.join("half")).unwrap();
        drop(Repository::open(root.path(), ROUTE).unwrap());
        assert!(!gone.exists());
        third.mark_unsettled().unwrap();
        third.mark_settled().unwrap();
        third.mark_settled().unwrap();
    }
}
