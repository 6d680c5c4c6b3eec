//! Access events on standard output: one JSON line per decision, through one writer.
//!
//! No request is admitted before a place for its event is reserved, so what was let through is always written: when the
//! reader of standard output is slow, requests wait for a place (at most [`PATIENCE`]) and are then refused. Events of
//! refusals that the core makes by itself cannot wait; one that finds no place is counted, and the next event carries
//! the count (`lost_before`). When standard output is gone altogether, the guard stops: nothing would record what
//! it lets through.
//!
//! The writer is woken once for many events: after the first it lets [`GATHER`] go by. While it does, handing it an
//! event wakes no thread, which would cost a request more than everything else about its event.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use contract::{AccessEvent, EventId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How many events may be waiting, or belong to requests under way. An event takes about 1 KiB.
pub const PLACES: usize = 16 * 1024;

/// How long a request waits for a place.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long an event may wait for others to be written with it. Well under what a person who follows the log notices.
const GATHER: Duration = Duration::from_millis(5);

/// A write is about so long, bytes.
const WRITE: usize = 64 * 1024;

/// Where access events go.
#[derive(Debug, Clone)]
pub struct EventLog {
    /// None: access events are not wanted (`--event-log none`).
    sender: Option<Sender<Line>>,
    places: Arc<Semaphore>,
    lost: Arc<AtomicU64>,
    /// When this process began to log, and how many identifiers it has given: together, the next identifier.
    start: Timestamp,
    given: Arc<AtomicU64>,
}

/// A reserved place for one event. Dropped unused, it is free again.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

/// The writing thread.
#[derive(Debug)]
pub struct Writer(Option<JoinHandle<()>>);

#[derive(Debug)]
struct Line {
    event: AccessEvent,
    place: Place,
}

// === impl EventLog ===

impl EventLog {
    /// Writes to `out` from a thread of its own. `gone` is cancelled when `out` can no longer be written.
    pub fn to(out: impl Write + Send + 'static, gone: CancellationToken) -> std::io::Result<(Self, Writer)> {
        let (sender, receiver) = channel();
        let log = Self::new(Some(sender));
        let places = log.places.clone();
        let thread = std::thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || {
                if let Err(error) = write_all(&receiver, out) {
                    tracing::error!(
                        "access events cannot be written any more ({error}): the guard stops. Start it again with its \
                         standard output read, or with --event-log none"
                    );
                    // What is under way may end; nothing more may begin.
                    places.close();
                    gone.cancel();
                }
            })?;
        Ok((log, Writer(Some(thread))))
    }

    /// Writes nothing.
    pub fn none() -> (Self, Writer) {
        (Self::new(None), Writer(None))
    }

    fn new(sender: Option<Sender<Line>>) -> Self {
        Self {
            sender,
            places: Arc::new(Semaphore::new(PLACES)),
            lost: Arc::new(AtomicU64::new(0)),
            start: SystemTime::now().into(),
            given: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Whether events are written at all; if not, none needs to be made.
    pub fn is_wanted(&self) -> bool {
        self.sender.is_some()
    }

    /// Waits for a place, none when the reader of the log is too slow or gone.
    pub async fn reserve(&self) -> Option<Place> {
        if self.sender.is_none() {
            return Some(Place(None));
        }
        if let Some(place) = self.try_reserve() {
            return Some(place);
        }
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned());
        place.await.ok()?.ok().map(|permit| Place(Some(permit)))
    }

    fn try_reserve(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        Some(Place(Some(permit)))
    }

    /// Writes an event into its place.
    pub fn write(&self, place: Place, mut event: AccessEvent) {
        let Some(sender) = &self.sender else {
            return;
        };
        event.lost_before = self.lost.swap(0, Ordering::Relaxed);
        let lost = event.lost_before;
        let line = Line { event, place };
        if sender.send(line).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    /// Writes an event if there is a place, and counts it as lost otherwise.
    pub fn write_or_count(&self, event: AccessEvent) {
        match self.try_reserve() {
            Some(place) => self.write(place, event),
            None => self.count_lost(),
        }
    }

    /// An event that found no place.
    pub fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The identifier of the next event.
    pub fn next_id(&self) -> EventId {
        EventId::numbered(self.start, self.given.fetch_add(1, Ordering::Relaxed))
    }
}

// === impl Writer ===

impl Writer {
    /// Waits until every event is written; call it when every [`EventLog`] is gone. A reader that is stuck keeps nobody:
    /// the wait ends after `patience`.
    pub async fn finish(self, patience: Duration) {
        if let Some(thread) = self.0 {
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok());
            let _ = tokio::time::timeout(patience, joined).await;
        }
    }
}

fn write_all(receiver: &Receiver<Line>, mut out: impl Write) -> std::io::Result<()> {
    let mut text = Vec::with_capacity(WRITE);
    // Their places stay taken until they are written.
    let mut written = Vec::new();
    while let Ok(first) = receiver.recv() {
        std::thread::sleep(GATHER);
        let mut next = Some(first);
        while let Some(line) = next {
            // An event is plain data; if it could not be put into JSON, an empty line would be no better than none.
            if serde_json::to_writer(&mut text, &line.event).is_ok() {
                text.push(b'\n');
            }
            written.push(line.place);
            next = receiver.try_recv().ok();
            if next.is_none() || text.len() >= WRITE {
                out.write_all(&text).and_then(|()| out.flush())?;
                text.clear();
                written.clear();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
