//! The config directory: what is read at start, and again when it changes.
//!
//! `pipelock.yaml` and `dlp.yaml` are read again whenever either changes, and come into force together or not at all; the
//! certificate authority and the extra trust are read once, at start.

use std::path::Path;

use ::guard::file::{self, FileError};
use contract::Sha256Hex;
use contract::place::config::{CA_CERTIFICATE, CA_KEY, EXTRA_CA};
use pipelock_config::{DlpFile, DlpFileError, PipelockFile, PipelockFileError, Seat, files_sha256, place};
use zeroize::Zeroizing;

/// A config directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// a file cannot be read
    #[error("{0}")]
    File(#[from] FileError),
    /// `pipelock.yaml` does not parse, or asks for what a seat does not do
    #[error("{0}")]
    Pipelock(#[from] PipelockFileError),
    /// `dlp.yaml` does not parse
    #[error("{0}")]
    Dlp(#[from] DlpFileError),
}

/// Both files as they were read.
#[derive(Debug)]
pub struct SeatFiles {
    /// [`files_sha256`] of their bytes.
    pub sha256: Sha256Hex,
    /// What they say, or why it is nothing.
    pub said: Result<(Seat, DlpFile), ConfigError>,
}

/// The authority that signs the leaf certificates, PEM.
pub struct Authority {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

/// Reads both files.
pub fn seat(directory: &Path) -> Result<SeatFiles, ConfigError> {
    let pipelock = file::read(
        &directory.join(place::PIPELOCK),
        "write one there (`api_allowlist: []` lets nothing through)",
    )?;
    let dlp = match file::read(&directory.join(place::DLP), "") {
        Ok(bytes) => Some(bytes),
        Err(FileError::Missing(..)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(SeatFiles {
        sha256: files_sha256(&pipelock, dlp.as_deref()),
        said: parse(&pipelock, dlp.as_deref()),
    })
}

fn parse(pipelock: &[u8], dlp: Option<&[u8]>) -> Result<(Seat, DlpFile), ConfigError> {
    let seat = PipelockFile::parse(pipelock)?.seat()?;
    let dlp = match dlp {
        Some(bytes) => DlpFile::parse(bytes)?,
        None => DlpFile::absent(),
    };
    Ok((seat, dlp))
}

/// Reads the authority.
pub fn authority(directory: &Path) -> Result<Authority, ConfigError> {
    let what = "the seat signs with it what egress is shown";
    Ok(Authority {
        certificate: file::text(&directory.join(CA_CERTIFICATE), what)?,
        key: Zeroizing::new(file::text(&directory.join(CA_KEY), what)?),
    })
}

/// Reads what is trusted upstream besides the public roots; nothing when there is no such file.
pub fn extra_authorities(directory: &Path) -> Result<String, ConfigError> {
    Ok(file::text_if_there(&directory.join(EXTRA_CA))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "mode: strict\napi_allowlist: [docs.rs]\ntls_interception: {enabled: true}\n";

    #[test]
    fn the_hash_is_of_what_was_read_whether_or_not_it_parses() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs_err::write(directory.path().join(name), text).unwrap();
        write(place::PIPELOCK, LEAST);
        let alone = seat(directory.path()).unwrap();
        assert_eq!(alone.sha256, files_sha256(LEAST.as_bytes(), None));
        assert!(alone.said.is_ok());
        write(place::DLP, "nonsense");
        let both = seat(directory.path()).unwrap();
        assert_eq!(both.sha256, files_sha256(LEAST.as_bytes(), Some(b"nonsense")));
        assert!(matches!(both.said, Err(ConfigError::Dlp(_))));
    }

    #[test]
    fn a_missing_file_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let error = seat(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains("pipelock.yaml") && error.contains("api_allowlist"),
            "{error}"
        );
    }
}
