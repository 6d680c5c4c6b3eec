//! Adding to the log: under its own lock, durable before it returns, whole or not at all.

use super::{AuditLog, Head};
use crate::error::{Error, Result};
use crate::write;
use contract::audit::{AuditEntry, AuditEvent, Who};
use contract::{GrantId, ProposalId, SCHEMA_VERSION, Sha256Hex, Timestamp};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant, SystemTime};

/// How long somebody else may be writing: two waits for the disk.
const OTHERS: Duration = Duration::from_secs(10);
/// How often the lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(2);
/// How much of the end is read first to find the last line; doubled until it is found.
const END: u64 = 64 * 1024;

/// What an entry says, besides its place in the log.
#[derive(Debug, Clone)]
pub struct Note {
    /// Whose doing it is.
    pub who: Who,
    /// The proposal that it belongs to.
    pub proposal_id: Option<ProposalId>,
    /// The permission that ends.
    pub grant_id: Option<GrantId>,
    /// What happened.
    pub event: AuditEvent,
}

/// Whoever runs this program.
pub fn operator() -> Who {
    let uid = nix::unistd::getuid();
    let known = nix::unistd::User::from_uid(uid).ok().flatten();
    Who::Operator {
        user: known.map_or_else(|| uid.to_string(), |user| user.name),
        uid: Some(uid.as_raw()),
    }
}

/// The end of the log as the next entry finds it.
struct End {
    /// Bytes up to and including the last newline.
    whole: u64,
    sequence: u64,
    sha256: Sha256Hex,
    /// What follows the last newline.
    torn: Vec<u8>,
}

impl Note {
    /// Of this program itself.
    pub fn launcher(event: AuditEvent) -> Self {
        Self::by(Who::Launcher, event)
    }

    /// Of whoever runs this program.
    pub fn operator(event: AuditEvent) -> Self {
        Self::by(operator(), event)
    }

    /// Of this one.
    pub fn by(who: Who, event: AuditEvent) -> Self {
        Self {
            who,
            proposal_id: None,
            grant_id: None,
            event,
        }
    }

    /// Belongs to a proposal, and to the grant that was made of it.
    #[must_use]
    pub fn joined(mut self, proposal: Option<&ProposalId>, grant: Option<&GrantId>) -> Self {
        self.proposal_id = proposal.cloned();
        self.grant_id = grant.cloned();
        self
    }
}

impl AuditLog {
    /// Adds entries, all of them or none; when this returns they are on disk.
    pub fn append(&self, notes: impl IntoIterator<Item = Note>) -> Result<()> {
        let mut notes: Vec<Note> = notes.into_iter().collect();
        if notes.is_empty() {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(std::path::Path::new("."));
        write::folder(folder)?;
        let (mut file, is_new) = self.open()?;
        self.lock(&file)?;
        let end = self.end(&mut file)?;
        if !end.torn.is_empty() {
            file.set_len(end.whole)?;
            let event = AuditEvent::TornLine {
                bytes: u64::try_from(end.torn.len()).unwrap_or(u64::MAX),
                sha256: Sha256Hex::of(&end.torn),
            };
            notes.insert(0, Note::launcher(event));
        }
        let (bytes, head) = self.lines(notes, &end)?;
        let written = file
            .write_all(&bytes)
            .and_then(|()| crate::kill_points::reached("audit written"))
            .and_then(|()| file.sync_all());
        if let Err(error) = written {
            // What a full disk took of the entry is no entry.
            let _ = file.set_len(end.whole);
            let told = std::io::Error::new(
                error.kind(),
                format!("writing the audit log {}: {error}", self.path.display()),
            );
            return Err(Error::from(told)
                .hinted("nothing takes effect that cannot be audited; make room and try again"));
        }
        crate::kill_points::reached("audit synced")?;
        if is_new {
            write::sync(folder)?;
        }
        self.keep_head(&head)
    }

    fn lines(&self, notes: Vec<Note>, end: &End) -> Result<(Vec<u8>, Head)> {
        let time = Timestamp::from(SystemTime::now());
        let mut bytes = Vec::new();
        let mut head = Head {
            sequence: end.sequence,
            sha256: end.sha256.clone(),
        };
        for note in notes {
            let entry = AuditEntry {
                schema_version: SCHEMA_VERSION,
                sequence: head.sequence + 1,
                previous_sha256: head.sha256,
                time,
                slug: self.slug.clone(),
                who: note.who,
                proposal_id: note.proposal_id,
                grant_id: note.grant_id,
                event: note.event,
            };
            let line = serde_json::to_vec(&entry)
                .map_err(|error| Error::failed("an audit entry cannot be written as JSON").because(error))?;
            head = Head {
                sequence: entry.sequence,
                sha256: Sha256Hex::of(&line),
            };
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        Ok((bytes, head))
    }

    /// Opens the log, or makes it; whether it was made.
    fn open(&self) -> Result<(File, bool)> {
        let mut options = fs_err::OpenOptions::new();
        options
            .read(true)
            .append(true)
            .mode(0o600)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
        match options.open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok((options.create(true).open(&self.path)?.into_file(), true))
            }
            opened => Ok((opened?.into_file(), false)),
        }
    }

