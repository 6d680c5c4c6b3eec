//! Config files: read whole and bounded, and looked at for changes with one `stat`.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest config file that is read, in bytes.
pub const MAX_FILE: usize = contract::table::MAX_FILE;

/// A file system's clock may stand still this long: a file that changed so recently may change again without looking
/// different (the coarsest clock in use ticks every 10 ms).
const CLOCK_STEP: Duration = Duration::from_millis(100);

/// A config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// it cannot be read
    #[error("{0}")]
    Io(#[from] io::Error),
    /// it must be there and is not
    #[error("{0} is missing; {1}")]
    Missing(PathBuf, &'static str),
    /// it is longer than any of ours
    #[error("{0} is longer than {MAX_FILE} bytes")]
    TooLarge(PathBuf),
    /// a certificate or key is not text
    #[error("{0} is not a PEM file")]
    NotText(PathBuf),
}

/// Reads a file of at most [`MAX_FILE`] bytes; `missing` says what to do when it is not there.
pub fn read(path: &Path, missing: &'static str) -> Result<Vec<u8>, FileError> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(FileError::Missing(path.to_owned(), missing));
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Reads a PEM file.
pub fn text(path: &Path, missing: &'static str) -> Result<String, FileError> {
    String::from_utf8(read(path, missing)?).map_err(|_| FileError::NotText(path.to_owned()))
}

/// Reads a PEM file that need not be there: empty then.
pub fn text_if_there(path: &Path) -> Result<String, FileError> {
    match text(path, "") {
        Err(FileError::Missing(..)) => Ok(String::new()),
        other => other,
    }
}

/// What a file looked like when it was looked at last.
#[derive(Debug, Default)]
pub struct Seen(Option<Version>);

/// What tells one version of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Also changed by a rename onto the name, which modifies nothing.
    changed: (i64, i64),
    /// The file had changed so shortly before it was looked at that another change may not show.
    may_hide_another: bool,
}

// === impl Seen ===

impl Seen {
    /// Looks, and says whether the file may differ from what it was at the look before. When that cannot be told, it may.
    pub fn may_have_changed(&mut self, path: &Path) -> bool {
        let now = Version::of(path);
        let unchanged =
            now.is_some() && now == self.0 && !now.is_some_and(|version| version.may_hide_another);
        self.0 = now;
        !unchanged
    }

    /// Has the next look say that the file may have changed.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

// === impl Version ===

impl Version {
    fn of(path: &Path) -> Option<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let metadata = fs_err::metadata(path).ok()?;
        let (seconds, nanos) = (metadata.ctime(), metadata.ctime_nsec());
        let changed = Duration::new(
            u64::try_from(seconds).unwrap_or_default(),
            u32::try_from(nanos).unwrap_or_default(),
        );
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (seconds, nanos),
            may_hide_another: now < changed + CLOCK_STEP,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.yaml");
        let error = read(&path, "write the routes there").unwrap_err().to_string();
        assert!(
            error.contains("routes.yaml") && error.contains("write the routes"),
            "{error}"
        );
        assert_eq!(text_if_there(&path).unwrap(), "");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("extra-ca.pem");
        fs_err::write(&path, vec![b'x'; MAX_FILE + 1]).unwrap();
        assert!(matches!(text_if_there(&path), Err(FileError::TooLarge(_))));
    }

    #[test]
    fn a_change_is_seen_and_what_cannot_be_told_counts_as_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.yaml");
        let mut seen = Seen::default();
        assert!(seen.may_have_changed(&path), "it is not there");
        fs_err::write(&path, "one").unwrap();
        assert!(seen.may_have_changed(&path));
        fs_err::write(&path, "two").unwrap();
        assert!(seen.may_have_changed(&path), "same length, at once after");
        seen.forget();
        assert!(seen.may_have_changed(&path));
    }
}
