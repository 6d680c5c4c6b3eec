//! Frames, read and written (RFC 6455 §5.2).
//!
//! The reader hands payload on as it arrives, unmasked; a frame may be of any length and is never collected,
//! but for control frames, which have at most 125 bytes. It refuses whatever the protocol forbids, and every
//! extension. It does not look into text: whether it is UTF-8 is for the two ends to say.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest payload of a control frame, bytes (RFC 6455 §5.5).
pub(crate) const MAX_CONTROL: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a message consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

/// A frame that is no part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Close,
    Ping,
    Pong,
}

/// What a frame is, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Begin(Kind),
    Control(Control),
}

/// Who sends the frames that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The agent: every frame is masked.
    Client,
    /// The upstream: none is.
    Server,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A message begins.
    Begin(Kind),
    /// The next part of its payload, never empty.
    Payload(Bytes),
    /// A frame of it is complete; `last`: and with it the message.
    FrameEnd { last: bool },
    /// A whole control frame.
    Control(Control, Bytes),
}

/// What the sender must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("a reserved bit is set, and no extension was agreed on")]
    ReservedBit,
    #[error("a frame has an unknown opcode")]
    Opcode,
    #[error("a client's frame is not masked")]
    NotMasked,
    #[error("a server's frame is masked")]
    Masked,
    #[error("a frame's length is not written in the shortest form")]
    Length,
    #[error("a control frame is fragmented or longer than 125 bytes")]
    Control,
    #[error("a continuation frame continues no message")]
    NothingToContinue,
    #[error("a message begins within another one")]
    Interrupted,
    #[error("a close frame has a status code that must not be sent")]
    CloseCode,
}

/// Takes a stream of frames apart.
#[derive(Debug)]
pub(crate) struct FrameReader {
    origin: Origin,
    /// A message has begun and not ended.
    in_message: bool,
    at: At,
}

#[derive(Debug)]
enum At {
    Head,
    /// The head of a frame that begins a message was read, and the message is still to be announced.
    Announced(Kind, DataFrame),
    Data(DataFrame),
    Control(Control, usize, Mask),
}

#[derive(Clone, Copy, Debug)]
struct DataFrame {
    left: u64,
    last: bool,
    mask: Mask,
}

/// A masking key, turned so that its first byte is the next one to use.
#[derive(Clone, Copy, Debug, Default)]
struct Mask([u8; 4]);

struct Head {
    length: usize,
    last: bool,
    opcode: Opcode,
    payload: u64,
    mask: Mask,
}

// === impl FrameReader ===

impl FrameReader {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin,
            in_message: false,
            at: At::Head,
        }
    }

    /// The next event of what stands in `buffer`; none when more bytes are needed. After an error the stream has
    /// no further meaning.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        loop {
            match &mut self.at {
                At::Head => {
                    let Some(head) = read_head(buffer, self.origin)? else {
                        return Ok(None);
                    };
                    self.begin(&head)?;
                    buffer.advance(head.length);
                }
                At::Announced(kind, frame) => {
                    let kind = *kind;
                    self.at = At::Data(*frame);
                    return Ok(Some(Event::Begin(kind)));
                }
                At::Data(DataFrame { left: 0, last, .. }) => {
                    let last = *last;
                    self.at = At::Head;
                    self.in_message = !last;
                    return Ok(Some(Event::FrameEnd { last }));
                }
                At::Data(frame) => {
                    let part = usize::try_from(frame.left)
                        .unwrap_or(usize::MAX)
                        .min(buffer.len());
                    if part == 0 {
                        return Ok(None);
                    }
                    let mut payload = buffer.split_to(part);
                    frame.mask.apply(&mut payload);
                    frame.left -= part as u64;
                    return Ok(Some(Event::Payload(payload.freeze())));
                }
                At::Control(control, length, mask) => {
                    let (control, length, mut mask) = (*control, *length, *mask);
                    if buffer.len() < length {
                        return Ok(None);
                    }
                    let mut payload = buffer.split_to(length);
                    mask.apply(&mut payload);
                    if control == Control::Close {
                        check_close(&payload)?;
                    }
                    self.at = At::Head;
                    return Ok(Some(Event::Control(control, payload.freeze())));
                }
            }
        }
    }

    fn begin(&mut self, head: &Head) -> Result<(), ProtocolError> {
        let frame = DataFrame {
            left: head.payload,
            last: head.last,
            mask: head.mask,
        };
        self.at = match head.opcode {
            Opcode::Control(control) => {
                let length = usize::try_from(head.payload).unwrap_or(usize::MAX);
                if !head.last || length > MAX_CONTROL {
                    return Err(ProtocolError::Control);
                }
                At::Control(control, length, head.mask)
            }
            Opcode::Continuation if !self.in_message => return Err(ProtocolError::NothingToContinue),
            Opcode::Continuation => At::Data(frame),
            Opcode::Begin(_) if self.in_message => return Err(ProtocolError::Interrupted),
            Opcode::Begin(kind) => {
                self.in_message = true;
                At::Announced(kind, frame)
            }
        };
        Ok(())
    }
}

