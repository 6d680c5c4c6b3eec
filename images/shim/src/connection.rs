//! A client and the guard that it was given: two legs, two flows, and what epoll is to watch for them.
//!
//! A connection is over when both ways are; when the client has gone altogether and all that it said has been passed on;
//! or when a TCP stream was reset, and then the other leg is reset too where its family can. A guard that answers and closes
//! while the client is still sending (a refused upload) is *lingered* for: the client gets the answer and the end, and its
//! bytes are dropped for a while. Closing at once would reset it, and the answer could be lost.

use crate::Error;
use crate::flow::{Broken, Flow};
use crate::stream::{Dialled, Stream};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client's, which we accepted.
    Accepted,
    /// The guard's, which we dialled.
    Dialled,
}

/// Whether there is a connection after an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    Lives,
    /// The guard has gone and the client is told; it may finish what it was saying, for a while.
    Lingers,
    Over,
    /// Over, and the peers must see that it broke.
    Broke,
    /// Over: the guard could not be reached, for this reason.
    Unreached(String),
}

#[derive(Debug)]
struct Leg {
    stream: Stream,
    /// What epoll watches; `None` when it does not know the leg.
    watched: Option<EpollFlags>,
    /// The peer can neither send nor take any more.
    hung_up: bool,
}

impl Leg {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            watched: None,
            hung_up: false,
        }
    }

    /// Lets epoll watch exactly this. A leg that hung up reports so for ever: it is taken out while nothing is wanted of it.
    fn watch(&mut self, epoll: &Epoll, token: u64, wanted: EpollFlags) -> nix::Result<()> {
        let wanted = (!(self.hung_up && wanted.is_empty())).then_some(wanted);
        if wanted == self.watched {
            return Ok(());
        }
        match (self.watched, wanted) {
            (None, Some(flags)) => epoll.add(&self.stream, EpollEvent::new(flags, token))?,
            (Some(_), Some(flags)) => epoll.modify(&self.stream, &mut EpollEvent::new(flags, token))?,
            (_, None) => epoll.delete(&self.stream)?,
        }
        self.watched = wanted;
        Ok(())
    }
}

/// One client and its guard.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Which forward it came by.
    pub(crate) forward: usize,
    accepted: Leg,
    /// `None` until the guard's backlog has room, or we have a descriptor.
    dialled: Option<Leg>,
    /// The connect is still under way.
    pending: bool,
    from_accepted: Flow,
    from_dialled: Flow,
}

impl Connection {
    pub(crate) fn new(forward: usize, accepted: Stream, dialled: Dialled) -> Self {
        let mut connection = Self {
            forward,
            accepted: Leg::new(accepted),
            dialled: None,
            pending: false,
            from_accepted: Flow::new(),
            from_dialled: Flow::new(),
        };
        connection.give(dialled);
        connection
    }

    /// Whether the guard must be dialled again.
    pub(crate) fn waits_for_guard(&self) -> bool {
        self.dialled.is_none()
    }

    /// What came of dialling.
    pub(crate) fn give(&mut self, dialled: Dialled) {
        match dialled {
            Dialled::Connected(stream) => self.dialled = Some(Leg::new(stream)),
            Dialled::Pending(stream) => {
                self.dialled = Some(Leg::new(stream));
                self.pending = true;
            }
            Dialled::Busy | Dialled::NoDescriptors => {}
        }
    }

