//! The loop: signals, listeners and connections, one event at a time.
//!
//! A guard that is not there costs its client the connection, and nothing else. Where descriptors or the cap run out, it
//! stops accepting until a connection ends; clients wait in the backlog.

use crate::arguments::Settings;
use crate::connection::{After, Connection, Side};
use crate::endpoint::Endpoint;
use crate::flow::CHUNK;
use crate::listener::Listener;
use crate::process::{Next, Signals};
use crate::stream::{Dialled, Stream, is_shortage};
use crate::{Error, say};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// Clients taken from one listener before the others get their turn.
const ACCEPTS: usize = 64;
/// Descriptors kept for listeners, epoll, signals and the standard streams.
const RESERVED_DESCRIPTORS: u64 = 64;
/// How often a guard with a full backlog is dialled again, in milliseconds, and for how long.
const BACKLOG_PAUSE: u16 = 5;
const BACKLOG_PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for descriptors that others must free.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may go on sending to a guard that has answered and gone.
const LINGER: Duration = Duration::from_secs(5);

const SIGNALS: u64 = 0;
const FIRST_LISTENER: u64 = 1;
const FIRST_LEG: u64 = 1 << 32;

fn leg_token(slot: usize, side: Side) -> u64 {
    FIRST_LEG + slot as u64 * 2 + u64::from(side == Side::Dialled)
}

struct Door {
    listener: Listener,
    connect: Endpoint,
    /// Said once, when the guard goes, and once when it is back.
    unreached: bool,
}

/// Why no client is taken at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paused {
    No,
    /// Until a connection ends.
    Full,
    /// Until then, or until a connection ends.
    NoDescriptors(Instant),
}

/// Everything that the shim has.
pub(crate) struct EventLoop {
    epoll: Epoll,
    signals: Signals,
    doors: Vec<Door>,
    connections: Vec<Option<Connection>>,
    /// Empty slots.
    free: Vec<usize>,
    /// Emptied in this turn: an event of the old connection may still be in hand, so nobody moves in yet.
    emptied: Vec<usize>,
    /// Slots whose guard has a full backlog, and since when.
    waiting: Vec<(usize, Instant)>,
    /// Slots whose guard has gone before its client, and until when the client may go on.
    lingering: Vec<(usize, Instant)>,
    max_connections: usize,
    paused: Paused,
    scratch: Box<[u8]>,
}

