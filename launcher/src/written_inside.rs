//! Files that a container can write, read on the host.
//!
//! Whoever writes such a file may have put a link, a fifo or a device there, or fill the disk. So it is opened without following a
//! link and without waiting, must be a regular file, and is read up to [`LONGEST`] bytes.

use crate::error::{Error, Result};
use nix::fcntl::OFlag;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The longest file that is read, in bytes.
pub const LONGEST: u64 = 1 << 20;

/// Its bytes; `None` where there is no such file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
        .open(path);
    let refused =
        |why: &str| Error::failed(format!("{}, which a container can write, {why}", path.display()));
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused("cannot be opened").because(error)),
    };
    let metadata = file
        .metadata()
        .map_err(|error| refused("cannot be examined").because(error))?;
    if !metadata.is_file() {
        return Err(refused("is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refused("cannot be read").because(error))?;
    // Its length may change while it is read, so it is what was read that counts.
    if bytes.len() as u64 > LONGEST {
        return Err(refused("is longer than 1 MiB"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_is_read_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("applied.json");
        assert_eq!(read(&path).unwrap(), None);
        fs_err::write(&path, "{}").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(b"{}".as_slice()));
    }

    #[test]
    fn a_link_a_fifo_a_folder_and_a_huge_file_are_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs_err::write(at("target"), "secret of the host").unwrap();
        std::os::unix::fs::symlink(at("target"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs_err::create_dir(at("folder")).unwrap();
        let huge = fs_err::File::create(at("huge")).unwrap();
        huge.set_len(LONGEST + 1).unwrap();
        for name in ["link", "fifo", "folder", "huge"] {
            let error = read(&at(name)).unwrap_err().to_string();
            assert!(error.contains("a container can write"), "{name}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        huge.set_len(LONGEST).unwrap();
        assert_eq!(
            read(&at("huge")).unwrap().map(|bytes| bytes.len() as u64),
            Some(LONGEST)
        );
    }
}
