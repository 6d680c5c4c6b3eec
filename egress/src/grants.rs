//! Grants: permissions that end, enforced here whether or not a launcher is alive to take them back.
//!
//! A grant ends at its time, by whichever of wall clock and boot-time clock comes there first, or with its one use. The end
//! is kept in `grants.json`, so that neither a restart nor a clock set back revives it; a use is on disk before the
//! request that it admits is forwarded. A ledger that cannot be read stops the start: without it, spent grants would
//! be honoured again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use contract::place::run::GRANTS;
use contract::{
    BootDeadline, Grant, GrantEnd, GrantEndCause, GrantId, GrantLedger, GrantRecord, RouteTable,
    SCHEMA_VERSION,
};
use parking_lot::Mutex;

use ::guard::clock::Now;

/// How many grants are remembered before those that ended and stand on no route any more are forgotten: the host reads
/// at most 1 MiB of any file here, and a record takes about 300 bytes.
const REMEMBERED: usize = 2000;

/// The grants that one guard has seen, and what became of them.
#[derive(Debug)]
pub struct Grants {
    directory: PathBuf,
    boot_id: Option<String>,
    state: Mutex<State>,
    /// Held while the file is written, and taken before the state is copied for it: a later file is never older.
    writer: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<GrantRecord>,
    by_id: HashMap<GrantId, usize>,
    /// It says more than the file does.
    unsaved: bool,
}

/// Why there is no ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// cannot be read
    #[error("{0}. Make the run directory readable for this guard and start it again")]
    Io(#[from] io::Error),
    /// is not one
    #[error(
        "{path} cannot be understood ({why}); without it, grants that have ended would hold again. Take the routes with a \
         grant_id out of routes.yaml, remove {path}, and start egress again"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A use of a single-use grant could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    /// it was used, or its time came, in the meantime
    #[error("the grant {0} has ended")]
    Ended(GrantId),
    /// the use could not be put on disk, so the request must not be forwarded
    #[error("the use of the grant {0} could not be recorded: {1}")]
    NotRecorded(GrantId, io::Error),
}

// === impl Grants ===

