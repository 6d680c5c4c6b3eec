//! Who changes a bottle, and who answers for it: two locks in its state directory, both of the kernel's, so that they end
//! with whoever holds them.
//!
//! * `.lock` is held while anything of the bottle is changed. Compose inherits it, so it outlasts a killed launcher for as long
//!   as compose is at work.
//! * `.launcher` is held by the launcher that answers for the bottle: during every start, and to the end of a foreground one. Without
//!   the file nobody needs to (a detached bottle); with the file and no holder, that launcher has died.

use crate::error::{Error, Result};
use crate::home::State;
use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a lock that somebody else holds is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A lock file, locked until dropped.
pub struct Locked {
    file: File,
    path: PathBuf,
}

impl AsFd for Locked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What came of trying a lock.
pub enum Tried {
    /// It is ours.
    Ours(Locked),
    /// Somebody else holds it.
    Held,
    /// There is no such file.
    NoFile,
}

/// How a lock is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By one.
    Alone,
    /// By any number, as long as nobody holds it alone.
    Shared,
}

impl Locked {
    /// Creates the file (mode 0600) and locks it at once; nobody else can have it.
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = open(&path, true)?;
        file.try_lock()
            .map_err(|error| Error::failed(format!("{} cannot be locked", path.display())).because(error))?;
        Ok(Self { file, path })
    }

    /// Tries it once.
    pub fn attempt(path: &Path, how: How) -> Result<Tried> {
        let file = match open(path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Tried::NoFile),
            Err(error) => return Err(error.into()),
        };
        let tried = match how {
            How::Alone => file.try_lock(),
            How::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Tried::Held),
            Err(TryLockError::Error(error)) => {
                return Err(Error::failed(format!("{} cannot be locked", path.display())).because(error));
            }
        }
        let locked = Self {
            file,
            path: path.to_owned(),
        };
        Ok(if locked.is_the_one_at_its_path() {
            Tried::Ours(locked)
        } else {
            Tried::NoFile
        })
    }

    /// Waits for it until the deadline; `None` when there is no such file (any more).
    pub async fn wait(path: &Path, how: How, deadline: Duration) -> Result<Option<Self>> {
        let waiting = async {
            loop {
                match Self::attempt(path, how)? {
                    Tried::Ours(locked) => return Ok(Some(locked)),
                    Tried::NoFile => return Ok(None),
                    Tried::Held => tokio::time::sleep(TRY_EVERY).await,
                }
            }
        };
        tokio::time::timeout(deadline, waiting).await.unwrap_or_else(|_| {
            Err(Error::failed(format!(
                "another bottle command has held {} for {} s",
                path.display(),
                deadline.as_secs()
            ))
            .hinted("wait for it to end, then try again"))
        })
    }

    /// A lock whose file is made when it is not there.
    pub async fn wait_or_create(path: &Path, how: How, deadline: Duration) -> Result<Self> {
        loop {
            if let Some(locked) = Self::wait(path, how, deadline).await? {
                return Ok(locked);
            }
            drop(open(path, true)?);
        }
    }

    /// Its file has been moved along with its folder.
    pub(super) fn moved(&mut self, to: PathBuf) {
        self.path = to;
    }

    /// Removes the file and ends the lock: nobody answers any more.
    pub fn remove(self) -> Result<()> {
        Ok(fs_err::remove_file(&self.path)?)
    }

    /// Whether it still counts. The file may have been removed, and made anew, since it was opened.
    pub fn is_the_one_at_its_path(&self) -> bool {
        match (self.file.metadata(), fs_err::symlink_metadata(&self.path)) {
            (Ok(held), Ok(there)) => held.ino() == there.ino() && held.dev() == there.dev(),
            _ => false,
        }
    }
}

fn open(path: &Path, create: bool) -> std::io::Result<File> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;
    let file = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    Ok(file.into_file())
}

/// Who answers for a bottle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// Nobody needs to: it was left running in the background.
    None,
    /// A launcher that runs.
    Alive,
    /// A launcher that has died.
    Dead,
}

/// Who answers for the bottle with this state directory.
pub fn launcher(state: &State) -> Result<Launcher> {
    Ok(match Locked::attempt(&state.launcher(), How::Shared)? {
        Tried::NoFile => Launcher::None,
        Tried::Held => Launcher::Alive,
        Tried::Ours(_) => Launcher::Dead,
    })
}

/// Whether somebody is changing the bottle right now.
pub fn is_being_changed(state: &State) -> Result<bool> {
    Ok(matches!(
        Locked::attempt(&state.lock(), How::Shared)?,
        Tried::Held
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn state() -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().unwrap();
        let state = Home::at(folder.path().to_owned()).state(&"dev-ab1cd".parse().unwrap());
        fs_err::create_dir_all(state.root()).unwrap();
        (folder, state)
    }

    #[test]
    fn a_launcher_is_alive_while_it_holds_its_lock_and_dead_after() {
        let (_folder, state) = state();
        assert_eq!(launcher(&state).unwrap(), Launcher::None);
        let held = Locked::create(state.launcher()).unwrap();
        assert_eq!(launcher(&state).unwrap(), Launcher::Alive);
        drop(held);
        assert_eq!(launcher(&state).unwrap(), Launcher::Dead);
    }

    #[test]
    fn a_launcher_that_lets_go_in_order_is_not_dead() {
        let (_folder, state) = state();
        Locked::create(state.launcher()).unwrap().remove().unwrap();
        assert_eq!(launcher(&state).unwrap(), Launcher::None);
    }

    #[tokio::test]
    async fn who_waits_for_a_bottle_that_is_removed_meanwhile_gets_nothing() {
        let (_folder, state) = state();
        let held = Locked::create(state.lock()).unwrap();
        assert!(is_being_changed(&state).unwrap());
        let path = state.lock();
        let waiting = Locked::wait(&path, How::Alone, Duration::from_secs(30));
        let removing = async {
            tokio::task::yield_now().await;
            fs_err::remove_dir_all(state.root()).unwrap();
            drop(held);
        };
        let (got, ()) = tokio::join!(waiting, removing);
        assert!(got.unwrap().is_none());
    }

    #[tokio::test]
    async fn two_may_share_what_one_cannot_hold_alone() {
        let (_folder, state) = state();
        let long = Duration::from_secs(30);
        let first = Locked::wait_or_create(&state.lock(), How::Shared, long)
            .await
            .unwrap();
        assert!(matches!(
            Locked::attempt(&state.lock(), How::Shared).unwrap(),
            Tried::Ours(_)
        ));
        assert!(matches!(
            Locked::attempt(&state.lock(), How::Alone).unwrap(),
            Tried::Held
        ));
        drop(first);
        assert!(matches!(
            Locked::attempt(&state.lock(), How::Alone).unwrap(),
            Tried::Ours(_)
        ));
    }
}