    fn lock(&self, file: &File) -> Result<()> {
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() < OTHERS => {
                    std::thread::sleep(TRY_EVERY);
                }
                Err(error) => {
                    return Err(Error::failed(format!(
                        "the audit log {} cannot be locked",
                        self.path.display()
                    ))
                    .because(error)
                    .hinted("wait for the other bottle command to end, then try again"));
                }
            }
        }
    }

    fn end(&self, file: &mut File) -> Result<End> {
        let length = file.metadata()?.len();
        let mut wanted = END;
        loop {
            let from = length.saturating_sub(wanted);
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            Read::by_ref(file).take(length - from).read_to_end(&mut bytes)?;
            if let Some(end) = self.end_in(&bytes, from)? {
                return Ok(end);
            }
            wanted = wanted.saturating_mul(2);
        }
    }

    /// The end of the log in its last bytes, which begin at `from`; `None` when they are too few.
    fn end_in(&self, bytes: &[u8], from: u64) -> Result<Option<End>> {
        let newline = bytes.iter().rposition(|byte| *byte == b'\n');
        let (whole, torn) = bytes.split_at(newline.map_or(0, |at| at + 1));
        let line = whole.strip_suffix(b"\n").unwrap_or_default();
        let begin = line.iter().rposition(|byte| *byte == b'\n');
        if from > 0 && (newline.is_none() || begin.is_none()) {
            return Ok(None);
        }
        let whole_length = from + u64::try_from(whole.len()).unwrap_or(u64::MAX);
        let end = |sequence, sha256| End {
            whole: whole_length,
            sequence,
            sha256,
            torn: torn.to_vec(),
        };
        if newline.is_none() {
            return Ok(Some(end(0, AuditEntry::beginning())));
        }
        let line = line.get(begin.map_or(0, |at| at + 1)..).unwrap_or_default();
        let entry: AuditEntry = serde_json::from_slice(line).map_err(|error| self.unreadable(error))?;
        Ok(Some(end(entry.sequence, Sha256Hex::of(line))))
    }

    /// Not waited for: the line itself is on disk, and a head that lags behind it after a power cut is none the worse.
    fn keep_head(&self, head: &Head) -> Result<()> {
        let json = serde_json::to_vec(head)
            .map_err(|error| Error::failed("the audit's head cannot be written").because(error))?;
        let folder = self.head.parent().unwrap_or(std::path::Path::new("."));
        let mut temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
        temporary.write_all(&json)?;
        temporary.persist(&self.head).map_err(|error| error.error)?;
        Ok(())
    }
}
