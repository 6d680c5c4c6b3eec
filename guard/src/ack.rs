//! `applied.json`: what this guard has in force, for the launcher to read back.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use contract::place::run::APPLIED;
use contract::{Applied, LaunchNonce, SCHEMA_VERSION, Sha256Hex};

/// Writes the acknowledgements of one launch.
#[derive(Debug)]
pub struct AckWriter {
    directory: PathBuf,
    launch_nonce: LaunchNonce,
}

/// The policy that an acknowledgement speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Hash of the table in force.
    pub effective_sha256: Sha256Hex,
    /// Its generation.
    pub generation: u64,
}

impl AckWriter {
    /// Acknowledgements go into `directory`, marked with this launch's nonce.
    pub fn new(directory: PathBuf, launch_nonce: LaunchNonce) -> Self {
        Self {
            directory,
            launch_nonce,
        }
    }

    /// Says what is in force after `file_sha256` was read; `error` when that file is not what is in force.
    pub fn write(
        &self,
        file_sha256: &Sha256Hex,
        in_force: &InForce,
        error: Option<String>,
    ) -> io::Result<()> {
        let applied = Applied {
            schema_version: SCHEMA_VERSION,
            file_sha256: file_sha256.clone(),
            effective_sha256: in_force.effective_sha256.clone(),
            generation: in_force.generation,
            launch_nonce: self.launch_nonce.clone(),
            at: SystemTime::now().into(),
            error,
        };
        let mut json = serde_json::to_vec_pretty(&applied)?;
        json.push(b'\n');
        crate::durable::replace(&self.directory, APPLIED, &json)
    }
}
