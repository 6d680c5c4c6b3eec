//! The installation under test: what `make install` lays out, in a folder of the build.

use anyhow::bail;
use std::path::{Path, PathBuf};

/// `bin/bottle`, `libexec/bottle/<arch>/…` and the fixtures beside them.
pub struct Prefix(PathBuf);

impl Prefix {
    /// The folder that the Makefile filled: `BOTTLE_TEST_PREFIX`, else `target/prefix` of this workspace.
    pub fn find() -> anyhow::Result<Self> {
        let prefix = match std::env::var_os("BOTTLE_TEST_PREFIX") {
            Some(given) => PathBuf::from(given),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/prefix"),
        };
        let prefix = Self(fs_err::canonicalize(&prefix).unwrap_or(prefix));
        if !prefix.bottle().is_file() {
            bail!(
                "{} is not there; run the tests by `make test`, which builds it",
                prefix.bottle().display()
            );
        }
        Ok(prefix)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The launcher.
    pub fn bottle(&self) -> PathBuf {
        self.0.join("bin/bottle")
    }

    /// A guard, the shim or the probe.
    pub fn libexec(&self, program: &str) -> PathBuf {
        self.0
            .join("libexec/bottle")
            .join(std::env::consts::ARCH)
            .join(program)
    }

    /// A program that only tests use.
    pub fn fixture(&self, program: &str) -> PathBuf {
        self.0.join("fixtures").join(program)
    }
}
