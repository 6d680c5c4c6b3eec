//! Whether the log is what was written to it.

use super::{AuditLog, Head};
use crate::error::Result;
use contract::audit::AuditEntry;
use contract::{SCHEMA_VERSION, Sha256Hex};
use serde::Serialize;

/// Something that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line, counted from 1; absent when it is about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong.
    pub problem: String,
}

/// Every finding, and how many entries there are. A last line that a crash tore is none: the next entry settles it.
pub fn verify(log: &AuditLog) -> Result<(u64, Vec<Finding>)> {
    let lines = log.lines_on_disk()?;
    let mut findings = Vec::new();
    let mut before = AuditEntry::beginning();
    let mut count = 0;
    for line in &lines.whole {
        count += 1;
        let mut find = |problem: String| {
            findings.push(Finding {
                line: Some(count),
                problem,
            });
        };
        match &line.entry {
            Err(why) => find(format!("it is no audit entry: {why}")),
            Ok(entry) => {
                if entry.schema_version != SCHEMA_VERSION {
                    find(format!("it is of schema_version {}", entry.schema_version));
                }
                if entry.slug != log.slug {
                    find(format!("it belongs to the bottle {}", entry.slug));
                }
                if entry.sequence != count {
                    find(format!("it was written as entry {}", entry.sequence));
                }
                if entry.previous_sha256 != before {
                    find(if count == 1 {
                        "it was not written as the first entry".to_owned()
                    } else {
                        format!(
                            "it does not follow the line before it: line {} was edited, or a line was removed, added or moved",
                            count - 1
                        )
                    });
                }
            }
        }
        before = line.sha256.clone();
    }
    findings.extend(log.head_findings(count, |sequence| {
        let at = usize::try_from(sequence).ok()?.checked_sub(1)?;
        lines.whole.get(at).map(|line| line.sha256.clone())
    })?);
    Ok((count, findings))
}

impl AuditLog {
    fn head_findings(&self, count: u64, line: impl Fn(u64) -> Option<Sha256Hex>) -> Result<Vec<Finding>> {
        let whole = |problem: String| vec![Finding { line: None, problem }];
        let bytes = match fs_err::read(&self.head) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && count == 0 => return Ok(Vec::new()),
            Err(error) => {
                return Ok(whole(format!(
                    "the record of its last line cannot be read, so removed last lines would not show: {error}"
                )));
            }
        };
        let head: Head = match serde_json::from_slice(&bytes) {
            Ok(head) => head,
            Err(error) => {
                return Ok(whole(format!(
                    "the record of its last line cannot be understood, so removed last lines would not show: {error}"
                )));
            }
        };
        Ok(match line(head.sequence) {
            Some(sha256) if sha256 == head.sha256 => Vec::new(),
            Some(_) => vec![Finding {
                line: Some(head.sequence),
                problem: "it is not the line that was written last".to_owned(),
            }],
            None => whole(format!(
                "it has {count} entries of {} that were written",
                head.sequence
            )),
        })
    }
}
