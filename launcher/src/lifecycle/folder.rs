//! A state directory comes whole and goes whole.
//!
//! It is made under a dotted name with its locks already held and then renamed, and renamed away before it is emptied: whoever looks
//! sees all of it or nothing. What a killed launcher leaves under a dotted name, `cleanup` removes.

use super::lock::Locked;
use super::tree;
use crate::error::{Error, Result};
use crate::home::{Home, State};
use contract::Slug;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A dotted folder without locks that is younger than this may be about to get them.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// The state directory of a bottle that is being changed by us.
pub struct Held {
    /// Its paths.
    pub state: State,
    /// `.lock`
    pub lock: Locked,
}

/// Makes the state directory of a new bottle, mode 0700, with both locks held.
pub fn create(home: &Home, slug: &Slug) -> Result<(Held, Locked)> {
    make(&home.states(), true)?;
    let fresh = dotted(home, "new", slug);
    make(&fresh, false)?;
    let made = fill(home, slug, &fresh);
    if made.is_err() {
        // What cannot be removed now, `cleanup` finds.
        let _ = tree::remove(&fresh);
    }
    made
}

fn fill(home: &Home, slug: &Slug, fresh: &Path) -> Result<(Held, Locked)> {
    let state = home.state(slug);
    let under = |path: PathBuf| {
        path.file_name()
            .map_or_else(|| fresh.to_owned(), |name| fresh.join(name))
    };
    let mut lock = Locked::create(under(state.lock()))?;
    let mut launcher = Locked::create(under(state.launcher()))?;
    // An empty folder would be replaced, and a bottle's never is.
    fs_err::rename(fresh, state.root()).map_err(|error| {
        Error::failed(format!(
            "the state directory {} is there already",
            state.root().display()
        ))
        .because(error)
        .hinted("`bottle cleanup` removes what dead bottles have left")
    })?;
    lock.moved(state.lock());
    launcher.moved(state.launcher());
    Ok((Held { state, lock }, launcher))
}

fn make(folder: &Path, may_be_there: bool) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).recursive(may_be_there);
    let made = builder.create(folder);
    Ok(made.map_err(|error| {
        std::io::Error::new(error.kind(), format!("making {}: {error}", folder.display()))
    })?)
}

fn dotted(home: &Home, why: &str, slug: &Slug) -> PathBuf {
    home.states().join(format!(".{why}-{slug}"))
}

impl Held {
    /// Removes the whole directory.
    pub fn remove(self, home: &Home, slug: &Slug) -> Result<()> {
        let gone = dotted(home, "gone", slug);
        tree::remove(&gone)?;
        fs_err::rename(self.state.root(), &gone)?;
        tree::remove(&gone)
    }
}

/// The bottles that have a state directory, in order.
pub fn slugs(home: &Home) -> Result<Vec<Slug>> {
    let mut slugs: Vec<Slug> = names(home)?.iter().filter_map(|name| name.parse().ok()).collect();
    slugs.sort();
    Ok(slugs)
}

/// Dotted folders that nobody is making or removing any more.
pub fn remains(home: &Home) -> Result<Vec<PathBuf>> {
    let folders = names(home)?
        .into_iter()
        .filter(|name| name.starts_with(".new-") || name.starts_with(".gone-"))
        .map(|name| home.states().join(name));
    Ok(folders.filter(|folder| is_abandoned(folder)).collect())
}

fn is_abandoned(folder: &Path) -> bool {
    use super::lock::{How, Tried};
    match Locked::attempt(&folder.join(".lock"), How::Shared) {
        Ok(Tried::Ours(_)) => true,
        Ok(Tried::Held) | Err(_) => false,
        Ok(Tried::NoFile) => fs_err::symlink_metadata(folder)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > SETTLED_AFTER)),
    }
}

fn names(home: &Home) -> Result<Vec<String>> {
    let entries = match fs_err::read_dir(home.states()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::lock::{Launcher, is_being_changed, launcher};
    use std::os::unix::fs::PermissionsExt as _;

    fn home() -> (tempfile::TempDir, Home, Slug) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        (folder, home, "dev-ab1cd".parse().unwrap())
    }

    #[test]
    fn a_new_state_directory_is_the_operators_alone_and_locked() {
        let (_folder, home, slug) = home();
        let (held, ours) = create(&home, &slug).unwrap();
        let mode = fs_err::metadata(held.state.root()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(is_being_changed(&held.state).unwrap());
        assert_eq!(launcher(&held.state).unwrap(), Launcher::Alive);
        assert_eq!(slugs(&home).unwrap(), std::slice::from_ref(&slug));
        ours.remove().unwrap();
        held.remove(&home, &slug).unwrap();
        assert_eq!(names(&home).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_state_directory_that_is_there_is_never_replaced() {
        let (_folder, home, slug) = home();
        let first = create(&home, &slug).unwrap();
        assert!(create(&home, &slug).is_err());
        assert_eq!(names(&home).unwrap(), [slug.to_string()]);
        drop(first);
        assert!(create(&home, &slug).is_err());
    }

    #[test]
    fn what_a_killed_launcher_left_half_made_is_found_and_what_is_being_made_is_not() {
        let (_folder, home, slug) = home();
        let half = dotted(&home, "new", &slug);
        make(&half, true).unwrap();
        assert_eq!(remains(&home).unwrap(), Vec::<PathBuf>::new());
        let lock = Locked::create(half.join(".lock")).unwrap();
        assert_eq!(remains(&home).unwrap(), Vec::<PathBuf>::new());
        drop(lock);
        assert_eq!(remains(&home).unwrap(), [half]);
        assert_eq!(slugs(&home).unwrap(), Vec::<Slug>::new());
    }
}
