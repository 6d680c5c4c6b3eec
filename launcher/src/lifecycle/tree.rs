//! Removing a state directory, whatever an agent has left in it.

use crate::error::{Error, Result};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Removes a folder and everything in it; no error when it is not there. Folders that the agent made unwritable (package managers
/// do) are made writable first. No link is followed.
///
/// Whatever lies deeper than two levels is moved up before it is emptied, so that neither descriptors, stack nor path length grow with
/// the depth: an agent can nest folders deeper than a process can hold open.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs_err::symlink_metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if !metadata.is_dir() => {
            return fs_err::remove_file(folder).map_err(|error| not_removed(folder, error));
        }
        _ => {}
    }
    emptied(folder)
        .and_then(|()| fs_err::remove_dir(folder))
        .map_err(|error| not_removed(folder, error))
}

fn emptied(top: &Path) -> std::io::Result<()> {
    let mut moved = 0_u64;
    loop {
        writable(top)?;
        let before = moved;
        for entry in fs_err::read_dir(top)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs_err::remove_file(entry.path())?;
                continue;
            }
            writable(&entry.path())?;
            for inner in fs_err::read_dir(entry.path())? {
                let inner = inner?;
                if !inner.file_type()?.is_dir() {
                    fs_err::remove_file(inner.path())?;
                    continue;
                }
                // Moving a folder writes its `..`, and so needs its own permission.
                writable(&inner.path())?;
                let mut up = top.join(format!(".moved-{moved}"));
                while fs_err::symlink_metadata(&up).is_ok() {
                    moved += 1;
                    up = top.join(format!(".moved-{moved}"));
                }
                fs_err::rename(inner.path(), up)?;
                moved += 1;
            }
            fs_err::remove_dir(entry.path())?;
        }
        if moved == before {
            return Ok(());
        }
    }
}

pub(super) fn writable(folder: &Path) -> std::io::Result<()> {
    let metadata = fs_err::symlink_metadata(folder)?;
    if metadata.permissions().mode() & 0o700 == 0o700 {
        return Ok(());
    }
    fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

fn not_removed(folder: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("{} cannot be removed", folder.display()))
        .because(error)
        .hinted("remove what is left of it by hand, as the user that it belongs to")
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

    #[test]
    fn folders_nested_deeper_than_a_process_may_hold_open_are_removed() {
        let outer = tempfile::tempdir().unwrap();
        let state = outer.path().join("state");
        // Grown from below, by moving the whole into a new folder, so that no path here is long.
        let mut grown = outer.path().join("grown-0");
        fs_err::create_dir(&grown).unwrap();
        for depth in 1..3000 {
            let above = outer.path().join(format!("grown-{depth}"));
            fs_err::create_dir(&above).unwrap();
            fs_err::rename(&grown, above.join(".moved-0")).unwrap();
            grown = above;
        }
        fs_err::rename(&grown, &state).unwrap();
        remove(&state).unwrap();
        assert!(!state.exists());
    }
}
