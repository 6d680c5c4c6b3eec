//! Reading the log: every whole line, in order.

use super::AuditLog;
use crate::error::Result;
use contract::Sha256Hex;
use contract::audit::AuditEntry;

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

impl AuditLog {
    pub(super) fn lines_on_disk(&self) -> Result<Lines> {
        let bytes = match fs_err::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
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
