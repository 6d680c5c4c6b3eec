//! Changes to an existing `pipelock.yaml`: one host more, one host less.

use contract::HostName;

use crate::list::{self, ListError, ListPath};
use crate::pipelock_file::{PipelockFile, PipelockFileError};

/// The allowlist.
pub(crate) const ALLOWLIST: ListPath<'static> = ListPath {
    section: None,
    key: "api_allowlist",
};
/// The hosts that are tunnelled without a look inside.
pub(crate) const PASSTHROUGH: ListPath<'static> = ListPath {
    section: Some("tls_interception"),
    key: "passthrough_domains",
};
/// The networks that are not public and may be reached.
pub(crate) const IP_ALLOWLIST: ListPath<'static> = ListPath {
    section: Some("ssrf"),
    key: "ip_allowlist",
};

/// Why a file was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// the list cannot be changed
    #[error("pipelock.yaml: {0}")]
    List(#[from] ListError),
    /// the file is no pipelock.yaml
    #[error("{0}")]
    File(#[from] PipelockFileError),
}

/// The file with `host` in its allowlist: at the end, unless an entry names it already (`*.x` included). Order, comments and
/// everything else stay as they are.
///
/// # Errors
/// The file does not parse, or its list is laid out in a way that cannot be changed safely.
pub fn allow_host(text: &str, host: &HostName) -> Result<String, EditError> {
    if allows(text, host)? {
        return Ok(text.to_owned());
    }
    Ok(list::change(text, ALLOWLIST, &[host.to_string()], &[])?)
}

/// The file without the entry that names exactly `host`. A wildcard that still names it stays: `Ok` does not mean that the
/// host is refused.
///
/// # Errors
/// As [`allow_host`].
pub fn remove_host(text: &str, host: &HostName) -> Result<String, EditError> {
    PipelockFile::parse(text.as_bytes())?;
    Ok(list::change(text, ALLOWLIST, &[], &[host.to_string()])?)
}

/// Whether an entry of the allowlist names `host`.
///
/// # Errors
/// The file does not parse.
pub fn allows(text: &str, host: &HostName) -> Result<bool, EditError> {
    let file = PipelockFile::parse(text.as_bytes())?;
    let (patterns, _) = crate::pattern::readable("", file.api_allowlist.iter().map(String::as_str));
    Ok(patterns
        .iter()
        .any(|pattern| pattern.matches(host.as_str(), true)))
}
