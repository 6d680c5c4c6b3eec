//! Removing a state directory, whatever an agent has left in it.

use crate::error::{Error, Result};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Removes a folder and everything in it; no error when it is not there. Folders that the agent made unwritable (package managers
/// do) are made writable first. No link is followed.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs_err::remove_dir_all(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(not_removed(folder, error)),
    }
    make_writable(folder);
    fs_err::remove_dir_all(folder).map_err(|error| not_removed(folder, error))
}

fn not_removed(folder: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("{} cannot be removed", folder.display()))
        .because(error)
        .hinted("remove what is left of it by hand, as the user that it belongs to")
}

/// As far as it goes; what stays unwritable is told by the removal.
fn make_writable(folder: &Path) {
    let _ = fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_an_agent_made_unwritable_are_removed_and_links_are_not_followed() {
        let outer = tempfile::tempdir().unwrap();
        let precious = outer.path().join("precious");
        fs_err::create_dir(&precious).unwrap();
        fs_err::write(precious.join("file"), "").unwrap();
        let state = outer.path().join("state");
        let deep = state.join("agent/home/go/pkg");
        fs_err::create_dir_all(&deep).unwrap();
        fs_err::write(deep.join("module"), "").unwrap();
        std::os::unix::fs::symlink(&precious, state.join("link")).unwrap();
        for folder in [&deep, &state.join("agent/home")] {
            fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o500)).unwrap();
        }
        remove(&state).unwrap();
        assert!(!state.exists() && precious.join("file").exists());
        remove(&state).unwrap();
    }
}
