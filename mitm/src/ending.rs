//! How a connection learns that it has to end: gently when the proxy drains, at once when the drain time is over.
//!
//! A connection's task asks at every poll, so asking costs a load of its own memory: a token shared by all
//! connections would have every poll of each take the same two locks.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::policy::ConnectionId;

/// Stages, in their order; before the first a connection is served.
const DRAINING: u8 = 1;
const ABORTED: u8 = 2;

/// What one connection is told. Waited for in the connection's own task alone: there is one place for a waker.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    stage: AtomicU8,
    waker: AtomicWaker,
}

/// The connections that are told.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    stage: u8,
    connections: HashMap<ConnectionId, Arc<Ending>>,
}

// === impl Ending ===

impl Ending {
    /// Waits until the connection is to end, gently or not.
    pub(crate) fn draining(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| self.poll(DRAINING, cx))
    }

    /// Runs a connection until its end, or until it is broken off.
    pub(crate) async fn or_abort(&self, serving: impl Future<Output = ()>) {
        let mut serving = pin!(serving);
        poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.poll(ABORTED, cx),
        })
        .await;
    }

    fn poll(&self, stage: u8, cx: &mut Context<'_>) -> Poll<()> {
        if self.stage.load(Ordering::Acquire) >= stage {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // Told between the look and the registration, it would never be woken.
        if self.stage.load(Ordering::Acquire) >= stage {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn tell(&self, stage: u8) {
        self.stage.fetch_max(stage, Ordering::AcqRel);
        self.waker.wake();
    }
}

// === impl Endings ===

impl Endings {
    /// A connection that begins now; it is told what was told to all before.
    pub(crate) fn begin(&self, connection: ConnectionId) -> Arc<Ending> {
        let ending = Arc::new(Ending::default());
        let mut told = self.told.lock();
        ending.stage.store(told.stage, Ordering::Release);
        told.connections.insert(connection, Arc::clone(&ending));
        ending
    }

    /// A connection that is over.
    pub(crate) fn over(&self, connection: ConnectionId) {
        self.told.lock().connections.remove(&connection);
    }

    /// What is under way may end by itself; nothing more begins.
    pub(crate) fn drain(&self) {
        self.tell(DRAINING);
    }

    /// What is still there is broken off.
    pub(crate) fn abort(&self) {
        self.tell(ABORTED);
    }

    fn tell(&self, stage: u8) {
        let mut told = self.told.lock();
        told.stage = told.stage.max(stage);
        for ending in told.connections.values() {
            ending.tell(stage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_told_whether_it_began_before_or_after() {
        let endings = Endings::default();
        let before = endings.begin(ConnectionId(1));
        let waiting = tokio::spawn({
            let before = Arc::clone(&before);
            async move { before.draining().await }
        });
        tokio::task::yield_now().await;
        endings.drain();
        waiting.await.unwrap();
        endings.begin(ConnectionId(2)).draining().await;
    }

    #[tokio::test]
    async fn draining_lets_a_connection_go_on_and_aborting_does_not() {
        let endings = Arc::new(Endings::default());
        let ending = endings.begin(ConnectionId(1));
        endings.drain();
        ending.or_abort(ending.draining()).await;
        let stuck = tokio::spawn(async move {
            ending
                .or_abort(async {
                    ending.draining().await;
                    std::future::pending().await
                })
                .await;
        });
        tokio::task::yield_now().await;
        endings.abort();
        stuck.await.unwrap();
    }

    #[test]
    fn a_connection_that_is_over_is_forgotten() {
        let endings = Endings::default();
        let _ending = endings.begin(ConnectionId(1));
        endings.over(ConnectionId(1));
        assert!(endings.told.lock().connections.is_empty());
    }
}
