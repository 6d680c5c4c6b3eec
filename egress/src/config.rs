//! The config directory: what is read at start, and again when it changes.
//!
//! `routes.yaml` is read again whenever it changes; the certificate authority and the extra trust are read once, at start. Every
//! file is bounded, and an error says which file and what to do.

use std::path::Path;

use ::guard::file::{self, FileError};
use contract::place::config::{CA_CERTIFICATE, CA_KEY, EXTRA_CA, ROUTES};
use contract::{RouteTable, Sha256Hex, TableError};
use zeroize::Zeroizing;

/// A config directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// a file cannot be read
    #[error("{0}")]
    File(#[from] FileError),
    /// the table does not parse
    #[error("{0}")]
    Table(#[from] TableError),
}

/// `routes.yaml` as it was read.
#[derive(Debug)]
pub struct RoutesFile {
    /// Hash of its bytes.
    pub sha256: Sha256Hex,
    /// The table, or why it is none.
    pub table: Result<RouteTable, TableError>,
}

/// The authority that signs the leaf certificates, PEM.
pub struct Authority {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

/// Reads `routes.yaml`.
pub fn routes(directory: &Path) -> Result<RoutesFile, ConfigError> {
    let bytes = file::read(
        &directory.join(ROUTES),
        "write the routes there (`routes: []` admits nothing)",
    )?;
    Ok(RoutesFile {
        sha256: Sha256Hex::of(&bytes),
        table: RouteTable::parse(&bytes),
    })
}

/// Reads the authority.
pub fn authority(directory: &Path) -> Result<Authority, ConfigError> {
    let what = "egress signs with it what the agent is shown";
    Ok(Authority {
        certificate: text(&directory.join(CA_CERTIFICATE), what)?,
        key: Zeroizing::new(text(&directory.join(CA_KEY), what)?),
    })
}

/// Reads what is trusted upstream besides the public roots; nothing when there is no such file.
pub fn extra_authorities(directory: &Path) -> Result<String, ConfigError> {
    Ok(file::text_if_there(&directory.join(EXTRA_CA))?)
}

/// Reads a PEM file.
pub fn text(path: &Path, missing: &'static str) -> Result<String, ConfigError> {
    Ok(file::text(path, missing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_the_bytes_that_were_read_whether_or_not_they_parse() {
        let directory = tempfile::tempdir().unwrap();
        for (text, parses) in [
            ("schema_version: 1\ngeneration: 1\nroutes: []\n", true),
            ("nonsense", false),
        ] {
            fs_err::write(directory.path().join(ROUTES), text).unwrap();
            let file = routes(directory.path()).unwrap();
            assert_eq!(file.sha256, Sha256Hex::of(text.as_bytes()));
            assert_eq!(file.table.is_ok(), parses);
        }
    }
}
