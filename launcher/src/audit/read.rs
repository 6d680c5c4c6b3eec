//! Reading the log: every whole line, in order.

use super::AuditLog;
use crate::error::Result;
use contract::Sha256Hex;
use contract::audit::AuditEntry;
use std::collections::BTreeMap;

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Hash of its bytes, without the newline.
    pub sha256: Sha256Hex,
    /// What it says, or why that cannot be told.
    pub entry: Result<AuditEntry, String>,
}

/// The lines of a log, and what a crash left of a further one.
pub(super) struct Lines {
    pub(super) whole: Vec<Line>,
    pub(super) torn: Option<u64>,
}

/// The entries, in order; a line torn by a crash is no entry. An error when any other line cannot be read.
pub fn read(log: &AuditLog) -> Result<Vec<AuditEntry>> {
    let lines = log.lines_on_disk()?;
    let entries = lines.whole.into_iter().map(|line| line.entry);
    entries
        .collect::<Result<Vec<_>, String>>()
        .map_err(|why| log.unreadable(anyhow::anyhow!(why)))
}

/// As much of an entry as says what was seen.
#[derive(serde::Deserialize)]
struct Seen<'l> {
    #[serde(borrow, default)]
    proposal_id: Option<std::borrow::Cow<'l, str>>,
    #[serde(borrow)]
    event: Kind<'l>,
}

#[derive(serde::Deserialize)]
struct Kind<'l> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'l, str>,
    #[serde(borrow, default)]
    proposal_sha256: Option<std::borrow::Cow<'l, str>>,
}

impl AuditLog {
    /// The proposals that were noted as seen, and the hash of the file that was seen, without reading the rest of their entries: a queue
    /// may be long.
    pub fn proposed(&self) -> Result<BTreeMap<String, String>> {
        let bytes = self.bytes()?;
        let lines = bytes.split(|byte| *byte == b'\n');
        let seen = lines.filter_map(|line| serde_json::from_slice::<Seen<'_>>(line).ok());
        Ok(seen
            .filter(|seen| seen.event.kind == "proposed")
            .filter_map(|seen| {
                Some((
                    seen.proposal_id?.into_owned(),
                    seen.event.proposal_sha256?.into_owned(),
                ))
            })
            .collect())
    }

    /// Whether an edit or a revocation was ever begun, found out without reading entries.
    pub fn has_edits(&self) -> Result<bool> {
        let bytes = self.bytes()?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.contains("\"kind\":\"editing\"") || text.contains("\"kind\":\"revoking\""))
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        match fs_err::read(&self.path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn lines_on_disk(&self) -> Result<Lines> {
        let bytes = self.bytes()?;
        let mut lines = Lines {
            whole: Vec::new(),
            torn: None,
        };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => lines.whole.push(Line::of(line)),
                None => lines.torn = u64::try_from(line.len()).ok(),
            }
        }
        Ok(lines)
    }
}

impl Line {
    fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Sha256Hex::of(bytes),
            entry: serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        }
    }
}
