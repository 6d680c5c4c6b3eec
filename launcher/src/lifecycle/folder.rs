//! A state directory comes whole and goes whole.
//!
//! It is made under a dotted name beside `state/`, with its locks already held, and then moved in; and it is moved out before it is
//! emptied: whoever looks into `state/` sees all of a bottle or nothing. What a killed launcher leaves under a dotted name, `cleanup`
//! removes.

use super::lock::Locked;
use super::observe::is_there;
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
    let fresh = dotted(home, NEW, slug);
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
    let taken = || {
        Error::failed(format!(
            "the state directory {} is there already",
            state.root().display()
        ))
        .hinted("`bottle cleanup` removes what dead bottles have left")
    };
    // The rename would replace an empty one, and that is what may be left of one that was damaged.
    if is_there(state.root())? {
        return Err(taken());
    }
    fs_err::rename(fresh, state.root()).map_err(|error| taken().because(error))?;
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

/// What is being made.
const NEW: &str = ".new-";
/// What is being removed.
const GONE: &str = ".gone-";
/// What is left of bottles that were ended without a state directory that can be read.
const ASIDE: &str = "damaged";
/// What its containers wrote, in there.
pub(super) const CONTAINERS_LOG: &str = "containers.log";

/// The folder that `state/` is in, a link on the way resolved: a rename does not leave a file system.
fn beside(home: &Home) -> PathBuf {
    fs_err::canonicalize(home.states())
        .ok()
        .and_then(|states| states.parent().map(Path::to_owned))
        .unwrap_or_else(|| home.root().to_owned())
}

fn dotted(home: &Home, why: &str, slug: &Slug) -> PathBuf {
    beside(home).join(format!("{why}{slug}"))
}

fn is_dotted(name: &str) -> bool {
    [NEW, GONE].iter().any(|why| {
        name.strip_prefix(why)
            .is_some_and(|slug| slug.parse::<Slug>().is_ok())
    })
}

impl Held {
    /// Removes the whole directory.
    pub fn remove(self, home: &Home, slug: &Slug) -> Result<()> {
        remove(home, slug)
    }
}

/// Removes a state directory, or whatever lies in its place; no link is followed.
pub(super) fn remove(home: &Home, slug: &Slug) -> Result<()> {
    let gone = dotted(home, GONE, slug);
    tree::remove(&gone)?;
    fs_err::rename(home.state(slug).root(), &gone)?;
    tree::remove(&gone)
}

/// `damaged/<slug>/`, on the file system that state directories are on: what is left of a bottle that was ended without one that can
/// be read.
pub fn aside(home: &Home, slug: &Slug) -> PathBuf {
    beside(home).join(ASIDE).join(slug.as_str())
}

/// Everywhere that it may be: where `state/` was a link that led nowhere when the bottle was ended, it is beside the link.
fn asides(home: &Home, slug: &Slug) -> impl Iterator<Item = PathBuf> {
    let beside_the_link = home.root().join(ASIDE).join(slug.as_str());
    [aside(home, slug), beside_the_link]
        .into_iter()
        .filter(|folder| is_anything(folder))
}

/// A file of the operator's own in its way is nothing; what cannot be looked at may be something.
fn is_anything(folder: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let looked = fs_err::symlink_metadata(folder);
    !looked.is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}

/// Whether anything of the bottle was set aside.
pub fn is_set_aside(home: &Home, slug: &Slug) -> bool {
    asides(home, slug).next().is_some()
}

/// What its containers wrote, where that was set aside.
pub fn logs_aside(home: &Home, slug: &Slug) -> Option<PathBuf> {
    let mut logs = asides(home, slug).map(|folder| folder.join(CONTAINERS_LOG));
    logs.find(|log| log.is_file())
}

/// Makes that folder.
pub(super) fn make_aside(home: &Home, slug: &Slug) -> Result<PathBuf> {
    let folder = aside(home, slug);
    make(&folder, true)?;
    Ok(folder)
}

