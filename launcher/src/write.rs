//! Writes a file whole or not at all: a temporary beside it, fsync, rename, fsync of the folder.
//!
//! Whoever reads sees the old file or the new one; a full disk leaves the old one and nothing else.

use crate::error::Result;
use crate::kill_points::reached;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes `bytes` to `path` with exactly these permission bits, replacing what is there.
pub fn atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = temporary_in(folder, mode).map_err(|error| told(path, error))?;
    let written = temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all());
    written.map_err(|error| told(path, error))?;
    reached("written and synced").map_err(|error| told(path, error))?;
    temporary.persist(path).map_err(|error| told(path, error.error))?;
    reached("renamed")?;
    sync(folder)?;
    Ok(reached("folder synced")?)
}

/// Like [`atomically`], with the mode and the owner of the file that it replaces: the user that a guard runs as.
pub fn in_place_of(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let present = fs_err::symlink_metadata(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = present.permissions().mode() & 0o777;
    let mut temporary = temporary_in(folder, mode).map_err(|error| told(path, error))?;
    let ours = temporary.as_file().metadata()?;
    if (ours.uid(), ours.gid()) != (present.uid(), present.gid()) {
        std::os::unix::fs::fchown(temporary.as_file(), Some(present.uid()), Some(present.gid()))
            .map_err(|error| told(path, error))?;
    }
    let written = temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all());
    written.map_err(|error| told(path, error))?;
    reached("written and synced").map_err(|error| told(path, error))?;
    temporary.persist(path).map_err(|error| told(path, error.error))?;
    reached("renamed")?;
    sync(folder)?;
    Ok(reached("folder synced")?)
}

/// Makes a file that must not be there yet by `link(2)`, whole: of two who try at once, one does. `false`: somebody else's is there.
pub fn linked(path: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = temporary_in(folder, mode).map_err(|error| told(path, error))?;
    let written = temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all());
    written.map_err(|error| told(path, error))?;
    reached("written and synced").map_err(|error| told(path, error))?;
    match std::fs::hard_link(temporary.path(), path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(told(path, error).into()),
    }
    reached("linked")?;
    sync(folder)?;
    reached("folder synced")?;
    Ok(true)
}

/// Like [`atomically`], for a file that must not be there yet.
pub fn anew(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = temporary_in(folder, mode).map_err(|error| told(path, error))?;
    let written = temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all());
    written.map_err(|error| told(path, error))?;
    temporary
        .persist_noclobber(path)
        .map_err(|error| told(path, error.error))?;
    sync(folder)
}

/// Writes a file that nobody can have read yet, into a folder that is removed whole when this fails: without the detours that
/// [`atomically`] makes, each of which waits for the disk (measured: 8 ms a file).
pub fn first(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut options = fs_err::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode & 0o700)
        .open(path)?;
    file.write_all(bytes)?;
    // Whatever the umask says.
    Ok(file.set_permissions(std::fs::Permissions::from_mode(mode))?)
}

/// Makes a folder that only its owner gets into; one that is there is fine, and keeps its mode.
pub fn folder(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    match builder.mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(std::io::Error::new(
            error.kind(),
            format!("making the folder {}: {error}", path.display()),
        )
        .into()),
        Ok(()) => Ok(()),
    }
}

/// Makes a file's contents, or what was made, renamed or removed in a folder, outlast a crash of the machine.
pub fn sync(path: &Path) -> Result<()> {
    Ok(fs_err::File::open(path)?.sync_all()?)
}

fn temporary_in(folder: &Path, mode: u32) -> std::io::Result<tempfile::NamedTempFile> {
    let temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    // Whatever the umask says.
    temporary
        .as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    Ok(temporary)
}

fn told(path: &Path, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("writing {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_replaced_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.yaml");
        atomically(&path, b"one", 0o600).unwrap();
        atomically(&path, b"two", 0o644).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        assert_eq!(
            fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o644
        );
        assert_eq!(names(folder.path()), ["routes.yaml"]);
    }

    #[test]
    fn what_is_there_is_not_replaced_by_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev.md");
        anew(&path, b"one", 0o644).unwrap();
        let error = anew(&path, b"two", 0o644).unwrap_err();
        assert!(error.to_string().contains("dev.md"), "{error}");
        assert_eq!(fs_err::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["dev.md"]);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs_err::create_dir(&path).unwrap();
        fs_err::write(path.join("x"), "").unwrap();
        let error = atomically(&path, b"one", 0o644).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(names(folder.path()), ["taken"]);
    }
}