impl Grants {
    /// Reads the ledger that an earlier run left in `directory`.
    pub fn open(directory: &Path, boot_id: Option<String>) -> Result<Self, LedgerError> {
        let path = directory.join(GRANTS);
        let mut state = State::default();
        match fs_err::read(&path) {
            Ok(bytes) => {
                let malformed = |why: String| LedgerError::Malformed {
                    path: path.clone(),
                    why,
                };
                let ledger: GrantLedger =
                    serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
                if ledger.schema_version != SCHEMA_VERSION {
                    return Err(malformed(format!(
                        "schema_version {}, not {SCHEMA_VERSION}",
                        ledger.schema_version
                    )));
                }
                for record in ledger.grants {
                    state.insert(record);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self {
            directory: directory.to_owned(),
            boot_id,
            state: Mutex::new(state),
            writer: Mutex::new(()),
        })
    }

    /// Notes every grant of a table that is about to come into force, and its deadline on the boot-time clock. Blocks
    /// on the disk.
    pub fn observe(&self, table: &RouteTable, now: Now) -> io::Result<()> {
        let mut changed = false;
        {
            let mut state = self.state.lock();
            for route in table.routes() {
                if let Some(grant) = &route.grant {
                    changed |= state.observe(grant, &route.host, self.boot_id.as_deref(), now);
                }
            }
            changed |= state.forget(table);
            // What an earlier attempt could not save is still to be saved.
            state.unsaved |= changed;
            changed = state.unsaved;
        }
        if changed { self.save() } else { Ok(()) }
    }

    /// Whether a grant still holds. One that was never observed does not.
    pub fn holds(&self, grant: &Grant, now: Now) -> bool {
        let state = self.state.lock();
        state
            .record(&grant.grant_id)
            .is_some_and(|record| self.end_of(record, grant, now).is_none())
    }

    /// Whether a grant still holds for the request that spent it: its time may have come since.
    pub fn holds_for_its_use(&self, grant: &Grant, now: Now) -> bool {
        let state = self.state.lock();
        state
            .record(&grant.grant_id)
            .is_some_and(|record| !self.is_over(record, grant, now))
    }

    /// Ends what has come to its end since the last look, and says whether anything did.
    pub fn end_due(&self, table: &RouteTable, now: Now) -> bool {
        let mut any = false;
        let mut state = self.state.lock();
        for grant in table.routes().iter().filter_map(|route| route.grant.as_ref()) {
            let ended = state
                .record(&grant.grant_id)
                .filter(|record| record.end.is_none())
                .and_then(|record| self.end_of(record, grant, now));
            if let (Some(cause), Some(record)) = (ended, state.record_mut(&grant.grant_id)) {
                record.end = Some(GrantEnd { at: now.wall, cause });
                any = true;
            }
        }
        state.unsaved |= any;
        any
    }

    /// Saves what was not saved yet. Blocks on the disk when there is something.
    pub fn settle(&self) -> io::Result<()> {
        let unsaved = self.state.lock().unsaved;
        if unsaved { self.save() } else { Ok(()) }
    }

    /// Spends a single-use grant: when this returns, the use is on disk and no one else has it. Blocks on the disk.
    pub fn spend(&self, grant: &Grant, now: Now) -> Result<(), SpendError> {
        {
            let mut state = self.state.lock();
            let holds = state
                .record(&grant.grant_id)
                .is_some_and(|record| self.end_of(record, grant, now).is_none());
            let Some(record) = state.record_mut(&grant.grant_id).filter(|_| holds) else {
                return Err(SpendError::Ended(grant.grant_id.clone()));
            };
            record.end = Some(GrantEnd {
                at: now.wall,
                cause: GrantEndCause::Used,
            });
            state.unsaved = true;
        }
        self.save()
            .map_err(|error| SpendError::NotRecorded(grant.grant_id.clone(), error))
    }

    fn end_of(&self, record: &GrantRecord, grant: &Grant, now: Now) -> Option<GrantEndCause> {
        match &record.end {
            Some(end) => Some(end.cause),
            None => self.is_over(record, grant, now).then_some(GrantEndCause::Expired),
        }
    }

    /// Whether its time has come.
    fn is_over(&self, record: &GrantRecord, grant: &Grant, now: Now) -> bool {
        let by_wall = grant.expires_at.is_some_and(|end| now.wall >= end);
        let by_boot = record.boot_deadline.as_ref().is_some_and(|deadline| {
            self.boot_id.as_deref() == Some(&deadline.boot_id) && now.boot_millis >= deadline.millis
        });
        by_wall || by_boot
    }

    fn save(&self) -> io::Result<()> {
        let _writer = self.writer.lock();
        let grants = {
            let mut state = self.state.lock();
            state.unsaved = false;
            state.records.clone()
        };
        let ledger = GrantLedger {
            schema_version: SCHEMA_VERSION,
            grants,
        };
        let saved = serde_json::to_vec_pretty(&ledger)
            .map_err(io::Error::from)
            .and_then(|mut json| {
                json.push(b'\n');
                ::guard::durable::replace(&self.directory, GRANTS, &json)
            });
        if saved.is_err() {
            self.state.lock().unsaved = true;
        }
        saved
    }
}

// === impl State ===

impl State {
    /// Forgets what ended and stands on no route, once there is too much of it. Whether anything was.
    fn forget(&mut self, table: &RouteTable) -> bool {
        if self.records.len() <= REMEMBERED {
            return false;
        }
        let named: HashSet<&GrantId> = table
            .routes()
            .iter()
            .filter_map(|route| route.grant.as_ref())
            .map(|grant| &grant.grant_id)
            .collect();
        let before = self.records.len();
        self.by_id.clear();
        for record in std::mem::take(&mut self.records) {
            if record.end.is_none() || named.contains(&record.grant_id) {
                self.insert(record);
            }
        }
        self.records.len() < before
    }

    fn insert(&mut self, record: GrantRecord) {
        self.by_id.insert(record.grant_id.clone(), self.records.len());
        self.records.push(record);
    }

    fn record(&self, id: &GrantId) -> Option<&GrantRecord> {
        self.records.get(*self.by_id.get(id)?)
    }

    fn record_mut(&mut self, id: &GrantId) -> Option<&mut GrantRecord> {
        self.records.get_mut(*self.by_id.get(id)?)
    }

    /// Whether anything is new: a grant, or a boot since the grant's deadline was computed.
    fn observe(&mut self, grant: &Grant, host: &contract::HostName, boot_id: Option<&str>, now: Now) -> bool {
        let deadline = grant.expires_at.zip(boot_id).map(|(end, boot_id)| BootDeadline {
            boot_id: boot_id.to_owned(),
            millis: now.boot_millis.saturating_add(
                u64::try_from(end.as_millis().saturating_sub(now.wall.as_millis())).unwrap_or(0),
            ),
        });
        match self.record_mut(&grant.grant_id) {
            Some(record) if record.end.is_some() => false,
            Some(record) => {
                let known = record.boot_deadline.as_ref().map(|known| known.boot_id.as_str());
                if known == deadline.as_ref().map(|new| new.boot_id.as_str()) {
                    return false;
                }
                record.boot_deadline = deadline;
                true
            }
            None => {
                self.insert(GrantRecord {
                    grant_id: grant.grant_id.clone(),
                    host: host.clone(),
                    first_seen: now.wall,
                    boot_deadline: deadline,
                    end: None,
                });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests;