/// Moves a state directory there as it is, or whatever lies in its place; where it is now, or `None` where there was nothing.
pub(super) fn set_aside(home: &Home, slug: &Slug, aside: &Path) -> Result<Option<PathBuf>> {
    let root = home.state(slug);
    let Ok(there) = fs_err::symlink_metadata(root.root()) else {
        return Ok(None);
    };
    let to = free_name(aside, "state")?;
    if there.is_symlink() {
        // What it leads to stays where it is. From another folder a relative link would lead elsewhere.
        let leads = fs_err::read_link(root.root())?;
        std::os::unix::fs::symlink(home.states().join(leads), &to)?;
        fs_err::remove_file(root.root())?;
    } else {
        if there.is_dir() {
            // To move a folder is to write its `..`.
            tree::writable(root.root())?;
        }
        fs_err::rename(root.root(), &to)?;
    }
    for folder in [aside, &home.states()] {
        crate::write::sync(folder)?;
    }
    Ok(Some(to))
}

/// A path in the folder that nothing has: `name`, else `name-2`, `name-3`…
pub(super) fn free_name(folder: &Path, name: &str) -> Result<PathBuf> {
    let mut path = folder.join(name);
    let mut number = 2_u32;
    while is_there(&path)? {
        path = folder.join(format!("{name}-{number}"));
        number = number.saturating_add(1);
    }
    Ok(path)
}

/// Removes what was set aside; whether there was anything.
pub(super) fn remove_aside(home: &Home, slug: &Slug) -> Result<bool> {
    let mut any = false;
    for folder in asides(home, slug) {
        tree::remove(&folder)?;
        // Fails where another bottle's is in it.
        let _ = folder.parent().map(std::fs::remove_dir);
        any = true;
    }
    Ok(any)
}

/// The bottles that have a state directory, in order.
pub fn slugs(home: &Home) -> Result<Vec<Slug>> {
    let mut slugs: Vec<Slug> = names(&home.states())?
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    slugs.sort();
    Ok(slugs)
}

/// Dotted folders that nobody is making or removing any more.
pub fn remains(home: &Home) -> Result<Vec<PathBuf>> {
    let beside = beside(home);
    let folders = names(&beside)?
        .into_iter()
        .filter(|name| is_dotted(name))
        .map(|name| beside.join(name));
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

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs_err::read_dir(folder) {
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
        assert_eq!(names(&home.states()).unwrap(), Vec::<String>::new());
        assert_eq!(names(home.root()).unwrap(), ["state"]);
    }

    #[test]
    fn a_state_directory_that_is_there_is_never_replaced() {
        let (_folder, home, slug) = home();
        let first = create(&home, &slug).unwrap();
        assert!(create(&home, &slug).is_err());
        assert_eq!(names(&home.states()).unwrap(), [slug.to_string()]);
        assert_eq!(names(home.root()).unwrap(), ["state"]);
        drop(first);
        assert!(create(&home, &slug).is_err());
        let emptied: Slug = "dev-00000".parse().unwrap();
        fs_err::create_dir(home.state(&emptied).root()).unwrap();
        assert!(
            create(&home, &emptied).is_err(),
            "not even one that has nothing left in it"
        );
        fs_err::remove_dir(home.state(&emptied).root()).unwrap();
    }

    #[test]
    fn the_states_may_lie_elsewhere_behind_a_link() {
        let (_folder, home, slug) = home();
        let elsewhere = tempfile::tempdir().unwrap();
        let states = elsewhere.path().join("bottles");
        fs_err::create_dir(&states).unwrap();
        std::os::unix::fs::symlink(&states, home.states()).unwrap();
        let (held, _launcher) = create(&home, &slug).unwrap();
        assert_eq!(names(&states).unwrap(), [slug.to_string()]);
        held.remove(&home, &slug).unwrap();
        assert_eq!(names(elsewhere.path()).unwrap(), ["bottles"]);
    }

    #[test]
    fn what_a_killed_launcher_left_half_made_is_found_and_what_is_being_made_is_not() {
        let (_folder, home, slug) = home();
        let half = dotted(&home, NEW, &slug);
        make(&half, true).unwrap();
        assert_eq!(remains(&home).unwrap(), Vec::<PathBuf>::new());
        let lock = Locked::create(half.join(".lock")).unwrap();
        assert_eq!(remains(&home).unwrap(), Vec::<PathBuf>::new());
        drop(lock);
        assert_eq!(remains(&home).unwrap(), [half]);
        assert_eq!(slugs(&home).unwrap(), Vec::<Slug>::new());
        // The operator's own.
        fs_err::create_dir(home.root().join(".new-ideas")).unwrap();
        assert_eq!(remains(&home).unwrap().len(), 1);
    }
}
