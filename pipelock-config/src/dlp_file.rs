//! `dlp.yaml`: what pipelock's schema has no place for, told to our engine alone.
//!
//! Unknown fields are refused: the launcher writes this file, and nobody else.

use contract::table::MAX_FILE;
use contract::{GrantId, HostName, SCHEMA_VERSION, Timestamp};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::credential::{CredentialDigest, CredentialKey};
use crate::model::Model;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DlpFile {
    /// [`contract::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Counts the writes of this launch, from 1.
    pub generation: u64,
    /// The key of the digests; needed where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_key: Option<CredentialKey>,
    /// Credentials that egress injects: each passes in its own host and header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<InjectedCredential>,
    /// Rules that do not apply to a host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exemptions: Vec<Exemption>,
    /// Which host may resolve in which network of `ssrf.ip_allowlist`. A network that is named here is for its hosts alone;
    /// any other of that list is for every host, as in pipelock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private_networks: Vec<PrivateNetwork>,
    /// Networks that nothing permits, besides the seat's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_networks: Vec<IpNet>,
}

/// One credential, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InjectedCredential {
    /// The host it goes to.
    pub host: HostName,
    /// The header that carries it.
    pub header: contract::HeaderName,
    /// [`CredentialKey::digest`] of the header's whole value.
    pub digest: CredentialDigest,
}

/// A rule that does not apply to a host: an approved `pipelock-block`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// Joins it with the audit and the access events.
    pub id: GrantId,
    /// The rule, as a denial names it.
    pub rule: String,
    /// The host.
    pub host: HostName,
    /// The engine stops honouring it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A host that may resolve into a private network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateNetwork {
    /// The host.
    pub host: HostName,
    /// The network.
    pub network: IpNet,
}

/// Why a text is not a `dlp.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DlpFileError {
    /// more than [`MAX_FILE`]
    #[error("dlp.yaml has {0} bytes; at most {MAX_FILE} are read")]
    TooLarge(usize),
    /// not UTF-8
    #[error("dlp.yaml is not UTF-8")]
    NotUtf8,
    /// does not parse
    #[error("dlp.yaml: {0}")]
    Parse(String),
    /// another version
    #[error("dlp.yaml has schema_version {0}; this program reads {SCHEMA_VERSION}")]
    SchemaVersion(u32),
    /// digests without a key
    #[error("dlp.yaml has `injected` and no `credential_key`; write the key that the digests were made with")]
    NoKey,
}

// === impl DlpFile ===

impl DlpFile {
    /// What a [`Model`] says.
    pub fn of(model: &Model) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            generation: model.generation,
            credential_key: Some(model.credential_key.clone()),
            injected: model.injected.clone(),
            exemptions: model.exemptions.clone(),
            private_networks: model.private_networks.clone(),
            refused_networks: model.refused_networks.clone(),
        }
    }

    /// A file that says nothing: what holds when there is none.
    pub fn absent() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            generation: 0,
            credential_key: None,
            injected: Vec::new(),
            exemptions: Vec::new(),
            private_networks: Vec::new(),
            refused_networks: Vec::new(),
        }
    }

    /// Reads the file. Unknown and duplicate fields are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, DlpFileError> {
        if bytes.len() > MAX_FILE {
            return Err(DlpFileError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DlpFileError::NotUtf8)?;
        let file: Self =
            serde_yaml::from_str(text).map_err(|error| DlpFileError::Parse(error.to_string()))?;
        if file.schema_version != SCHEMA_VERSION {
            return Err(DlpFileError::SchemaVersion(file.schema_version));
        }
        if !file.injected.is_empty() && file.credential_key.is_none() {
            return Err(DlpFileError::NoKey);
        }
        Ok(file)
    }

    /// Writes the file; [`DlpFile::parse`] reads back the same value.
    pub fn render(&self) -> Result<String, DlpFileError> {
        serde_yaml::to_string(self).map_err(|error| DlpFileError::Parse(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_duplicate_fields_are_refused() {
        let text = "schema_version: 1\ngeneration: 2\n";
        assert_eq!(DlpFile::parse(text.as_bytes()).unwrap().generation, 2);
        for bad in [
            "exemption: []\n",
            "generation: 3\n",
            "exemptions: [{id: g-0001, rule: x, host: a.example, hosts: b}]\n",
            "---\n{}\n",
        ] {
            assert!(
                DlpFile::parse(format!("{text}{bad}").as_bytes()).is_err(),
                "{bad}"
            );
        }
        assert!(DlpFile::parse(b"schema_version: 2\ngeneration: 1\n").is_err());
    }

    #[test]
    fn digests_without_their_key_are_refused() {
        let digest = "ab".repeat(32);
        let text = format!(
            "schema_version: 1\ngeneration: 1\ninjected: [{{host: a.example, header: authorization, digest: '{digest}'}}]\n"
        );
        assert_eq!(DlpFile::parse(text.as_bytes()), Err(DlpFileError::NoKey));
    }
}
