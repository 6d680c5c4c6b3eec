//! Files that a reader sees whole or not at all, also after a power cut.

use std::io::{self, Write as _};
use std::path::Path;

/// Replaces the file `name` in `directory`: temporary file beside it, fsync, rename, fsync of the directory. When this
/// returns, the new bytes are on disk; when it fails, the old file still is.
pub fn replace(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let failed = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot write {}: {error}", directory.join(name).display()),
        )
    };
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .tempfile_in(directory)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(directory.join(name))
        .map_err(|error| failed(error.error))?;
    fs_err::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        replace(directory.path(), "a.json", b"one").unwrap();
        replace(directory.path(), "a.json", b"two").unwrap();
        let names: Vec<_> = fs_err::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["a.json"]);
        assert_eq!(
            fs_err::read_to_string(directory.path().join("a.json")).unwrap(),
            "two"
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = replace(Path::new("/nonexistent/run"), "a.json", b"").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/run/a.json"), "{error}");
    }
}
