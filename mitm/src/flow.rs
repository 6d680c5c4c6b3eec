//! One body on its way through, frame by frame, with an inspector in between.
//!
//! A frame is asked of one side only when the other side wants one, so a slow reader slows its writer down and
//! nothing piles up here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::headers;
use crate::inspect::{Cut, Inspector, Released};

/// Why a body ends early.
pub(crate) enum Broken {
    Cut(Cut),
    Transport(hyper::Error),
    Idle,
}

/// Takes frames from one side and lets through what the inspector releases.
pub(crate) struct Flow {
    inner: Incoming,
    inspector: Option<Box<dyn Inspector>>,
    released: Released,
    trailers: Option<HeaderMap>,
    drops_trailers: bool,
    /// `inner` has ended and the inspector has released everything.
    inner_over: bool,
    idle: Duration,
    progressed: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// What of the body is still to be let through, when its length is known.
    left: Option<u64>,
}

impl Flow {
    pub(crate) fn new(inner: Incoming, inspector: Option<Box<dyn Inspector>>, idle: Duration) -> Self {
        let left = inner.size_hint().exact();
        Self {
            inner,
            inspector,
            released: Released::default(),
            trailers: None,
            drops_trailers: false,
            inner_over: false,
            idle,
            progressed: Instant::now(),
            timer: None,
            left,
        }
    }

    /// Trailers go no further, whatever is in them.
    pub(crate) fn without_trailers(mut self) -> Self {
        self.drops_trailers = true;
        self
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(data) = self.released.pop() {
                return Poll::Ready(Some(Ok(self.let_through(data))));
            }
            if self.inner_over {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(cx) else {
                ready!(self.poll_idle(cx));
                return Poll::Ready(Some(Err(Broken::Idle)));
            };
            self.progressed = Instant::now();
            let frame = match next {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(Broken::Transport(error)))),
                None => {
                    self.finish(None)?;
                    continue;
                }
            };
            match frame.into_data() {
                Ok(data) => match &mut self.inspector {
                    None => return Poll::Ready(Some(Ok(self.let_through(data)))),
                    Some(inspector) => {
                        if let Err(cut) = inspector.push(data, &mut self.released) {
                            return Poll::Ready(Some(Err(self.cut(cut))));
                        }
                        if self.inner.is_end_stream() {
                            self.finish(None)?;
                        }
                    }
                },
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.finish(Some(trailers))?;
                    }
                }
            }
        }
    }

    fn let_through(&mut self, data: Bytes) -> Frame<Bytes> {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
        }
        Frame::data(data)
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.inner_over = true;
        let trailers = trailers.filter(|_| !self.drops_trailers).map(|mut trailers| {
            headers::strip_trailers(&mut trailers);
            trailers
        });
        if let Some(inspector) = &mut self.inspector {
            let mut finished = inspector.finish(&mut self.released);
            if let (Ok(()), Some(trailers)) = (&finished, &trailers) {
                finished = inspector.trailers(trailers);
            }
            finished.map_err(|cut| self.cut(cut))?;
        }
        self.trailers = trailers;
        Ok(())
    }

    /// What was released in the same step as the cut stays here: it may hold the finding's beginning.
    fn cut(&mut self, cut: Cut) -> Broken {
        self.inner_over = true;
        self.released.discard();
        Broken::Cut(cut)
    }

    /// Ready when nothing has come for too long. The timer is made when something is first waited for, and
    /// moved only when it fires: a frame costs no timer operation.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.progressed + self.idle;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Waits for the first frame and keeps it.
    pub(crate) async fn first_frame(&mut self) -> Result<(), Broken> {
        let Some(frame) = std::future::poll_fn(|cx| self.poll(cx)).await.transpose()? else {
            return Ok(());
        };
        match frame.into_data() {
            Ok(data) => {
                if let Some(left) = &mut self.left {
                    *left += data.len() as u64;
                }
                self.released.unpop(data);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
        Ok(())
    }

    /// The longest wait between two frames.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// Whether the inspector wants the head to wait for the first bytes that it lets through.
    pub(crate) fn defers_head(&self) -> bool {
        self.inspector
            .as_ref()
            .is_some_and(|inspector| inspector.defers_head())
    }

    pub(crate) fn is_over(&self) -> bool {
        if self.inspector.is_some() {
            self.inner_over && self.released.is_empty() && self.trailers.is_none()
        } else {
            self.inner_over || self.inner.is_end_stream()
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
