//! The queue of proposals: durable before anyone is told, each ask once, and waited for by any number of calls.
//!
//! What is true is in the files ([`files`]); memory holds what is still undecided, so that a call can wait for it and a
//! repeated ask finds it. A proposal outlives the call, the client and this process: at its start a queue takes up what it
//! finds. Nobody's disconnecting decides anything; a proposal is withdrawn when its last waiter says that it is not wanted,
//! and an answer that came first wins.
//!
//! What it refuses to do: write an answer, or read one that names another file than the proposal's.

pub mod files;
mod poll;
mod rate;
pub mod standing;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use contract::place::queue;
use contract::{Ask, AskedBy, Proposal, ProposalId, SCHEMA_VERSION, Sha256Hex, Timestamp, Withdrawal};
use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::failure_point::{PROPOSAL, WITHDRAWAL};
use files::{BrokenFile, Files};
use poll::Looked;
pub use poll::Poller;
use rate::Rate;
pub use rate::{BURST, PER_MINUTE};
pub use standing::Standing;

/// How many proposals of a bottle may be undecided. More than this nobody reads through.
pub const MAX_PENDING: usize = 100;

/// The queue. Clones share it.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: Files,
    /// One writer at a time: two calls with one ask make one proposal, and a withdrawal never meets a new waiter.
    writing: Mutex<Rate>,
    live: Mutex<Live>,
    /// One server per queue; held for its drop.
    _lock: Flock<std::fs::File>,
}

/// What is undecided.
#[derive(Debug, Default)]
struct Live {
    by_id: HashMap<ProposalId, Undecided>,
    by_key: HashMap<Sha256Hex, ProposalId>,
}

#[derive(Debug)]
struct Undecided {
    dedup_key: Sha256Hex,
    sha256: Sha256Hex,
    asked_at: Timestamp,
    /// Blocking calls that wait.
    waiters: usize,
    /// Stays when the last waiter leaves: a client holds its task, or it was asked in an earlier life of this server.
    kept: bool,
    standing: watch::Sender<Standing>,
    looked: Looked,
}

/// How a call wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It waits.
    Blocking,
    /// It takes a task, and asks later.
    Task,
}

/// A blocking call's part in a proposal. Dropped, the call waits no more and the proposal stays.
#[derive(Debug)]
pub struct Waiting {
    queue: Queue,
    /// Which proposal.
    pub id: ProposalId,
    /// What becomes of it.
    pub standing: watch::Receiver<Standing>,
}

/// A proposal that answers an ask.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which.
    pub id: ProposalId,
    /// When it was asked first.
    pub asked_at: Timestamp,
    /// Its standing at the time.
    pub standing: Standing,
    /// It was made for this very ask.
    pub is_new: bool,
}

/// A proposal as its files are, or why they cannot be read.
pub type ReadProposal = Result<(Proposal, Standing), BrokenFile>;

/// The queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// a directory
    #[error("{0}")]
    Directory(#[from] std::io::Error),
    /// another server
    #[error("another supervise serves this queue: {0} is locked. Stop it first")]
    Locked(PathBuf),
}

/// Nothing was asked, and why.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// too many undecided
    #[error(
        "{MAX_PENDING} proposals are waiting for the operator already, and no more are taken. Wait for answers to those, or go on with \
         work that needs none"
    )]
    Full,
    /// too fast
    #[error(
        "more than {PER_MINUTE} new proposals a minute are not taken. Wait {0} s; asking the same thing again is not a new proposal"
    )]
    TooFast(u64),
    /// the disk
    #[error(
        "the proposal could not be written ({0}), so nothing was asked. Try again later, and tell your user if it stays so"
    )]
    NotWritten(std::io::Error),
}

// === impl Queue ===

