//! Our own binaries beside this program: `../libexec/bottle/<arch>/<name>`.

use crate::error::{Error, Result};
use bytes::Bytes;
use std::path::{Path, PathBuf};

/// The folder with the guards, the shim and the probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libexec {
    folder: PathBuf,
}

impl Libexec {
    /// Beside the program that runs, links resolved.
    pub fn of_process() -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| {
            Error::environment("this program cannot find out where it is installed").because(error)
        })?;
        Self::beside(&program)
    }

    /// Beside this program, `…/bin/bottle`.
    pub fn beside(program: &Path) -> Result<Self> {
        let prefix = program
            .parent()
            .and_then(Path::parent)
            .ok_or_else(|| Error::environment(format!("{} is in no installation", program.display())))?;
        Ok(Self {
            folder: prefix.join("libexec/bottle").join(std::env::consts::ARCH),
        })
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of our binaries; an error when it is not there.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(
            Error::environment(format!("{} is missing from this installation", path.display()))
                .hinted("install bottle again: `make install`"),
        )
    }

    /// One of our binaries.
    pub fn read(&self, name: &str) -> Result<Bytes> {
        Ok(fs_err::read(self.path(name)?).map(Bytes::from)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_binaries_are_beside_the_program_and_a_missing_one_is_named() {
        let prefix = tempfile::tempdir().unwrap();
        let libexec = Libexec::beside(&prefix.path().join("bin/bottle")).unwrap();
        fs_err::create_dir_all(libexec.folder()).unwrap();
        fs_err::write(libexec.folder().join("egress"), "elf").unwrap();
        assert_eq!(libexec.read("egress").unwrap(), "elf");
        let error = libexec.read("shim").unwrap_err();
        assert_eq!(error.kind().exit_code(), 6);
        assert!(error.to_string().contains("libexec/bottle"), "{error}");
    }
}
