//! Telling what is under way that the policy may judge it otherwise now.
//!
//! A request is decided when it comes and once more before it is sent; a stream may last for hours after that. Whoever
//! brings a new policy into force announces it here, and every request, WebSocket and tunnel under way is put to its permit
//! again ([`Permit::still_stands`](crate::Permit::still_stands)). What is under way pays for this with one load per piece, and
//! with a place in the waiting list while nothing comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Where changes of a proxy's policy are announced. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    announced: AtomicU64,
    waiting: Arc<Notify>,
}

/// One request's view of the changes.
pub(crate) struct Watch {
    changes: Changes,
    seen: u64,
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

// === impl Changes ===

impl Changes {
    /// A new policy is in force: has everything under way put to its permit again.
    pub fn announce(&self) {
        self.0.announced.fetch_add(1, Ordering::Release);
        self.0.waiting.notify_waiters();
    }

    /// Of what is announced from now on.
    pub(crate) fn watch(&self) -> Watch {
        Watch {
            seen: self.announced(),
            changes: self.clone(),
            waiting: None,
        }
    }

    fn announced(&self) -> u64 {
        self.0.announced.load(Ordering::Acquire)
    }
}

// === impl Watch ===

impl Watch {
    /// Whether something was announced since this was last asked.
    pub(crate) fn changed(&mut self) -> bool {
        let announced = self.changes.announced();
        std::mem::replace(&mut self.seen, announced) != announced
    }

    /// The same view, for another task to wait in.
    pub(crate) fn again(&self) -> Self {
        Self {
            changes: self.changes.clone(),
            seen: self.seen,
            waiting: None,
        }
    }

    /// Ready when something was announced.
    pub(crate) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.changed() {
                self.waiting = None;
                return Poll::Ready(());
            }
            let waiting = self
                .waiting
                .get_or_insert_with(|| Box::pin(Arc::clone(&self.changes.0.waiting).notified_owned()));
            if waiting.as_mut().poll(cx).is_ready() {
                self.waiting = None;
            } else if self.changes.announced() == self.seen {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    #[test]
    fn an_announcement_is_seen_once_whether_or_not_it_was_waited_for() {
        let changes = Changes::default();
        changes.announce();
        let mut watch = changes.watch();
        assert!(!watch.changed(), "what was before does not count");
        changes.announce();
        changes.announce();
        assert!(watch.changed());
        assert!(!watch.changed());
        let mut cx = Context::from_waker(noop_waker_ref());
        assert!(watch.poll_changed(&mut cx).is_pending());
        changes.announce();
        assert!(watch.poll_changed(&mut cx).is_ready());
        assert!(watch.poll_changed(&mut cx).is_pending());
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let changes = Changes::default();
        let mut watch = changes.watch();
        let waiting = tokio::spawn(async move { std::future::poll_fn(|cx| watch.poll_changed(cx)).await });
        tokio::task::yield_now().await;
        changes.announce();
        waiting.await.unwrap();
    }
}
