//! Polls a connection again at once when it woke itself.
//!
//! hyper wakes its own task when whoever handles a request first asks for its body. To the runtime that is a task which gives
//! way: it goes to the end of the queue, and another worker is woken to take it. For a small request that costs more CPU than
//! all else. Here such a connection is just polled once more.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// So often in a row: who always wants to be polled must let others have their turn.
const AT_ONCE: usize = 4;

const IDLE: u8 = 0;
const POLLED: u8 = 1;
const WOKEN_WHILE_POLLED: u8 = 2;

/// The waker that the connection sees.
#[derive(Default)]
struct Own {
    stage: AtomicU8,
    /// The task's.
    task: AtomicWaker,
}

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let polled =
            self.stage
                .compare_exchange(POLLED, WOKEN_WHILE_POLLED, Ordering::AcqRel, Ordering::Acquire);
        if polled == Err(IDLE) {
            self.task.wake();
        }
    }
}

/// `connection`, polled again at once when it was woken while it was polled.
///
/// It is put on the heap: what an `async fn` is given it keeps twice, and a connection is large.
pub(crate) fn again_at_once<T>(connection: impl Future<Output = T>) -> impl Future<Output = T> {
    let mut connection = Box::pin(connection);
    let own = Arc::new(Own::default());
    let waker = Waker::from(Arc::clone(&own));
    poll_fn(move |cx| {
        own.task.register(cx.waker());
        for _ in 0..AT_ONCE {
            own.stage.store(POLLED, Ordering::Release);
            let polled = connection.as_mut().poll(&mut Context::from_waker(&waker));
            let stage = own.stage.swap(IDLE, Ordering::AcqRel);
            if polled.is_ready() || stage == POLLED {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::{ArcWake, waker};
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl ArcWake for Count {
        fn wake_by_ref(count: &Arc<Self>) {
            count.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polled so often, it is ready; it wakes itself each time.
    fn restless(times: usize) -> impl Future<Output = usize> {
        let mut polled = 0;
        poll_fn(move |cx| {
            polled += 1;
            if polled == times {
                return Poll::Ready(polled);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn what_wakes_itself_is_polled_at_once_and_gives_way_in_the_end() {
        let count = Arc::new(Count::default());
        let waker = waker(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut quick = pin!(again_at_once(restless(AT_ONCE)));
        assert_eq!(quick.as_mut().poll(&mut cx), Poll::Ready(AT_ONCE));
        assert_eq!(count.0.load(Ordering::SeqCst), 0, "the task was not woken");
        let mut long = pin!(again_at_once(restless(2 * AT_ONCE)));
        assert!(long.as_mut().poll(&mut cx).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(long.as_mut().poll(&mut cx), Poll::Ready(2 * AT_ONCE));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost_whichever_thread_it_comes_from() {
        for _ in 0..2000 {
            let (send, receive) = tokio::sync::oneshot::channel();
            let waiting = tokio::spawn(again_at_once(receive));
            tokio::spawn(async move { send.send(7).unwrap() });
            let got = tokio::time::timeout(Duration::from_secs(20), waiting).await;
            assert_eq!(got.unwrap().unwrap(), Ok(7));
        }
    }
}
