//! Copies a directory into a bottle: what is in it, and nothing that it points to.
//!
//! Symbolic links are copied as links. Sockets, pipes and devices are left out, set-uid bits too. Modification times are kept, so
//! that a build in the copy does not start over. A file that vanishes meanwhile is skipped: the original is in use.

use crate::error::{Error, Result};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

/// Copies the contents of `from` into the existing folder `to`.
pub fn contents(from: &Path, to: &Path) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::from(error).hinted("nothing was started, and the copy is removed");
    copy_contents(from, to).map_err(failed)
}

fn copy_contents(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        match copy_entry(&entry, &to.join(entry.file_name())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !entry.path().exists() => {}
            other => other?,
        }
    }
    Ok(())
}

fn copy_entry(entry: &fs_err::DirEntry, to: &Path) -> std::io::Result<()> {
    let (from, kind) = (entry.path(), entry.file_type()?);
    if kind.is_symlink() {
        return fs_err::os::unix::fs::symlink(fs_err::read_link(&from)?, to);
    }
    if kind.is_socket() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
        return Ok(());
    }
    let metadata = entry.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    if kind.is_dir() {
        fs_err::create_dir(to)?;
        copy_contents(&from, to)?;
    } else {
        // Shares the bytes where the file system can (copy_file_range).
        fs_err::copy(&from, to)?;
    }
    let copied = fs_err::File::open(to).or_else(|_| {
        // The copy has the original's mode already, which may not allow reading.
        fs_err::set_permissions(to, std::fs::Permissions::from_mode(mode | 0o400))?;
        fs_err::File::open(to)
    })?;
    copied
        .file()
        .set_times(std::fs::FileTimes::new().set_modified(metadata.modified()?))?;
    copied.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_copy_is_like_the_original_and_follows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs_err::create_dir_all(from.join("src/empty")).unwrap();
        fs_err::create_dir(&to).unwrap();
        fs_err::write(from.join("src/run.sh"), "echo").unwrap();
        fs_err::set_permissions(from.join("src/run.sh"), std::fs::Permissions::from_mode(0o4750)).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let times = std::fs::FileTimes::new().set_modified(then);
        fs_err::File::options()
            .write(true)
            .open(from.join("src/run.sh"))
            .unwrap()
            .file()
            .set_times(times)
            .unwrap();
        symlink("/etc/shadow", from.join("link")).unwrap();
        symlink("nowhere", from.join("dangling")).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        contents(&from, &to).unwrap();
        let metadata = fs_err::metadata(to.join("src/run.sh")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o750);
        assert_eq!(metadata.modified().unwrap(), then);
        assert_eq!(
            fs_err::read_link(to.join("link")).unwrap(),
            Path::new("/etc/shadow")
        );
        assert_eq!(
            fs_err::read_link(to.join("dangling")).unwrap(),
            Path::new("nowhere")
        );
        assert!(to.join("src/empty").is_dir());
        assert!(!to.join("pipe").exists() && !to.join("socket").exists());
    }

    #[test]
    fn changing_the_copy_leaves_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs_err::create_dir(&from).unwrap();
        fs_err::create_dir(&to).unwrap();
        fs_err::write(from.join("file"), "original").unwrap();
        fs_err::hard_link(from.join("file"), from.join("other")).unwrap();
        contents(&from, &to).unwrap();
        fs_err::write(to.join("file"), "changed").unwrap();
        assert_eq!(fs_err::read_to_string(from.join("file")).unwrap(), "original");
        assert_eq!(fs_err::read_to_string(to.join("other")).unwrap(), "original");
    }
}
