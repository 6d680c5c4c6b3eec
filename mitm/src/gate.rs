//! The gate between an agent's HTTP/1 connection and hyper.
//!
//! It passes on only heads that were judged, and of each message only the bytes that belong to it: hyper never
//! holds a byte of a request whose head was not judged, and sees pipelined requests one at a time. A refused
//! head looks like the end of the connection to hyper; whoever drives the connection finds the refusal in
//! [`Gate::take_stop`], writes the answer that the policy shapes, and closes.
//!
//! Bytes go straight into hyper's buffer; only what does not belong there yet is kept aside.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::io::poll_read_buf;

use crate::activity::Activity;
use crate::chunk::{ChunkFollower, Followed};
use crate::head::{self, ConnectHead, Framing, Head, HeadError, Leg};
use crate::refusal::Reason;

/// How much is read at a time when it cannot go straight to hyper, bytes.
const READ_ASIDE: usize = 4096;

/// Why a gate let nothing more through.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A CONNECT: its head is consumed, what follows it is kept.
    Connect(ConnectHead),
    /// A head that must be answered with a refusal.
    Refused(HeadError),
}

/// What the next bytes are.
#[derive(Debug)]
enum At {
    Head,
    /// So many bytes of a body are left.
    Length(u64),
    Chunked(ChunkFollower),
    Stopped,
}

/// What [`Gate::judge`] found in a run of bytes at the start of a message.
enum Judged {
    Incomplete,
    /// A head of this length may pass.
    Pass(usize, Framing),
    /// CONNECT with a head of this length.
    Connect(usize, ConnectHead),
}

pub(crate) struct Gate<IO> {
    io: IO,
    leg: Leg,
    head_bytes: usize,
    head_timeout: Duration,
    activity: Arc<Activity>,
    at: At,
    /// Read and not passed on.
    kept: BytesMut,
    /// How much of `kept` may pass.
    passable: usize,
    /// How much of `kept` was searched for the end of a head.
    seen: usize,
    /// Runs while a head is incomplete.
    timer: Option<Pin<Box<Sleep>>>,
    stop: Option<Stop>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Gate<IO> {
    pub(crate) fn new(
        io: IO,
        leg: Leg,
        head_bytes: usize,
        head_timeout: Duration,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            io,
            leg,
            head_bytes,
            head_timeout,
            activity,
            at: At::Head,
            kept: BytesMut::new(),
            passable: 0,
            seen: 0,
            timer: None,
            stop: None,
        }
    }

    /// Waits for the first head of a new connection. False: the agent left without one.
    pub(crate) async fn first_head(&mut self) -> io::Result<bool> {
        self.start_timer();
        std::future::poll_fn(|cx| self.poll_head(cx)).await
    }

    /// Why nothing more comes through, if the gate closed itself.
    pub(crate) fn take_stop(&mut self) -> Option<Stop> {
        self.stop.take()
    }