    /// Moves what an event allows, and says what is left.
    pub(crate) fn handle(&mut self, side: Side, events: EpollFlags, scratch: &mut [u8]) -> After {
        let gone = events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        let Some(dialled) = &mut self.dialled else {
            return client_before_guard(gone);
        };
        if self.pending {
            if side == Side::Accepted {
                return client_before_guard(gone);
            }
            if let Err(error) = dialled.stream.outcome() {
                return After::Unreached(error.to_string());
            }
            self.pending = false;
            return After::Lives;
        }
        let (leg, from_leg) = match side {
            Side::Accepted => (&mut self.accepted, &mut self.from_accepted),
            Side::Dialled => (&mut *dialled, &mut self.from_dialled),
        };
        leg.hung_up |= gone;
        if events.contains(EpollFlags::EPOLLERR) && leg.stream.is_tcp() && !from_leg.wants_bytes() {
            // A TCP peer that reset wants nothing delivered; its error would otherwise wait behind what is held.
            return After::Broke;
        }
        match self.run(side, events, scratch) {
            Ok(()) => self.judge(),
            Err(Broken) => After::Broke,
        }
    }

    /// Moves bytes from the leg when it has some, and to it when it has room; both when it is going.
    fn run(&mut self, side: Side, events: EpollFlags, scratch: &mut [u8]) -> Result<(), Broken> {
        let Some(dialled) = &self.dialled else {
            return Ok(());
        };
        let (client, guard) = (&self.accepted.stream, &dialled.stream);
        let gone = events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        let (sends, takes) = (
            gone || events.contains(EpollFlags::EPOLLIN),
            gone || events.contains(EpollFlags::EPOLLOUT),
        );
        if (side == Side::Accepted && sends) || (side == Side::Dialled && takes) {
            self.from_accepted.run(client, guard, scratch)?;
        }
        if (side == Side::Dialled && sends) || (side == Side::Accepted && takes) {
            self.from_dialled.run(guard, client, scratch)?;
        }
        Ok(())
    }

    fn judge(&mut self) -> After {
        let (to_guard, to_client) = (&mut self.from_accepted, &self.from_dialled);
        let nothing_to_guard = to_guard.is_finished() || to_guard.is_discarding();
        let nothing_to_client = to_client.is_finished() || to_client.is_discarding();
        if (to_guard.is_finished() && nothing_to_client)
            || (to_client.is_discarding() && nothing_to_guard)
            || (self.accepted.hung_up && nothing_to_guard)
        {
            return After::Over;
        }
        let guard_gone = self.dialled.as_ref().is_some_and(|leg| leg.hung_up);
        if to_client.is_finished() && (guard_gone || to_guard.is_discarding()) {
            to_guard.discard();
            return After::Lingers;
        }
        After::Lives
    }

    /// Has epoll watch what the flows wait for, under one token per leg.
    ///
    /// # Errors
    /// When the kernel refuses a watch (`fs.epoll.max_user_watches`).
    pub(crate) fn watch(&mut self, epoll: &Epoll, token: impl Fn(Side) -> u64) -> Result<(), Error> {
        let (mut of_client, mut of_guard) = (EpollFlags::empty(), EpollFlags::empty());
        if self.pending {
            of_guard = EpollFlags::EPOLLOUT;
        } else if self.dialled.is_some() {
            of_client.set(EpollFlags::EPOLLIN, self.from_accepted.wants_bytes());
            of_client.set(EpollFlags::EPOLLOUT, self.from_dialled.wants_room());
            of_guard.set(EpollFlags::EPOLLIN, self.from_dialled.wants_bytes());
            of_guard.set(EpollFlags::EPOLLOUT, self.from_accepted.wants_room());
        }
        let watched = self.accepted.watch(epoll, token(Side::Accepted), of_client);
        let watched = watched.and_then(|()| match &mut self.dialled {
            Some(leg) => leg.watch(epoll, token(Side::Dialled), of_guard),
            None => Ok(()),
        });
        watched.map_err(Error::kernel("epoll_ctl"))
    }

    /// Closes both legs so that their peers see a reset.
    pub(crate) fn reset(self) {
        self.accepted.stream.reset();
        if let Some(leg) = self.dialled {
            leg.stream.reset();
        }
    }
}

/// A client that left before it had its guard was reset, or is a Unix client that closed: it wants nothing any more.
fn client_before_guard(gone: bool) -> After {
    if gone { After::Broke } else { After::Lives }
}
