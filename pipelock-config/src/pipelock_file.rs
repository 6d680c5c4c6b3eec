//! `pipelock.yaml` as it is read: the fields that a bottle uses, typed; every other field of pipelock's schema is kept as it is.
//!
//! A file that is not one YAML mapping, or says one key twice, is refused, as pipelock refuses it. A key that this crate does
//! not know is *not* refused: pipelock's schema is wider than what is modelled here and grows. [`crate::Seat`] names every
//! one that our engine will not act on.

use std::collections::BTreeMap;

use contract::table::MAX_FILE;
use serde::Deserialize;
use serde_yaml::Value;

/// Fields of a section that are kept and not looked into.
pub type Others = BTreeMap<String, Value>;

/// The file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PipelockFile {
    #[serde(default = "one")]
    pub version: u32,
    /// `strict`, `balanced` or `audit`.
    #[serde(default = "balanced")]
    pub mode: String,
    #[serde(default = "yes")]
    pub enforce: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub api_allowlist: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub fetch_proxy: FetchProxy,
    #[serde(default, deserialize_with = "or_default")]
    pub tls_interception: TlsInterception,
    #[serde(default, deserialize_with = "or_default")]
    pub request_body_scanning: RequestBodyScanning,
    #[serde(default, deserialize_with = "or_default")]
    pub dlp: Dlp,
    #[serde(default, deserialize_with = "or_default")]
    pub seed_phrase_detection: Switch,
    #[serde(default, deserialize_with = "or_default")]
    pub response_scanning: ResponseScanning,
    #[serde(default, deserialize_with = "or_default")]
    pub ssrf: Ssrf,
    #[serde(flatten)]
    pub others: Others,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct FetchProxy {
    #[serde(default, deserialize_with = "or_default")]
    pub monitoring: Monitoring,
    #[serde(flatten)]
    pub others: Others,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Monitoring {
    #[serde(default, deserialize_with = "or_default")]
    pub blocklist: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub subdomain_entropy_exclusions: Vec<String>,
    /// Bytes; absent: 2048.
    pub max_url_length: Option<usize>,
    #[serde(flatten)]
    pub others: Others,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct TlsInterception {
    #[serde(default)]
    pub enabled: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub passthrough_domains: Vec<String>,
    #[serde(flatten)]
    pub others: Others,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RequestBodyScanning {
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `warn` or `block`.
    #[serde(default = "warn")]
    pub action: String,
    #[serde(default = "yes")]
    pub scan_headers: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub ignore_headers: Vec<String>,
    #[serde(flatten)]
    pub others: Others,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Dlp {
    #[serde(default = "yes")]
    pub scan_env: bool,
    #[serde(default = "yes")]
    pub include_defaults: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub patterns: Vec<DlpPattern>,
    #[serde(flatten)]
    pub others: Others,
}

/// A pattern of the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DlpPattern {
    pub name: String,
    pub regex: String,
    #[serde(default)]
    pub severity: Option<String>,
    #[serde(default)]
    pub validator: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub exempt_domains: Vec<String>,
    #[serde(default)]
    pub action: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Switch {
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(flatten)]
    pub others: Others,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResponseScanning {
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `warn` or `block` (pipelock has more).
    #[serde(default = "warn")]
    pub action: String,
    #[serde(flatten)]
    pub others: Others,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Ssrf {
    #[serde(default, deserialize_with = "or_default")]
    pub ip_allowlist: Vec<String>,
    #[serde(flatten)]
    pub others: Others,
}

/// Why a text is not a `pipelock.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelockFileError {
    /// more than [`MAX_FILE`]
    #[error("pipelock.yaml has {0} bytes; at most {MAX_FILE} are read")]
    TooLarge(usize),
    /// not UTF-8
    #[error("pipelock.yaml is not UTF-8")]
    NotUtf8,
    /// does not parse
    #[error("pipelock.yaml: {0}")]
    Parse(String),
    /// says what a bottle's seat does not do
    #[error("pipelock.yaml: {0}")]
    Refused(String),
}

impl PipelockFile {
    /// Reads the file.
    ///
    /// # Errors
    /// It is not one mapping, says a key twice, or gives a known field a value of another kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, PipelockFileError> {
        if bytes.len() > MAX_FILE {
            return Err(PipelockFileError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| PipelockFileError::NotUtf8)?;
        let wrong = |error: serde_yaml::Error| PipelockFileError::Parse(error.to_string());
        // As a plain value first: only there is a key that stands twice refused at every depth.
        serde_yaml::from_str::<Value>(text).map_err(wrong)?;
        serde_yaml::from_str(text).map_err(wrong)
    }
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn balanced() -> String {
    "balanced".to_owned()
}

fn warn() -> String {
    "warn".to_owned()
}

impl Default for RequestBodyScanning {
    fn default() -> Self {
        Self {
            enabled: true,
            action: warn(),
            scan_headers: true,
            ignore_headers: Vec::new(),
            others: Others::new(),
        }
    }
}

impl Default for Dlp {
    fn default() -> Self {
        Self {
            scan_env: true,
            include_defaults: true,
            patterns: Vec::new(),
            others: Others::new(),
        }
    }
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            enabled: true,
            others: Others::new(),
        }
    }
}

impl Default for ResponseScanning {
    fn default() -> Self {
        Self {
            enabled: true,
            action: warn(),
            others: Others::new(),
        }
    }
}