    /// The connection, and what was read from it but not passed on.
    pub(crate) fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.kept.freeze())
    }

    /// Reads aside until a head was judged or refused. False: the agent left before.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match self.judge(&self.kept, self.seen) {
                Ok(Judged::Pass(length, framing)) => {
                    self.passable = length;
                    self.begin_message(framing);
                    return Poll::Ready(Ok(true));
                }
                Ok(Judged::Connect(length, connect)) => {
                    self.kept.advance(length);
                    self.close(Stop::Connect(connect));
                    return Poll::Ready(Ok(true));
                }
                Err(error) => {
                    self.close(Stop::Refused(error));
                    return Poll::Ready(Ok(true));
                }
                Ok(Judged::Incomplete) => self.seen = self.kept.len(),
            }
            if let Poll::Ready(read) = self.poll_keep(cx) {
                if read? == 0 {
                    return Poll::Ready(Ok(false));
                }
                continue;
            }
            self.start_timer();
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            let detail = format!(
                "the request's head was not complete after {} s",
                self.head_timeout.as_secs_f32()
            );
            self.close(Stop::Refused(HeadError::new(Reason::HeadTimeout, detail)));
            return Poll::Ready(Ok(true));
        }
    }

    fn start_timer(&mut self) {
        let timeout = self.head_timeout;
        self.timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
    }

    /// Reads aside.
    fn poll_keep(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.kept.reserve(READ_ASIDE);
        poll_read_buf(Pin::new(&mut self.io), cx, &mut self.kept)
    }

    /// While a response is on its way no further head is judged; but an agent that leaves must be noticed.
    /// Ready without bytes: it left, or the response is over.
    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let full = self.kept.len() >= self.head_bytes;
            if !full {
                match self.poll_keep(cx) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(false)),
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            // Bytes kept aside cause no further wake-up by the socket.
            if !self.kept.is_empty() {
                self.activity.park(cx.waker());
                if !self.activity.is_busy() {
                    return Poll::Ready(Ok(true));
                }
            }
            return Poll::Pending;
        }
    }

    /// Judges bytes that start a message, of which `seen` were looked at before.
    fn judge(&self, bytes: &[u8], seen: usize) -> Result<Judged, HeadError> {
        if !head::may_be_request(bytes) {
            return Err(HeadError::new(Reason::MalformedHead, "this is not HTTP/1"));
        }
        let within = bytes.get(..self.head_bytes).unwrap_or(bytes);
        let Some(length) = head::find_end(within, seen)? else {
            if bytes.len() >= self.head_bytes {
                let detail = format!("the request's head is over {} bytes", self.head_bytes);
                return Err(HeadError::new(Reason::HeadTooLarge, detail));
            }
            return Ok(Judged::Incomplete);
        };
        let (head, _) = within.split_at(length);
        Ok(match head::judge(head, self.leg)? {
            Head::Connect(connect) => Judged::Connect(length, connect),
            Head::Ordinary { framing } => Judged::Pass(length, framing),
        })
    }

    fn begin_message(&mut self, framing: Framing) {
        self.timer = None;
        self.seen = 0;
        self.at = match framing {
            Framing::Length(0) => At::Head,
            Framing::Length(length) => At::Length(length),
            Framing::Chunked => At::Chunked(ChunkFollower::new(self.head_bytes)),
        };
        self.activity.begin();
    }

    fn close(&mut self, stop: Stop) {
        self.at = At::Stopped;
        self.timer = None;
        self.stop = Some(stop);
    }

    /// How many of these bytes belong to the body under way.
    fn body_part(at: &mut At, bytes: &[u8]) -> io::Result<usize> {
        match at {
            At::Length(left) => {
                let part = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= part as u64;
                if *left == 0 {
                    *at = At::Head;
                }
                Ok(part)
            }
            At::Chunked(follower) => match follower.follow(bytes) {
                Ok(Followed::More) => Ok(bytes.len()),
                Ok(Followed::End(part)) => {
                    *at = At::Head;
                    Ok(part)
                }
                Err(error) => {
                    *at = At::Stopped;
                    Err(io::Error::new(io::ErrorKind::InvalidData, error))
                }
            },
            At::Head | At::Stopped => Ok(0),
        }
    }

    /// Reads into `out` and takes back what may not pass yet. Returns how many bytes passed; none with `false`
    /// when the connection ended.
    fn poll_direct(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<(bool, usize)>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        let read = out.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok((false, 0)));
        }
        // From where on the bytes are kept aside; those before it and after `passed` are consumed.
        let mut keep_from = 0;
        let passed = if matches!(self.at, At::Head) {
            match self.judge(read, 0) {
                Ok(Judged::Pass(head, framing)) => {
                    self.begin_message(framing);
                    let body = read.get(head..).unwrap_or_default();
                    // A chunked body that starts badly must not hide the head: it is looked at later.
                    let part = if matches!(self.at, At::Length(_)) {
                        Self::body_part(&mut self.at, body)?
                    } else {
                        0
                    };
                    keep_from = head + part;
                    keep_from
                }
                Ok(Judged::Connect(head, connect)) => {
                    self.close(Stop::Connect(connect));
                    keep_from = head;
                    0
                }
                Ok(Judged::Incomplete) => {
                    self.seen = read.len();
                    0
                }
                Err(error) => {
                    self.close(Stop::Refused(error));
                    0
                }
            }
        } else {
            keep_from = Self::body_part(&mut self.at, read)?;
            keep_from
        };
        self.kept
            .extend_from_slice(read.get(keep_from..).unwrap_or_default());
        out.set_filled(before + passed);
        Poll::Ready(Ok((true, passed)))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.passable > 0 {
                let part = this.passable.min(out.remaining());
                out.put_slice(this.kept.get(..part).unwrap_or_default());
                this.kept.advance(part);
                this.passable -= part;
                return Poll::Ready(Ok(()));
            }
            let goes_on = match this.at {
                At::Stopped => false,
                At::Head if this.activity.is_busy() => ready!(this.poll_parked(cx))?,
                At::Head if !this.kept.is_empty() || this.timer.is_some() => ready!(this.poll_head(cx))?,
                At::Length(_) | At::Chunked(_) if !this.kept.is_empty() => {
                    this.passable = Self::body_part(&mut this.at, &this.kept)?;
                    true
                }
                _ => {
                    let (goes_on, passed) = ready!(this.poll_direct(cx, out))?;
                    if passed > 0 {
                        return Poll::Ready(Ok(()));
                    }
                    goes_on
                }
            };
            if !goes_on {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// A stopped gate stays open for the answer that its driver writes.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stop.is_some() {
            return Pin::new(&mut self.io).poll_flush(cx);
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
