//! What the two directions of one admitted request share, and the one report of its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

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

/// A request that is answered and goes on being sent, as upstreams let it that answer early. It is not over: it can still
/// be withdrawn.
trait Answered: Send {
    fn withdrawn_now(&mut self) -> Option<Denial>;
    fn poll_withdrawn(&mut self, cx: &mut Context<'_>) -> Poll<Denial>;
    fn end(&mut self, ended: Ended);
}

/// What is left of such a request.
struct Remaining {
    ticket: Box<dyn Answered>,
    /// Who ends it when nobody takes the rest.
    giving_up: AbortHandle,
}

impl Drop for Remaining {
    fn drop(&mut self) {
        self.giving_up.abort();
    }
}

/// The request's side, as the response's side sees it.
pub(crate) struct Exchange {
    started: Instant,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    /// Milliseconds from `started` to the last piece of the request's body, of a WebSocket to the last bytes of
    /// either side.
    progressed: AtomicU64,
    request_over: AtomicBool,
    /// Whether there is something in `answered`.
    is_answered: AtomicBool,
    answered: Mutex<Option<Remaining>>,
    /// Nobody took anything of the rest for so long that its end was told; nothing more of it goes.
    given_up: AtomicBool,
    /// Of whoever sends the request's body.
    sending: AtomicWaker,
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
            is_answered: AtomicBool::new(false),
            answered: Mutex::new(None),
            given_up: AtomicBool::new(false),
            sending: AtomicWaker::new(),
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
        let answered = {
            let mut answered = self.answered.lock();
            self.request_over.store(true, Ordering::Release);
            answered.take()
        };
        if let Some(mut answered) = answered {
            answered.ticket.end(self.ended());
        }
    }

    /// How a request ended that is over and whose answer is complete.
    fn ended(&self) -> Ended {
        self.failed().unwrap_or(Ended::Complete)
    }

    /// How the request ended, if its body did not get through whole.
    pub(crate) fn failed(&self) -> Option<Ended> {
        Some(match self.take_failure()? {
            RequestFailure::Cut(denial) => Ended::RequestCut {
                logged: denial.logged,
            },
            RequestFailure::Broke(_) => Ended::AgentGone,
        })
    }

    /// The answer is complete. The end is told when the request's body is over, too, or nobody takes anything of it for `idle`.
    fn answered<P: Permit>(self: &Arc<Self>, mut ticket: Ticket<P>, idle: Duration) {
        let mut answered = self.answered.lock();
        if self.is_request_over() {
            drop(answered);
            return ticket.end(self.ended());
        }
        *answered = Some(Remaining {
            ticket: Box::new(ticket),
            giving_up: tokio::spawn(give_up(Arc::downgrade(self), idle)).abort_handle(),
        });
        self.is_answered.store(true, Ordering::Release);
        drop(answered);
        self.sending.wake();
    }

    /// Whether nothing of it may go any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Why the rest of a request that is answered must not be sent, if a change has withdrawn it.
    pub(crate) fn withdrawn_now(&self) -> Option<Denial> {
        if !self.is_answered.load(Ordering::Acquire) {
            return None;
        }
        self.answered.lock().as_mut()?.ticket.withdrawn_now()
    }

    /// Ready when the rest of a request that is answered must not be sent. Asked by whoever sends it alone.
    pub(crate) fn poll_withdrawn(&self, cx: &mut Context<'_>) -> Poll<Denial> {
        self.sending.register(cx.waker());
        if !self.is_answered.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        match &mut *self.answered.lock() {
            Some(answered) => answered.ticket.poll_withdrawn(cx),
            None => Poll::Pending,
        }
    }

    /// The rest of a request that is answered is not sent.
    pub(crate) fn withdrawn(&self, denial: Denial) {
        let answered = self.answered.lock().take();
        if let Some(mut answered) = answered {
            answered.ticket.end(Ended::Withdrawn {
                logged: denial.logged,
            });
        }
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

    /// This one, for whoever goes on with it; what is left here says nothing any more.
    fn hand_over(&mut self) -> Self {
        Self {
            permit: self.permit.take(),
            exchange: Arc::clone(&self.exchange),
            status: self.status,
            watch: self.watch.again(),
        }
    }

    /// The answer is complete.
    pub(crate) fn complete(&mut self, idle: Duration) {
        if self.exchange.is_request_over() {
            // An upstream may have answered in full what was cut.
            let ended = self.exchange.ended();
            self.end(ended);
        } else if self.permit.is_some() {
            let exchange = Arc::clone(&self.exchange);
            exchange.answered(self.hand_over(), idle);
        }
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

/// Ends a request that is answered, and whose rest the upstream does not take: while it does not, nobody asks for the body, and its own
/// timer does not run.
async fn give_up(exchange: Weak<Exchange>, idle: Duration) {
    // Where the agent is slow, the body's own timer is first.
    let idle = idle.saturating_add(idle / 4);
    loop {
        let left = match exchange.upgrade() {
            Some(exchange) if !exchange.is_request_over() => {
                let left = idle.saturating_sub(exchange.since_progress());
                if left.is_zero() {
                    exchange.given_up.store(true, Ordering::Release);
                    let answered = exchange.answered.lock().take();
                    if let Some(mut answered) = answered {
                        answered.ticket.end(Ended::Idle);
                    }
                    return;
                }
                left
            }
            _ => return,
        };
        tokio::time::sleep(left).await;
    }
}

impl<P: Permit> Answered for Ticket<P> {
    fn withdrawn_now(&mut self) -> Option<Denial> {
        Ticket::withdrawn_now(self)
    }

    fn poll_withdrawn(&mut self, cx: &mut Context<'_>) -> Poll<Denial> {
        Ticket::poll_withdrawn(self, cx)
    }

    fn end(&mut self, ended: Ended) {
        Ticket::end(self, ended);
    }
}

impl<P: Permit> Drop for Ticket<P> {
    fn drop(&mut self) {
        self.end(Ended::AgentGone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says how it ended.
    struct Told(Arc<Mutex<Vec<Ended>>>);

    impl Permit for Told {
        fn finished(self, outcome: Outcome) {
            self.0.lock().push(outcome.ended);
        }
    }

    fn denial() -> Denial {
        Denial {
            told_agent: http::Response::new(bytes::Bytes::new()),
            logged: "found it".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_cut_is_told_once_whether_the_answer_or_the_request_is_over_first_and_nothing_is_left() {
        let cut = Ended::RequestCut {
            logged: "found it".to_owned(),
        };
        for answered_first in [true, false] {
            let told = Arc::new(Mutex::new(Vec::new()));
            let exchange = Exchange::new(Instant::now());
            let mut ticket = Ticket::new(
                Told(Arc::clone(&told)),
                Arc::clone(&exchange),
                &Changes::default(),
            );
            if answered_first {
                ticket.complete(Duration::from_secs(60));
                assert!(told.lock().is_empty(), "the request is not over");
            }
            exchange.fail(RequestFailure::Cut(denial()));
            exchange.request_over();
            if !answered_first {
                ticket.complete(Duration::from_secs(60));
            }
            drop(ticket);
            assert_eq!(*told.lock(), std::slice::from_ref(&cut));
            assert_eq!(Arc::strong_count(&exchange), 1);
        }
    }
}
