//! The config directory: what is read at start, and again when it changes.
//!
//! `routes.yaml` is read again whenever it changes; the certificate authority and the extra trust are read once, at start. Every
//! file is bounded, and an error says which file and what to do.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use contract::place::config::{CA_CERTIFICATE, CA_KEY, EXTRA_CA, ROUTES};
use contract::table::MAX_FILE;
use contract::{RouteTable, Sha256Hex, TableError};
use zeroize::Zeroizing;

/// A config directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// a file cannot be read
    #[error("{0}")]
    Io(#[from] io::Error),
    /// a file that must be there is not
    #[error("{0} is missing; {1}")]
    Missing(PathBuf, &'static str),
    /// a file is longer than any of ours
    #[error("{0} is longer than {MAX_FILE} bytes")]
    TooLarge(PathBuf),
    /// a certificate or key is not text
    #[error("{0} is not a PEM file")]
    NotText(PathBuf),
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
    let bytes = bounded(
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
    match text(&directory.join(EXTRA_CA), "") {
        Err(ConfigError::Missing(..)) => Ok(String::new()),
        other => other,
    }
}

/// Reads a PEM file.
pub fn text(path: &Path, missing: &'static str) -> Result<String, ConfigError> {
    String::from_utf8(bounded(path, missing)?).map_err(|_| ConfigError::NotText(path.to_owned()))
}

fn bounded(path: &Path, missing: &'static str) -> Result<Vec<u8>, ConfigError> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ConfigError::Missing(path.to_owned(), missing));
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
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

    #[test]
    fn a_file_that_is_not_there_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let error = routes(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains("routes.yaml") && error.contains("write the routes"),
            "{error}"
        );
        assert_eq!(extra_authorities(directory.path()).unwrap(), "");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join(EXTRA_CA), vec![b'x'; MAX_FILE + 1]).unwrap();
        assert!(matches!(
            extra_authorities(directory.path()),
            Err(ConfigError::TooLarge(_))
        ));
    }
}
