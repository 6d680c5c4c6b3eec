//! One direction of a WebSocket: read, looked at, written anew.
//!
//! A frame of up to 64 KiB leaves as one frame, a longer one in several; never is a message collected whole.
//! Nothing is read while something is still to be written, so a slow reader slows its writer down. All state is
//! in the value and none in its future, so [`Direction::pump`] may be dropped and called again.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::exchange::Exchange;
use crate::inspect::{Cut, MessageInspector, Released};
use crate::limits::HELD_MESSAGE;
use crate::websocket::frame::{Control, Event, FrameReader, Origin, ProtocolError};
use crate::websocket::reframe::{NoRandomness, Reframer};

/// How much is read at a time, bytes.
const READ: usize = 16 * 1024;
/// A frame is gathered up to this many bytes and pieces before it is passed on: many peers, browsers' debugging
/// ports among them, do not take a message in fragments.
const GATHERED: usize = 64 * 1024;
const GATHERED_PIECES: usize = 1024;
/// How many messages may wait behind bytes that are held back.
const WAITING: usize = 1024;

/// Why a direction does not go on.
#[derive(Debug)]
pub(crate) enum Over {
    /// A close frame was passed on.
    Closed,
    /// Who sends is gone.
    SourceGone,
    /// Who receives is gone.
    SinkGone,
    Protocol(ProtocolError),
    Cut(Cut),
    /// The inspector holds back more messages than can be remembered.
    HeldTooMuch,
    NoRandomness,
}

pub(crate) struct Direction {
    from: Origin,
    reader: FrameReader,
    incoming: BytesMut,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    inspector: Option<Box<dyn MessageInspector>>,
    released: Released,
    pub(crate) reframer: Reframer,
    /// When the end of a message has been held for long enough.
    overdue: Option<Instant>,
    closed: bool,
    exchange: Arc<Exchange>,
}

// === impl Direction ===

impl Direction {
    /// Of what `from` sends.
    pub(crate) fn new(
        from: Origin,
        inspector: Option<Box<dyn MessageInspector>>,
        exchange: &Arc<Exchange>,
    ) -> Self {
        Self {
            from,
            reader: FrameReader::new(from),
            incoming: BytesMut::new(),
            gathered: Vec::new(),
            gathered_bytes: 0,
            inspector,
            released: Released::default(),
            // What a client sent is sent on as a client.
            reframer: Reframer::new(from),
            overdue: None,
            closed: false,
            exchange: Arc::clone(exchange),
        }
    }

    /// A close frame was passed on: nothing may follow it.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Passes frames on until there is a reason not to.
    pub(crate) async fn pump<R, W>(&mut self, source: &mut R, sink: &mut W) -> Over
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if let Err(over) = self.take_in() {
                return over;
            }
            if self.write(sink).await.is_err() {
                return Over::SinkGone;
            }
            if self.closed {
                return Over::Closed;
            }
            self.incoming.reserve(READ);
            let overdue = self.overdue;
            tokio::select! {
                biased;
                read = source.read_buf(&mut self.incoming) => {
                    if !matches!(read, Ok(1..)) {
                        return Over::SourceGone;
                    }
                    self.exchange.progress();
                }
                () = tokio::time::sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    if let Err(over) = self.let_go() {
                        return over;
                    }
                }
            }
        }
    }

    async fn write<W: AsyncWrite + Unpin>(&mut self, sink: &mut W) -> std::io::Result<()> {
        while !self.reframer.out.is_empty() {
            if sink.write_buf(&mut self.reframer.out).await? == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.exchange.progress();
        }
        sink.flush().await
    }

    /// Looks at everything that was read.
    fn take_in(&mut self) -> Result<(), Over> {
        while !self.closed
            && let Some(event) = self.reader.next(&mut self.incoming)?
        {
            match event {
                Event::Begin(kind) => self.reframer.begin(kind),
                Event::Payload(data) => {
                    self.gathered_bytes += data.len();
                    self.gathered.push(data);
                    if self.gathered_bytes >= GATHERED || self.gathered.len() >= GATHERED_PIECES {
                        self.look()?;
                        self.release()?;
                    }
                }
                Event::FrameEnd { last } => {
                    self.look()?;
                    if last {
                        self.reframer.end();
                        self.inspect(|inspector, released| inspector.message_end(released))?;
                    }
                    self.release()?;
                }
                Event::Control(control, payload) => self.control(control, &payload)?,
            }
        }
        Ok(())
    }

    fn control(&mut self, control: Control, payload: &[u8]) -> Result<(), Over> {
        self.inspect(|inspector, _| inspector.control(payload))?;
        if control == Control::Close {
            self.inspect(|inspector, released| inspector.finish(released))?;
            self.release()?;
            self.closed = true;
        }
        Ok(self.reframer.control(control, payload)?)
    }

    /// Puts what was gathered before the inspector.
    fn look(&mut self) -> Result<(), Over> {
        self.gathered_bytes = 0;
        for data in std::mem::take(&mut self.gathered) {
            self.reframer.pushed(data.len());
            if self.inspector.is_some() {
                self.inspect(|inspector, released| inspector.push(data, released))?;
            } else {
                self.released.push(data);
            }
        }
        Ok(())
    }

    /// Of what was let go in the same step as a cut nothing leaves: it may hold the finding's beginning.
    fn inspect(
        &mut self,
        look: impl FnOnce(&mut dyn MessageInspector, &mut Released) -> Result<(), Cut>,
    ) -> Result<(), Over> {
        let Some(inspector) = &mut self.inspector else {
            return Ok(());
        };
        look(&mut **inspector, &mut self.released).map_err(|cut| {
            self.released.discard();
            Over::Cut(cut)
        })
    }

    /// Frames what was let go, and sees to what is held.
    fn release(&mut self) -> Result<(), Over> {
        self.frame()?;
        if self.reframer.waiting() > WAITING {
            return self.let_go();
        }
        let end_waits = self.reframer.waiting() > 0 && self.reframer.end_waits();
        self.overdue = end_waits.then(|| self.overdue.unwrap_or_else(|| Instant::now() + HELD_MESSAGE));
        Ok(())
    }

    /// Has the inspector release what it holds.
    fn let_go(&mut self) -> Result<(), Over> {
        self.inspect(|inspector, released| inspector.overdue(released))?;
        self.overdue = None;
        self.frame()?;
        if self.reframer.waiting() > WAITING {
            return Err(Over::HeldTooMuch);
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<(), Over> {
        let bytes = self.reframer.release(&mut self.released)?;
        match self.from {
            Origin::Client => self.exchange.sent(bytes),
            Origin::Server => self.exchange.received(bytes),
        }
        Ok(())
    }
}

impl From<ProtocolError> for Over {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<NoRandomness> for Over {
    fn from(NoRandomness: NoRandomness) -> Self {
        Self::NoRandomness
    }
}
