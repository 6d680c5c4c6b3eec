//! Takes back out of a repository what a push brought and the upstream refused.
//!
//! Which files come in is written down while they are still in quarantine, so nothing else is ever removed: not what the
//! upstream has, not what another push is bringing.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use super::walk::{self, Met, Unread, Visit};

/// What a push brings that the repository does not have: file names below `objects/`.
#[derive(Debug, Default)]
pub struct Brought(Vec<PathBuf>);

/// Lists what lies in quarantine and not yet in the repository.
pub fn brought(repository: &Path, quarantine: Option<&Path>) -> io::Result<Brought> {
    let Some(quarantine) = quarantine else {
        return Ok(Brought::default());
    };
    let objects = repository.join("objects");
    let mut files = Vec::new();
    for folder in fs_err::read_dir(quarantine)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs_err::read_dir(folder.path())? {
            let name = Path::new(&folder.file_name()).join(file?.file_name());
            if !objects.join(&name).exists() {
                files.push(name);
            }
        }
    }
    Ok(Brought(files))
}

impl Brought {
    /// Removes it all.
    pub fn remove(&self, repository: &Path) -> io::Result<()> {
        self.remove_except(repository, &HashSet::new())
    }

    /// Removes single objects that no accepted tip reaches. A pack is kept whole: what nobody asked for in it is in no ref, is
    /// taken for known by no scan, and goes with the bottle.
    pub fn remove_unaccepted(&self, repository: &Path, accepted: &[Oid], tips: &[Oid]) -> io::Result<()> {
        let reached = reached(repository, accepted, tips).map_err(io::Error::other)?;
        self.remove_except(repository, &reached)
    }

    fn remove_except(&self, repository: &Path, kept: &HashSet<Oid>) -> io::Result<()> {
        for name in &self.0 {
            let packed = name.starts_with("pack");
            if !kept.is_empty() && (packed || object_in(name).is_some_and(|id| kept.contains(&id))) {
                continue;
            }
            match fs_err::remove_file(repository.join("objects").join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `ab/cdef…` is the object `abcdef…`.
fn object_in(name: &Path) -> Option<Oid> {
    let digits: String = name
        .to_str()?
        .chars()
        .filter(|character| *character != '/')
        .collect();
    Oid::from_str(&digits).ok()
}

struct Ids(HashSet<Oid>);

impl Visit for Ids {
    fn meet(&mut self, met: &Met<'_>) -> Result<(), Unread> {
        match met {
            Met::Blob { id, .. } | Met::Commit { id, .. } | Met::Tag { id, .. } | Met::Tree { id } => {
                self.0.insert(*id);
            }
            Met::Name { .. } | Met::Changed { .. } | Met::Submodule { .. } => {}
        }
        Ok(())
    }
}

fn reached(repository: &Path, accepted: &[Oid], tips: &[Oid]) -> Result<HashSet<Oid>, Unread> {
    let repository = Repository::open_bare(repository)?;
    let odb = repository.odb()?;
    let mut ids = Ids(HashSet::new());
    walk::walk(&repository, &odb, accepted, tips, &mut ids)?;
    Ok(ids.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_push_brought_is_removed() {
        let repository = tempfile::tempdir().unwrap();
        let quarantine = tempfile::tempdir().unwrap();
        let objects = repository.path().join("objects");
        for (root, name) in [
            (objects.as_path(), "aa/known"),
            (quarantine.path(), "aa/known"),
            (quarantine.path(), "aa/new"),
            (quarantine.path(), "pack/pack-1.pack"),
        ] {
            let file = root.join(name);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let brought = brought(repository.path(), Some(quarantine.path())).unwrap();
        fs_err::create_dir_all(objects.join("pack")).unwrap();
        for name in ["aa/new", "pack/pack-1.pack"] {
            fs_err::write(objects.join(name), "").unwrap();
        }
        brought.remove(repository.path()).unwrap();
        assert!(objects.join("aa/known").exists());
        assert!(!objects.join("aa/new").exists() && !objects.join("pack/pack-1.pack").exists());
        brought.remove(repository.path()).unwrap();
    }
}
