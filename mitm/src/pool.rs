//! Upstream connections, shared by every agent connection.
//!
//! Keyed by where a connection leads and how it was dialled and trusted, so it is found again whichever agent
//! connection or policy generation asks. An HTTP/1 connection is out of the pool while it is used; an HTTP/2
//! one stays and is shared. The lock is held for a look-up and never across a wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use parking_lot::Mutex;

use crate::authority::Authority;
use crate::body::RequestBody;
use crate::upstream::Upstream;

/// How long a connection may take to become idle after its response was read to the end. It is done in its own
/// task, so it can be a moment later; that one is worth waiting for, a busy one is not.
const SETTLING: Duration = Duration::from_millis(20);

/// Where a connection leads, and how it got there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// `Upstream::id`.
    pub(crate) upstream: u64,
    pub(crate) authority: Authority,
    pub(crate) tls: bool,
    /// It may speak HTTP/2, if the other side does.
    pub(crate) http2: bool,
}

impl Key {
    /// Where a request to `authority` finds its connection. `http2`: the agent speaks it.
    pub(crate) fn new(upstream: &Upstream, authority: &Authority, tls: bool, http2: bool) -> Self {
        Self {
            upstream: upstream.id,
            authority: authority.clone(),
            tls,
            http2: tls && upstream.offers_http2(http2),
        }
    }
}

/// One upstream connection, ready for a request.
pub(crate) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    /// A share in a connection. One that goes away closes itself for new requests.
    Http2(http2::SendRequest<RequestBody>),
}

/// Requests go back here when their response is over.
pub(crate) struct Pool {
    shelves: Mutex<HashMap<Key, Shelf>>,
    idle_per_host: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Idle>,
    shared: Option<Shared>,
    /// Held while an HTTP/2 connection is made, for the others to wait for it.
    connecting: Option<Arc<tokio::sync::Mutex<()>>>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

struct Shared {
    sender: http2::SendRequest<RequestBody>,
    used: Instant,
}

/// An HTTP/1 connection that is out of the pool; what is not given back is closed.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    key: Key,
    sender: http1::SendRequest<RequestBody>,
}

impl Sender {
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Sender::Http2(_))
    }

    /// What to give back when the response is over. An HTTP/2 connection never left.
    pub(crate) fn into_lease(self, pool: &Arc<Pool>, key: Key) -> Option<Lease> {
        match self {
            Sender::Http1(sender) => Some(Lease {
                pool: Arc::clone(pool),
                key,
                sender,
            }),
            Sender::Http2(_) => None,
        }
    }
}

impl Lease {
    pub(crate) fn give_back(self) {
        if !self.sender.is_closed() {
            self.pool.put(self.key, self.sender);
        }
    }
}

impl Pool {
    pub(crate) fn new(idle_per_host: usize, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            shelves: Mutex::default(),
            idle_per_host,
            idle_timeout,
        })
    }

    /// A connection that is already there.
    pub(crate) async fn take(&self, key: &Key) -> Option<Sender> {
        loop {
            let mut sender = match self.look_up(key)? {
                shared @ Sender::Http2(_) => return Some(shared),
                Sender::Http1(sender) => sender,
            };
            if sender.is_ready() {
                return Some(Sender::Http1(sender));
            }
            if let Ok(Ok(())) = tokio::time::timeout(SETTLING, sender.ready()).await {
                return Some(Sender::Http1(sender));
            }
        }
    }

    /// Whether a connection is there, as far as that is known without taking it.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        let shelves = self.shelves.lock();
        shelves.get(key).is_some_and(|shelf| {
            let shared = shelf
                .shared
                .as_ref()
                .is_some_and(|shared| !shared.sender.is_closed());
            shared || shelf.idle.iter().any(|idle| !idle.sender.is_closed())
        })
    }

    fn look_up(&self, key: &Key) -> Option<Sender> {
        let mut shelves = self.shelves.lock();
        let shelf = shelves.get_mut(key)?;
        if let Some(shared) = &mut shelf.shared {
            if shared.sender.is_ready() {
                shared.used = Instant::now();
                return Some(Sender::Http2(shared.sender.clone()));
            }
            shelf.shared = None;
        }
        // The newest first: it is the least likely to have been closed, and the others can run out.
        while let Some(idle) = shelf.idle.pop() {
            if !idle.sender.is_closed() && idle.since.elapsed() < self.idle_timeout {
                return Some(Sender::Http1(idle.sender));
            }
        }
        None
    }

    /// For a host that is known to speak HTTP/2: the lock under which one connection is made for all.
    pub(crate) fn connecting(&self, key: &Key) -> Option<Arc<tokio::sync::Mutex<()>>> {
        self.shelves.lock().get(key)?.connecting.clone()
    }

    /// Offers a new connection to everyone, if it can be shared. The first one stays.
    pub(crate) fn share(&self, key: &Key, sender: &Sender) {
        let Sender::Http2(sender) = sender else { return };
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(key.clone()).or_default();
        shelf.connecting.get_or_insert_default();
        if shelf
            .shared
            .as_ref()
            .is_none_or(|shared| shared.sender.is_closed())
        {
            shelf.shared = Some(Shared {
                sender: sender.clone(),
                used: Instant::now(),
            });
        }
    }

    fn put(&self, key: Key, sender: http1::SendRequest<RequestBody>) {
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(key).or_default();
        if shelf.idle.len() < self.idle_per_host {
            shelf.idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    /// Closes every connection that no request is using, to make room for one to another host.
    pub(crate) fn close_idle(&self) {
        self.shelves.lock().clear();
    }

    /// Closes what was not used for too long. An HTTP/2 connection with streams under way survives being
    /// forgotten here: it ends with its last stream.
    pub(crate) fn sweep(&self) {
        let keep = |since: Instant| since.elapsed() < self.idle_timeout;
        self.shelves.lock().retain(|_, shelf| {
            shelf
                .idle
                .retain(|idle| keep(idle.since) && !idle.sender.is_closed());
            shelf
                .shared
                .take_if(|shared| !keep(shared.used) || shared.sender.is_closed());
            !shelf.idle.is_empty() || shelf.shared.is_some()
        });
    }
}
