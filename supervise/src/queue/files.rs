//! The files of the queue: made once and durable, read whole and bounded.
//!
//! Supervise writes into `proposals` alone. What it reads there it has written itself, perhaps in an earlier life; what it
//! reads in `responses` is the launcher's. Neither directory is mounted where an agent could write.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use contract::place::queue;
use contract::{ApplyState, Proposal, ProposalId, Response, SCHEMA_VERSION, Sha256Hex, Withdrawal};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use nix::fcntl::OFlag;
use serde::de::DeserializeOwned;

use crate::failure_point::{self, Steps};

/// The longest file of the queue that is read, in bytes.
pub const MAX_FILE: u64 = 1024 * 1024;

/// What the name of a file begins with that is not finished.
const TEMPORARY: &str = ".writing-";

/// The two directories.
#[derive(Debug, Clone)]
pub struct Files {
    /// Ours.
    pub proposals: PathBuf,
    /// The launcher's.
    pub responses: PathBuf,
}

/// A file that is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokenFile {
    /// it cannot be read
    #[error("{0}")]
    Io(#[from] io::Error),
    /// it is no regular file, or too long
    #[error("{0} is no regular file of at most {MAX_FILE} bytes")]
    Form(PathBuf),
    /// it says something else than its kind may
    #[error("{path}: {why}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

// === impl Files ===

impl Files {
    /// Where a proposal lies.
    pub fn proposal_path(&self, id: &ProposalId) -> PathBuf {
        self.proposals.join(queue::decision(id))
    }

    /// Where the response to it would.
    pub fn response_path(&self, id: &ProposalId) -> PathBuf {
        self.responses.join(queue::decision(id))
    }

    /// Where the launcher says how far it has come.
    pub fn state_path(&self, id: &ProposalId) -> PathBuf {
        self.responses.join(queue::state(id))
    }

    /// A proposal and the hash of its bytes; none when there is none.
    pub fn proposal(&self, id: &ProposalId) -> Result<Option<(Proposal, Sha256Hex)>, BrokenFile> {
        let path = self.proposal_path(id);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let proposal: Proposal = parse(&path, &bytes)?;
        let own = proposal.schema_version == SCHEMA_VERSION
            && proposal.proposal_id == *id
            && proposal.ask.dedup_key() == proposal.dedup_key;
        if !own {
            return Err(content(&path, "it is not the proposal that its name says"));
        }
        Ok(Some((proposal, Sha256Hex::of(&bytes))))
    }

    /// Hash of a proposal's file; none when it is gone.
    pub fn proposal_sha256(&self, id: &ProposalId) -> Result<Option<Sha256Hex>, BrokenFile> {
        Ok(read(&self.proposal_path(id))?.map(|bytes| Sha256Hex::of(&bytes)))
    }

    /// The decision about the proposal with this hash; one about another is refused.
    pub fn response(&self, id: &ProposalId, sha256: &Sha256Hex) -> Result<Option<Response>, BrokenFile> {
        let path = self.response_path(id);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let response: Response = parse(&path, &bytes)?;
        if response.schema_version != SCHEMA_VERSION || response.proposal_id != *id {
            return Err(content(&path, "it is not the response that its name says"));
        }
        if response.proposal_sha256 != *sha256 {
            return Err(content(
                &path,
                "it answers another file than the proposal (another SHA-256)",
            ));
        }
        Ok(Some(response))
    }

    /// How far the launcher has come with the proposal that has this hash.
    pub fn state(&self, id: &ProposalId, sha256: &Sha256Hex) -> Result<Option<ApplyState>, BrokenFile> {
        let path = self.state_path(id);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let state: ApplyState = parse(&path, &bytes)?;
        if state.schema_version != SCHEMA_VERSION || state.proposal_id != *id {
            return Err(content(&path, "it is not the state that its name says"));
        }
        if state.proposal_sha256 != *sha256 {
            return Err(content(
                &path,
                "it speaks of another file than the proposal (another SHA-256)",
            ));
        }
        Ok(Some(state))
    }

    /// The withdrawal. One that is there and cannot be read withdraws all the same: it is ours, so it was meant.
    pub fn withdrawal(&self, id: &ProposalId) -> Result<Option<Option<Withdrawal>>, BrokenFile> {
        let path = self.proposals.join(queue::withdrawn(id));
        match read(&path) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => Ok(Some(parse(&path, &bytes).ok())),
            Err(BrokenFile::Form(_)) => Ok(Some(None)),
            Err(error) => Err(error),
        }
    }

    /// Every identifier that a proposal's file is named by, and the files that an earlier life left unfinished.
    pub fn scan(&self) -> io::Result<(Vec<ProposalId>, Vec<PathBuf>)> {
        let mut ids = Vec::new();
        let mut unfinished = Vec::new();
        for entry in fs_err::read_dir(&self.proposals)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(TEMPORARY) {
                unfinished.push(entry.path());
            } else if let Some(id) = name.strip_suffix(".json").and_then(|stem| stem.parse().ok()) {
                ids.push(id);
            }
        }
        ids.sort();
        Ok((ids, unfinished))
    }

    /// Makes a file of `proposals` that must not be there yet: temporary, fsync, `link(2)`, fsync of the directory. When this
    /// returns, it is on disk; when it fails, it is not there.
    pub(crate) fn create(&self, name: &str, bytes: &[u8], steps: Steps) -> io::Result<()> {
        let path = self.proposals.join(name);
        let [temporary, written, synced, linked, unlinked, durable] = steps;
        let told = |error: io::Error| io::Error::new(error.kind(), format!("writing {name}: {error}"));
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(&self.proposals)
            .map_err(told)?;
        failure_point::reach(temporary);
        file.write_all(bytes).map_err(told)?;
        failure_point::reach(written);
        file.as_file().sync_all().map_err(told)?;
        failure_point::reach(synced);
        std::fs::hard_link(file.path(), &path).map_err(told)?;
        failure_point::reach(linked);
        let finished = file.close().and_then(|()| {
            failure_point::reach(unlinked);
            fs_err::File::open(&self.proposals)?.sync_all()
        });
        if let Err(error) = finished {
            let _ = fs_err::remove_file(&path);
            return Err(told(error));
        }
        failure_point::reach(durable);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, BrokenFile> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32) => {
            return Err(BrokenFile::Form(path.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(BrokenFile::Form(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, BrokenFile> {
    serde_json::from_slice(bytes).map_err(|error| content(path, &error.to_string()))
}

fn content(path: &Path, why: &str) -> BrokenFile {
    BrokenFile::Content {
        path: path.to_owned(),
        why: contract::text::harmless(why),
    }
}
