//! The config directory: one file, `gate.json`.

use std::path::Path;

use contract::Sha256Hex;
use contract::gate::{GateConfig, GateConfigError};
use contract::place::config::GATE;
use guard::file::{self, FileError};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// the file
    #[error("{0}")]
    File(#[from] FileError),
    /// what it says
    #[error("{0}")]
    Gate(#[from] GateConfigError),
}

/// One reading of the file.
#[derive(Debug)]
pub struct GateFile {
    /// Hash of its bytes.
    pub sha256: Sha256Hex,
    /// What it says.
    pub config: Result<GateConfig, GateConfigError>,
}

/// Reads it.
pub fn read(directory: &Path) -> Result<GateFile, ConfigError> {
    let bytes = file::read(&directory.join(GATE), "it names the upstreams; write it there")?;
    Ok(GateFile {
        sha256: Sha256Hex::of(&bytes),
        config: GateConfig::parse(&bytes),
    })
}
