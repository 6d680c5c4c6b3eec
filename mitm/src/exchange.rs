//! What the two directions of one admitted request share, and the one report of its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;

use crate::changes::{Changes, Watch};
use crate::policy::{Denial, Ended, Outcome, Permit};

/// Why a request's body did not get through whole.
#[derive(Debug)]
pub(crate) enum RequestFailure {
    /// The inspector cut it.
    Cut(Denial),
    /// It did not arrive whole, or too slowly.
    Broke(String),
}

/// The request's side, as the response's side sees it.
#[derive(Debug)]
pub(crate) struct Exchange {
    started: Instant,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    /// Milliseconds from `started` to the last piece of the request's body, of a WebSocket to the last bytes of
    /// either side.
    progressed: AtomicU64,
    request_over: AtomicBool,
    failure: Mutex<Option<RequestFailure>>,
}

impl Exchange {
    pub(crate) fn new(started: Instant) -> Arc<Self> {
        Arc::new(Self {
            started,
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
            progressed: AtomicU64::new(0),
            request_over: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.bytes_up.fetch_add(bytes, Ordering::Relaxed);
        self.progress();
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.bytes_down.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progressed.store(elapsed, Ordering::Relaxed);
    }

    /// How long ago the last piece of the request's body was sent.
    pub(crate) fn since_progress(&self) -> Duration {
        let progressed = Duration::from_millis(self.progressed.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(progressed)
    }

    /// The body was sent whole, or no one sends it any more.
    pub(crate) fn request_over(&self) {
        self.request_over.store(true, Ordering::Release);
    }

    pub(crate) fn is_request_over(&self) -> bool {
        self.request_over.load(Ordering::Acquire)
    }

    /// Only the first failure counts: what follows is its consequence.
    pub(crate) fn fail(&self, failure: RequestFailure) {
        self.failure.lock().get_or_insert(failure);
    }

    pub(crate) fn take_failure(&self) -> Option<RequestFailure> {
        self.failure.lock().take()
    }
}

/// Holds the permit and reports the end exactly once, whatever happens: a ticket that is dropped says that the
/// agent left, which is the only way in which one is dropped.
pub(crate) struct Ticket<P: Permit> {
    permit: Option<P>,
    exchange: Arc<Exchange>,
    status: Option<StatusCode>,
    watch: Watch,
}

impl<P: Permit> Ticket<P> {
    pub(crate) fn new(permit: P, exchange: Arc<Exchange>, changes: &Changes) -> Self {
        Self {
            watch: changes.watch(),
            permit: Some(permit),
            exchange,
            status: None,
        }
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// The permit, while the request is not over.
    pub(crate) fn permit(&mut self) -> Option<&mut P> {
        self.permit.as_mut()
    }

    /// Why the request must not go on, if a change was announced that has withdrawn it.
    pub(crate) fn withdrawn_now(&mut self) -> Option<Denial> {
        if !self.watch.changed() {
            return None;
        }
        self.permit.as_mut()?.still_stands().err()
    }

    /// Ready when the request must not go on.
    pub(crate) fn poll_withdrawn(&mut self, cx: &mut Context<'_>) -> Poll<Denial> {
        loop {
            ready!(self.watch.poll_changed(cx));
            if let Some(Err(denial)) = self.permit.as_mut().map(Permit::still_stands) {
                return Poll::Ready(denial);
            }
        }
    }

    /// The request must not go on.
    pub(crate) async fn withdrawn(&mut self) -> Denial {
        std::future::poll_fn(|cx| self.poll_withdrawn(cx)).await
    }

    /// What the agent is answered.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(crate) fn received(&mut self, bytes: u64) {
        self.exchange.received(bytes);
    }

    pub(crate) fn end(&mut self, ended: Ended) {
        if let Some(permit) = self.permit.take() {
            permit.finished(Outcome {
                status: self.status,
                bytes_up: self.exchange.bytes_up.load(Ordering::Relaxed),
                bytes_down: self.exchange.bytes_down.load(Ordering::Relaxed),
                duration: self.exchange.started.elapsed(),
                ended,
            });
        }
    }
}

impl<P: Permit> Drop for Ticket<P> {
    fn drop(&mut self) {
        self.end(Ended::AgentGone);
    }
}
