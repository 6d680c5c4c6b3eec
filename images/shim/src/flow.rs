//! One direction of a connection.
//!
//! Plain reads and writes through one shared buffer, not splice(2): see the measurements in `images/README.md`. What the
//! reader did not take is held here, and nothing more is read until it has: the writer feels the reader's pace.

use crate::stream::Stream;
use std::io::ErrorKind;

/// Bytes per read, and the most that a flow ever holds.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Full chunks that one flow may move before the others get their turn.
const ROUNDS: usize = 16;

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Bytes pass.
    Copying,
    /// The writer has ended; what is held must still go out.
    Ended,
    /// The reader has been told of the end.
    Finished,
    /// The reader takes no more, but may still have something to say: the writer is read, as a TCP stack would, and
    /// what it says is dropped. (A client that first sends everything and then reads would hang otherwise, and the
    /// guard's early answer would be lost.)
    Discarding,
}

/// Bytes from one leg on their way to the other.
#[derive(Debug)]
pub(crate) struct Flow {
    state: State,
    /// What the reader did not take yet; no allocation when empty.
    held: Vec<u8>,
    /// How much of it has gone out.
    sent: usize,
}

/// A TCP stream was reset: the other leg must be, too.
#[derive(Debug)]
pub(crate) struct Broken;

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Copying,
            held: Vec::new(),
            sent: 0,
        }
    }

    /// Whether it waits for the writer.
    pub(crate) fn wants_bytes(&self) -> bool {
        match self.state {
            State::Copying => self.held.is_empty(),
            State::Discarding => true,
            State::Ended | State::Finished => false,
        }
    }

    /// Whether it waits for the reader.
    pub(crate) fn wants_room(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether the writer has ended, and the reader knows.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether what the writer still says is dropped.
    pub(crate) fn is_discarding(&self) -> bool {
        self.state == State::Discarding
    }

    /// Drops what is held and whatever follows.
    pub(crate) fn discard(&mut self) {
        self.drop_held();
        if self.state != State::Finished {
            self.state = State::Discarding;
        }
    }

    /// Moves what can be moved without waiting.
    ///
    /// # Errors
    /// When either stream was reset.
    pub(crate) fn run(&mut self, writer: &Stream, reader: &Stream, scratch: &mut [u8]) -> Result<(), Broken> {
        self.release(reader)?;
        for _ in 0..ROUNDS {
            if !self.wants_bytes() {
                break;
            }
            match writer.read(scratch) {
                Ok(0) => self.end(),
                Ok(read) => {
                    let Some(bytes) = scratch.get(..read) else { break };
                    self.pass_on(bytes, reader)?;
                    // A short read has most likely emptied the socket: epoll will tell, for less than a failing read.
                    if read < scratch.len() {
                        break;
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    // A Unix peer that closed without having read everything; what it said has all been read by now.
                    ErrorKind::ConnectionReset if !writer.is_tcp() => self.end(),
                    _ => return Err(Broken),
                },
            }
        }
        if self.state == State::Ended && self.held.is_empty() {
            reader.finish();
            self.state = State::Finished;
        }
        Ok(())
    }

    fn end(&mut self) {
        self.state = match self.state {
            State::Discarding => State::Finished,
            _ => State::Ended,
        };
    }

    /// Gives the reader what was just read, and holds what it does not take.
    fn pass_on(&mut self, bytes: &[u8], reader: &Stream) -> Result<(), Broken> {
        if self.state == State::Discarding {
            return Ok(());
        }
        let taken = self.offer(bytes, reader)?;
        if self.state == State::Copying {
            self.held = bytes.get(taken..).unwrap_or_default().to_vec();
        }
        Ok(())
    }

    /// Gives the reader what is held.
    fn release(&mut self, reader: &Stream) -> Result<(), Broken> {
        let held = std::mem::take(&mut self.held);
        let taken = self.offer(held.get(self.sent..).unwrap_or_default(), reader)?;
        self.sent += taken;
        if self.sent < held.len() && self.state != State::Discarding {
            self.held = held;
        } else {
            self.sent = 0;
        }
        Ok(())
    }

    /// Writes until the reader is full, and counts what it took; begins to discard when it takes no more at all.
    fn offer(&mut self, bytes: &[u8], reader: &Stream) -> Result<usize, Broken> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match reader.write(rest) {
                Ok(written) => taken += written,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    ErrorKind::BrokenPipe => {
                        self.discard();
                        break;
                    }
                    // The same, told once by a Unix peer that closed without having read everything.
                    _ if !reader.is_tcp() => {
                        self.discard();
                        break;
                    }
                    _ => return Err(Broken),
                },
            }
        }
        Ok(taken)
    }

    fn drop_held(&mut self) {
        self.held = Vec::new();
        self.sent = 0;
    }
}
