//! Whether an agent connection has a request under way, and since when it has none.
//!
//! Shared by the parts of one connection: the gate stops reading heads while a response is on its way, and the
//! idle watch closes a connection that has been without a request for too long. No timer is touched per
//! request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

#[derive(Debug)]
pub(crate) struct Activity {
    started: Instant,
    under_way: AtomicUsize,
    /// Milliseconds from `started` to the end of the last request.
    idle_since: AtomicU64,
    parked: AtomicWaker,
}

/// One request under way; ends when dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Activity>);

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            under_way: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            parked: AtomicWaker::new(),
        })
    }

    /// Counts a request; the matching [`UnderWay`] must be made with [`Activity::under_way`].
    pub(crate) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// The guard for a request that was counted by [`Activity::begin`].
    pub(crate) fn under_way(self: &Arc<Self>) -> UnderWay {
        UnderWay(Arc::clone(self))
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    /// Has the task of `waker` polled again when the request under way ends.
    pub(crate) fn park(&self, waker: &Waker) {
        self.parked.register(waker);
    }

    /// How long there has been no request; none while there is one.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        if self.is_busy() {
            return None;
        }
        let since = Duration::from_millis(self.idle_since.load(Ordering::Acquire));
        Some(self.started.elapsed().saturating_sub(since))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let activity = &self.0;
        let elapsed = u64::try_from(activity.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        activity.idle_since.store(elapsed, Ordering::Release);
        activity.under_way.fetch_sub(1, Ordering::AcqRel);
        activity.parked.wake();
    }
}
