//! Scanners that others run in a hook: one process for one commit.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::bare;
use crate::prefix::Prefix;

/// A scanner that is there.
pub(super) struct Peer {
    /// Its row.
    pub(super) name: &'static str,
    program: PathBuf,
}

/// Those that `make bench` could install.
pub(super) fn found(say: &mut dyn FnMut(&str)) -> Vec<Peer> {
    let mut peers = Vec::new();
    for name in ["betterleaks", "gitleaks"] {
        let program = Prefix::find().map(|prefix| prefix.fixture(&format!("{name}/bin/{name}")));
        match program {
            Ok(program) if program.is_file() => peers.push(Peer { name, program }),
            _ => say(&format!(
                "{name} is not there and is left out; `make bench` installs it"
            )),
        }
    }
    peers
}

// === impl Peer ===

impl Peer {
    /// How long it takes for the last commit of a working copy.
    pub(super) fn scan(&self, work: &Path) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let status = bare(&self.program)
            .args(["git", "--no-banner", "--log-opts=-1", "."])
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .current_dir(work)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        let took = began.elapsed();
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(took)
    }
}