impl EventLoop {
    /// Binds every side.
    ///
    /// # Errors
    /// On the first side that cannot be bound.
    pub(crate) fn bind(settings: &Settings, signals: Signals) -> Result<Self, Error> {
        let mut doors = Vec::new();
        for forward in &settings.forwards {
            doors.push(Door {
                listener: Listener::bind(&forward.listen)?,
                connect: forward.connect.clone(),
                unreached: false,
            });
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(Error::kernel("epoll_create1"))?;
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        epoll
            .add(&signals, readable(SIGNALS))
            .map_err(Error::kernel("epoll_ctl"))?;
        for (door, token) in doors.iter().zip(FIRST_LISTENER..) {
            epoll
                .add(&door.listener, readable(token))
                .map_err(Error::kernel("epoll_ctl"))?;
            say(&format!("{} -> {}", door.listener, door.connect));
        }
        Ok(Self {
            epoll,
            signals,
            doors,
            connections: Vec::new(),
            free: Vec::new(),
            emptied: Vec::new(),
            waiting: Vec::new(),
            lingering: Vec::new(),
            max_connections: settings.max_connections.min(descriptor_limit()),
            paused: Paused::No,
            scratch: vec![0; CHUNK].into_boxed_slice(),
        })
    }

    /// Serves until a signal says to end.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let mut events = vec![EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, self.patience()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(Error::kernel("epoll_wait")(errno)),
            };
            for event in events.iter().take(count) {
                match event.data() {
                    SIGNALS => {
                        if self.signals.take() == Next::End {
                            return Ok(());
                        }
                    }
                    token if token < FIRST_LEG => self.accept((token - FIRST_LISTENER) as usize),
                    token => {
                        let side = if token & 1 == 0 {
                            Side::Accepted
                        } else {
                            Side::Dialled
                        };
                        self.serve(((token - FIRST_LEG) / 2) as usize, side, event.events());
                    }
                }
            }
            self.dial_again();
            self.settle();
        }
    }

    fn patience(&self) -> EpollTimeout {
        if !self.waiting.is_empty() {
            return EpollTimeout::from(BACKLOG_PAUSE);
        }
        let mut next = self.lingering.iter().map(|(_, until)| *until).min();
        if let Paused::NoDescriptors(until) = self.paused {
            next = Some(next.map_or(until, |earlier| earlier.min(until)));
        }
        let Some(next) = next else {
            return EpollTimeout::NONE;
        };
        let left = next.saturating_duration_since(Instant::now());
        // Rounded up: a millisecond too late is no harm, one too early is a turn for nothing.
        EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::from(BACKLOG_PAUSE))
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            if self.paused != Paused::No {
                return;
            }
            if self.live() >= self.max_connections {
                return self.pause(Paused::Full);
            }
            let Some(door) = self.doors.get(index) else { return };
            match door.listener.accept() {
                Ok(client) => self.admit(index, client),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_shortage(&error) => return self.pause_for_descriptors(),
                // The client left while it waited.
                Err(_) => {}
            }
        }
    }

    /// Finds the client its guard, or closes it.
    fn admit(&mut self, index: usize, client: Stream) {
        let Some(door) = self.doors.get_mut(index) else {
            return;
        };
        let dialled = match Dialled::dial(&door.connect) {
            Ok(dialled) => dialled,
            Err(error) => {
                // As from a port that nobody listens on: an end without an answer could be taken for an empty one.
                client.reset();
                return door.missed(&error.to_string());
            }
        };
        match dialled {
            Dialled::Connected(_) => door.reached(),
            Dialled::NoDescriptors => self.pause_for_descriptors(),
            Dialled::Pending(_) | Dialled::Busy => {}
        }
        let connection = Connection::new(index, client, dialled);
        let busy = connection.waits_for_guard();
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.connections.push(None);
                self.connections.len() - 1
            }
        };
        if let Some(place) = self.connections.get_mut(slot) {
            *place = Some(connection);
        }
        if busy {
            self.waiting.push((slot, Instant::now()));
        }
        self.watch(slot);
    }

    fn serve(&mut self, slot: usize, side: Side, events: EpollFlags) {
        // An event of a connection that ended earlier in this turn finds its slot empty.
        let Some(Some(connection)) = self.connections.get_mut(slot) else {
            return;
        };
        match connection.handle(side, events, &mut self.scratch) {
            After::Lives => self.watch(slot),
            After::Lingers => {
                if !self.lingering.iter().any(|(other, _)| *other == slot) {
                    self.lingering.push((slot, Instant::now() + LINGER));
                }
                self.watch(slot);
            }
            After::Over => drop(self.remove(slot)),
            After::Broke => {
                if let Some(connection) = self.remove(slot) {
                    connection.reset();
                }
            }
            After::Unreached(reason) => self.miss(slot, &reason),
        }
    }

    fn watch(&mut self, slot: usize) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else {
            return;
        };
        if let Err(error) = connection.watch(&self.epoll, |side| leg_token(slot, side)) {
            say(&error.to_string());
            drop(self.remove(slot));
        }
    }

    /// Guards whose backlog was full.
    fn dial_again(&mut self) {
        for (slot, since) in std::mem::take(&mut self.waiting) {
            let Some(Some(connection)) = self.connections.get_mut(slot) else {
                continue;
            };
            let Some(door) = self.doors.get_mut(connection.forward) else {
                continue;
            };
            match Dialled::dial(&door.connect) {
                Ok(dialled) => {
                    connection.give(dialled);
                    if !connection.waits_for_guard() {
                        self.watch(slot);
                    } else if since.elapsed() < BACKLOG_PATIENCE {
                        self.waiting.push((slot, since));
                    } else {
                        self.miss(slot, "there was no room for a connection in 10 s");
                    }
                }
                Err(error) => self.miss(slot, &error.to_string()),
            }
        }
    }

    /// Closes a client whose guard could not be had.
    fn miss(&mut self, slot: usize, reason: &str) {
        let Some(connection) = self.remove(slot) else {
            return;
        };
        if let Some(door) = self.doors.get_mut(connection.forward) {
            door.missed(reason);
        }
        connection.reset();
    }

    fn live(&self) -> usize {
        self.connections.len() - self.free.len() - self.emptied.len()
    }

    /// Takes the connection out; epoll forgets its legs as they close.
    fn remove(&mut self, slot: usize) -> Option<Connection> {
        let connection = self.connections.get_mut(slot)?.take()?;
        self.emptied.push(slot);
        Some(connection)
    }

    /// Between two turns: who lingered long enough goes, emptied slots may be used again, and whoever waits may come in.
    fn settle(&mut self) {
        let now = (!self.lingering.is_empty() || self.paused != Paused::No).then(Instant::now);
        let late = |until: &Instant| now.is_some_and(|now| *until <= now);
        let leaving: Vec<usize> = self
            .lingering
            .iter()
            .filter(|(_, until)| late(until))
            .map(|(slot, _)| *slot)
            .collect();
        for slot in leaving {
            drop(self.remove(slot));
        }
        let some_ended = !self.emptied.is_empty();
        if some_ended {
            self.waiting.retain(|(slot, _)| !self.emptied.contains(slot));
            self.lingering.retain(|(slot, _)| !self.emptied.contains(slot));
            self.free.append(&mut self.emptied);
        }
        let again = match &self.paused {
            Paused::No => false,
            Paused::Full => some_ended,
            Paused::NoDescriptors(until) => some_ended || late(until),
        };
        if again {
            self.paused = Paused::No;
            self.watch_doors(EpollFlags::EPOLLIN);
        }
    }

    fn pause_for_descriptors(&mut self) {
        self.pause(Paused::NoDescriptors(Instant::now() + DESCRIPTOR_PAUSE));
    }

    fn pause(&mut self, why: Paused) {
        self.paused = why;
        self.watch_doors(EpollFlags::empty());
    }

    fn watch_doors(&mut self, flags: EpollFlags) {
        for (door, token) in self.doors.iter().zip(FIRST_LISTENER..) {
            if let Err(errno) = self
                .epoll
                .modify(&door.listener, &mut EpollEvent::new(flags, token))
            {
                say(&Error::kernel("epoll_ctl")(errno).to_string());
            }
        }
    }
}

impl Door {
    /// Tells the operator once; the client has been closed.
    fn missed(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.unreached, true) {
            say(&format!("{} does not answer: {reason}", self.connect));
        }
    }

    fn reached(&mut self) {
        if std::mem::replace(&mut self.unreached, false) {
            say(&format!("{} answers again", self.connect));
        }
    }
}

/// How many connections the descriptor limit allows, once raised to what this process may raise it to.
fn descriptor_limit() -> usize {
    let (mut soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        soft = hard;
    }
    usize::try_from(soft.saturating_sub(RESERVED_DESCRIPTORS) / 2)
        .unwrap_or(usize::MAX)
        .max(1)
}
