//! `gate.json`: what git-gate guards. The upstreams with their keys and host keys, what may be pushed to each, and the
//! findings that the operator has said yes to.
//!
//! An upstream is reached over SSH and in no other way; the address that git is given comes from this table alone, so its
//! characters are those that neither a shell nor ssh's option parser could read otherwise.

mod allowance;
mod pattern;
mod policy;
mod upstream;

pub use allowance::{Allowance, GateFingerprint, GateFingerprintError};
pub use pattern::{PathPattern, PatternError, RefPattern};
pub use policy::{Caps, DEFAULT_PROTECTED_PATHS, GatePolicy};
pub use upstream::{Upstream, UpstreamError};

use crate::{EnvName, SCHEMA_VERSION, Sha256Hex};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Where a gate finds what signs in at an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// A private key, by its absolute path.
    File(PathBuf),
    /// The socket of an ssh-agent, by its absolute path.
    Agent(PathBuf),
    /// A private key in a variable of the gate's environment: so it is in no file that another user could not read, and on no
    /// disk.
    Variable(EnvName),
}

/// One upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRemote {
    /// Where it is.
    pub upstream: Upstream,
    /// What signs in there.
    pub identity: Identity,
    /// Lines of a known_hosts file: the only keys that its host may show.
    pub known_hosts: String,
    /// What may be pushed.
    #[serde(default)]
    pub policy: GatePolicy,
}

/// The key of findings' fingerprints: 32 random bytes of one bottle, so that a fingerprint says nothing to anyone else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FingerprintKey([u8; 32]);

/// All of `gate.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateConfig {
    /// Counts the writes of this launch, from 1.
    pub generation: u64,
    /// The key of fingerprints.
    pub fingerprint_key: FingerprintKey,
    /// Each upstream once.
    pub remotes: Vec<GateRemote>,
    /// What the operator has said yes to.
    pub allow: Vec<Allowance>,
}

/// Why a text is no gate configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateConfigError {
    /// does not parse
    #[error("gate.json: {0}")]
    Parse(String),
    /// another version
    #[error("gate.json has schema_version {0}; this program reads {SCHEMA_VERSION}")]
    SchemaVersion(u32),
    /// two entries for one repository
    #[error("gate.json has two upstreams for {0}; write one")]
    TwoUpstreams(String),
    /// nothing to know the host by
    #[error("gate.json: {0} has no known_hosts; ssh would have no way to know that host")]
    NoHostKeys(Upstream),
    /// a path that depends on where the gate was started
    #[error("gate.json: the identity of {0} is not an absolute path")]
    RelativeIdentity(Upstream),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateFile {
    schema_version: u32,
    fingerprint_key: FingerprintKey,
    remotes: Vec<GateRemote>,
    #[serde(default)]
    allow: Vec<Allowance>,
    /// Last: a change of what is allowed shows in a diff without the key around it.
    generation: u64,
}

// === impl GateConfig ===

impl GateConfig {
    /// Reads `gate.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, GateConfigError> {
        let file: GateFile =
            serde_json::from_slice(bytes).map_err(|error| GateConfigError::Parse(error.to_string()))?;
        if file.schema_version != SCHEMA_VERSION {
            return Err(GateConfigError::SchemaVersion(file.schema_version));
        }
        let mut routes = std::collections::BTreeSet::new();
        for remote in &file.remotes {
            if !routes.insert(remote.upstream.route()) {
                return Err(GateConfigError::TwoUpstreams(remote.upstream.route()));
            }
            let said = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
            if !remote.known_hosts.lines().any(said) {
                return Err(GateConfigError::NoHostKeys(remote.upstream.clone()));
            }
            if let Identity::File(path) | Identity::Agent(path) = &remote.identity
                && !path.is_absolute()
            {
                return Err(GateConfigError::RelativeIdentity(remote.upstream.clone()));
            }
        }
        Ok(Self {
            generation: file.generation,
            fingerprint_key: file.fingerprint_key,
            remotes: file.remotes,
            allow: file.allow,
        })
    }

    /// The file's bytes.
    pub fn to_json(&self) -> String {
        let file = GateFile {
            schema_version: SCHEMA_VERSION,
            generation: self.generation,
            fingerprint_key: self.fingerprint_key.clone(),
            remotes: self.remotes.clone(),
            allow: self.allow.clone(),
        };
        // Plain data with text keys always goes into JSON.
        let mut json = serde_json::to_string_pretty(&file).unwrap_or_default();
        json.push('\n');
        json
    }

    /// Hash of the policy itself, however it is written: the generation and the spelling of the file do not count.
    pub fn effective_sha256(&self) -> Sha256Hex {
        let same = Self {
            generation: 0,
            ..self.clone()
        };
        Sha256Hex::of(same.to_json().as_bytes())
    }
}

// === impl FingerprintKey ===

impl FingerprintKey {
    /// Of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}

impl TryFrom<String> for FingerprintKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| "the fingerprint key is not 64 hex digits".to_owned())?;
        Ok(Self(bytes))
    }
}

impl From<FingerprintKey> for String {
    fn from(key: FingerprintKey) -> Self {
        hex::encode(key.0)
    }
}

#[cfg(test)]
mod tests;