/// Reads a frame's head without consuming it; none while it is incomplete. What is wrong is said as soon as it
/// can be seen.
fn read_head(bytes: &[u8], origin: Origin) -> Result<Option<Head>, ProtocolError> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & RESERVED != 0 {
        return Err(ProtocolError::ReservedBit);
    }
    let opcode = Opcode::read(first & OPCODE)?;
    match (origin, second & MASKED != 0) {
        (Origin::Client, false) => return Err(ProtocolError::NotMasked),
        (Origin::Server, true) => return Err(ProtocolError::Masked),
        _ => {}
    }
    let (payload, rest, length) = match second & LENGTH {
        LENGTH_16 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(*length)), rest, 4)
        }
        LENGTH_64 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*length), rest, 10)
        }
        short => (u64::from(short), rest, 2),
    };
    let shortest = match length {
        4 => payload >= u64::from(LENGTH_16),
        10 => payload > u64::from(u16::MAX) && payload <= i64::MAX.unsigned_abs(),
        _ => true,
    };
    if !shortest {
        return Err(ProtocolError::Length);
    }
    let (mask, length) = match origin {
        Origin::Server => (Mask::default(), length),
        Origin::Client => match rest.first_chunk() {
            Some(key) => (Mask(*key), length + 4),
            None => return Ok(None),
        },
    };
    Ok(Some(Head {
        length,
        last: first & FIN != 0,
        opcode,
        payload,
        mask,
    }))
}

/// A close frame has no payload, or a status code that may be sent (RFC 6455 §7.4) and a text.
fn check_close(payload: &[u8]) -> Result<(), ProtocolError> {
    let code = match payload {
        [] => return Ok(()),
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        [_] => return Err(ProtocolError::CloseCode),
    };
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(()),
        _ => Err(ProtocolError::CloseCode),
    }
}

// === impl Opcode ===

impl Opcode {
    fn read(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Begin(Kind::Text),
            2 => Self::Begin(Kind::Binary),
            8 => Self::Control(Control::Close),
            9 => Self::Control(Control::Ping),
            10 => Self::Control(Control::Pong),
            _ => return Err(ProtocolError::Opcode),
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Begin(Kind::Text) => 1,
            Self::Begin(Kind::Binary) => 2,
            Self::Control(Control::Close) => 8,
            Self::Control(Control::Ping) => 9,
            Self::Control(Control::Pong) => 10,
        }
    }
}

// === impl Mask ===

impl Mask {
    fn apply(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(4) {
            for (byte, key) in chunk.iter_mut().zip(self.0) {
                *byte ^= key;
            }
        }
        self.0.rotate_left(bytes.len() % 4);
    }
}

/// Writes one frame. With `key` it is masked, as a client's must be.
pub(crate) fn write(out: &mut BytesMut, last: bool, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
    out.reserve(payload.len() + 14);
    out.put_u8(opcode.bits() | if last { FIN } else { 0 });
    let masked = if key.is_some() { MASKED } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..LENGTH_16), _) => out.put_u8(masked | short),
        (_, Ok(length)) => {
            out.put_u8(masked | LENGTH_16);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(masked | LENGTH_64);
            out.put_u64(payload.len() as u64);
        }
    }
    if let Some(key) = key {
        out.put_slice(&key);
    }
    let start = out.len();
    out.put_slice(payload);
    if let (Some(key), Some(written)) = (key, out.get_mut(start..)) {
        Mask(key).apply(written);
    }
}

#[cfg(test)]
mod tests;