impl Queue {
    /// Opens the queue in two directories and takes up what is undecided there. `run` is where it says that it is served.
    pub fn open(proposals: PathBuf, responses: PathBuf, run: &std::path::Path) -> Result<Self, OpenError> {
        // Named in the error, if it is not there.
        fs_err::read_dir(&responses)?;
        let path = run.join("queue.lock");
        let file = fs_err::File::create(&path)?.into_parts().0;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| OpenError::Locked(path))?;
        let queue = Self(Arc::new(Shared {
            files: Files { proposals, responses },
            writing: Mutex::new(Rate::full(Instant::now())),
            live: Mutex::new(Live::default()),
            _lock: lock,
        }));
        let (ids, unfinished) = queue.files().scan()?;
        for path in unfinished {
            fs_err::remove_file(path)?;
        }
        for id in ids {
            queue.take_up(&id);
        }
        Ok(queue)
    }

    fn files(&self) -> &Files {
        &self.0.files
    }

    /// Takes up a proposal of an earlier life, if it is undecided. One that cannot be read is withdrawn: nobody can decide it,
    /// and nobody must think that it can still be.
    fn take_up(&self, id: &ProposalId) {
        match Standing::of_any(self.files(), id) {
            Ok(Some((proposal, sha256, standing))) if !standing.status.is_final() => {
                let undecided = Undecided {
                    dedup_key: proposal.dedup_key,
                    sha256,
                    asked_at: proposal.asked_at,
                    waiters: 0,
                    kept: true,
                    standing: watch::Sender::new(standing),
                    looked: Looked::default(),
                };
                self.0.live.lock().insert(id.clone(), undecided);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!("{id} cannot be decided any more: {error}");
                if let Ok(None) = self.files().withdrawal(id) {
                    let _ = self.write_withdrawal(id, "its file was damaged");
                }
            }
        }
    }

    /// How many proposals are undecided.
    pub fn undecided(&self) -> usize {
        self.0.live.lock().by_id.len()
    }

    /// Asks. When this returns, the proposal is on disk. It waits for the disk: call it from a thread that may.
    pub fn ask(
        &self,
        ask: &Ask,
        asked_by: Option<AskedBy>,
        delivery: Delivery,
    ) -> Result<(Found, Option<Waiting>), NotAsked> {
        let dedup_key = ask.dedup_key();
        let mut rate = self.0.writing.lock();
        if let Some(known) = self.known(&dedup_key) {
            // It may have been decided since the last look; then this ask is another one.
            self.look_at(&known);
            if let Some(attached) = self.attach(&known, delivery, false) {
                return Ok(attached);
            }
        }
        if self.undecided() >= MAX_PENDING {
            return Err(NotAsked::Full);
        }
        rate.take(Instant::now()).map_err(NotAsked::TooFast)?;
        let proposal = Proposal {
            schema_version: SCHEMA_VERSION,
            proposal_id: ProposalId::of_random(rand::random()),
            asked_at: now(),
            dedup_key,
            ask: ask.clone(),
            asked_by,
        };
        let sha256 = self.write_proposal(&proposal).map_err(NotAsked::NotWritten)?;
        let undecided = Undecided {
            dedup_key: proposal.dedup_key,
            sha256,
            asked_at: proposal.asked_at,
            waiters: 0,
            kept: false,
            standing: watch::Sender::new(Standing::pending(proposal.asked_at)),
            looked: Looked::default(),
        };
        self.0.live.lock().insert(proposal.proposal_id.clone(), undecided);
        // Just put there, and nothing takes it away while we write.
        self.attach(&proposal.proposal_id, delivery, true)
            .ok_or_else(|| NotAsked::NotWritten(std::io::Error::other("it was decided at once")))
    }

    fn known(&self, dedup_key: &Sha256Hex) -> Option<ProposalId> {
        self.0.live.lock().by_key.get(dedup_key).cloned()
    }

    fn attach(&self, id: &ProposalId, delivery: Delivery, is_new: bool) -> Option<(Found, Option<Waiting>)> {
        let mut live = self.0.live.lock();
        let undecided = live.by_id.get_mut(id)?;
        let found = Found {
            id: id.clone(),
            asked_at: undecided.asked_at,
            standing: undecided.standing.borrow().clone(),
            is_new,
        };
        let waiting = match delivery {
            Delivery::Task => {
                undecided.kept = true;
                None
            }
            Delivery::Blocking => {
                undecided.waiters += 1;
                Some(Waiting {
                    queue: self.clone(),
                    id: id.clone(),
                    standing: undecided.standing.subscribe(),
                })
            }
        };
        Some((found, waiting))
    }

    fn write_proposal(&self, proposal: &Proposal) -> std::io::Result<Sha256Hex> {
        let bytes = json(proposal)?;
        let name = queue::decision(&proposal.proposal_id);
        self.files().create(&name, &bytes, PROPOSAL)?;
        Ok(Sha256Hex::of(&bytes))
    }

    fn write_withdrawal(&self, id: &ProposalId, reason: &str) -> std::io::Result<()> {
        let withdrawal = Withdrawal {
            schema_version: SCHEMA_VERSION,
            proposal_id: id.clone(),
            withdrawn_at: now(),
            reason: reason.to_owned(),
        };
        let name = queue::withdrawn(id);
        match self.files().create(&name, &json(&withdrawal)?, WITHDRAWAL) {
            // Withdrawn before, and not read since.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Withdraws a proposal that is undecided and that no blocking call waits for. It waits for the disk.
    pub fn withdraw(&self, id: &ProposalId, reason: &str) -> Standing {
        let _writing = self.0.writing.lock();
        self.look_at(id);
        let may = self
            .0
            .live
            .lock()
            .by_id
            .get(id)
            .is_some_and(|undecided| undecided.waiters == 0);
        if may {
            if let Err(error) = self.write_withdrawal(id, reason) {
                tracing::error!("{id} could not be withdrawn, and stays: {error}");
            }
            self.look_at(id);
        }
        match self.standing(id) {
            Ok(Some((_, standing))) => standing,
            _ => Standing::withdrawn(now(), reason.to_owned()),
        }
    }

    /// The standing of any proposal, decided or not; none when there is no such proposal.
    pub fn standing(&self, id: &ProposalId) -> Result<Option<(Timestamp, Standing)>, BrokenFile> {
        let live = self
            .0
            .live
            .lock()
            .by_id
            .get(id)
            .map(|undecided| (undecided.asked_at, undecided.standing.borrow().clone()));
        if live.is_some() {
            return Ok(live);
        }
        let any = Standing::of_any(self.files(), id)?;
        Ok(any.map(|(proposal, _, standing)| (proposal.asked_at, standing)))
    }

    /// Every proposal that a directory holds, readable or not; changes nothing.
    pub fn read_all(
        proposals: &std::path::Path,
        responses: &std::path::Path,
    ) -> std::io::Result<Vec<(ProposalId, ReadProposal)>> {
        let files = Files {
            proposals: proposals.to_owned(),
            responses: responses.to_owned(),
        };
        let (ids, _) = files.scan()?;
        let read = ids
            .into_iter()
            .filter_map(|id| match Standing::of_any(&files, &id) {
                Ok(Some((proposal, _, standing))) => Some((id, Ok((proposal, standing)))),
                Ok(None) => None,
                Err(error) => Some((id, Err(error))),
            });
        Ok(read.collect())
    }
}

// === impl Live ===

impl Live {
    fn insert(&mut self, id: ProposalId, undecided: Undecided) {
        self.by_key.insert(undecided.dedup_key.clone(), id.clone());
        self.by_id.insert(id, undecided);
    }

    fn remove(&mut self, id: &ProposalId) {
        if let Some(undecided) = self.by_id.remove(id)
            && self.by_key.get(&undecided.dedup_key) == Some(id)
        {
            self.by_key.remove(&undecided.dedup_key);
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// The call's client does not want this any more. Withdraws the proposal unless someone else does. It waits for the disk.
    pub fn give_up(self, reason: &str) {
        let queue = self.queue.clone();
        let id = self.id.clone();
        drop(self);
        let unwanted = queue
            .0
            .live
            .lock()
            .by_id
            .get(&id)
            .is_some_and(|undecided| undecided.waiters == 0 && !undecided.kept);
        if unwanted {
            queue.withdraw(&id, reason);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(undecided) = self.queue.0.live.lock().by_id.get_mut(&self.id) {
            undecided.waiters = undecided.waiters.saturating_sub(1);
        }
    }
}

fn json(value: &impl serde::Serialize) -> std::io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

#[cfg(test)]
mod tests;
