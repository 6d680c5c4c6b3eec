//! Frames of our own for the payload that an inspector lets through.
//!
//! What was pushed into the inspector and what it has let go are positions in one stream: the payloads of all
//! messages of a direction, one after the other. Where messages begin and end is remembered as marks in that
//! stream, and a mark takes effect when everything before it was let go. An inspector that holds nothing back
//! thus leaves every frame as it was; one that does splits the frame in which it holds, and the end of the
//! message follows with the rest.

use std::collections::VecDeque;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::{Buf, Bytes, BytesMut};

use crate::inspect::Released;
use crate::websocket::frame::{self, Control, Kind, Opcode, Origin};

/// No randomness for a mask: nothing can be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRandomness;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Begin(Kind),
    End,
}

/// Writes the frames of one direction.
pub(crate) struct Reframer {
    /// Whole frames that are to be written.
    pub(crate) out: BytesMut,
    /// Upstream we are the client, and mask.
    random: Option<SystemRandom>,
    marks: VecDeque<(u64, Mark)>,
    /// How much payload was pushed into the inspector.
    pushed: u64,
    /// How much of it was framed.
    framed: u64,
    /// What the next frame of the message is.
    next: Opcode,
}

impl Reframer {
    /// Writes as `origin` does.
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            out: BytesMut::new(),
            random: (origin == Origin::Client).then(SystemRandom::new),
            marks: VecDeque::new(),
            pushed: 0,
            framed: 0,
            next: Opcode::Continuation,
        }
    }

    /// A message begins after what was pushed.
    pub(crate) fn begin(&mut self, kind: Kind) {
        self.marks.push_back((self.pushed, Mark::Begin(kind)));
    }

    /// So much was pushed into the inspector.
    pub(crate) fn pushed(&mut self, bytes: usize) {
        self.pushed += bytes as u64;
    }

    /// The message ends with what was pushed.
    pub(crate) fn end(&mut self) {
        self.marks.push_back((self.pushed, Mark::End));
    }

    /// How many ends and beginnings of messages wait for bytes that are held back.
    pub(crate) fn waiting(&self) -> usize {
        self.marks.len()
    }

    /// Whether a message has ended and its end waits.
    pub(crate) fn end_waits(&self) -> bool {
        self.marks.iter().any(|(_, mark)| *mark == Mark::End)
    }

    /// Frames what was let go, as few frames as the messages allow. Gives how many bytes that was.
    pub(crate) fn release(&mut self, released: &mut Released) -> Result<u64, NoRandomness> {
        let mut ready = join(released);
        let before = self.framed;
        loop {
            match self.marks.front() {
                Some(&(at, Mark::Begin(kind))) if at == self.framed => {
                    self.next = Opcode::Begin(kind);
                    self.marks.pop_front();
                }
                Some(&(at, Mark::End)) if at - self.framed <= ready.len() as u64 => {
                    let part = usize::try_from(at - self.framed).unwrap_or(usize::MAX);
                    let payload = ready.split_to(part.min(ready.len()));
                    self.frame(true, &payload)?;
                    self.marks.pop_front();
                }
                // Either the message goes on, or its end waits for bytes that are held back.
                _ if ready.has_remaining() => {
                    let payload = std::mem::take(&mut ready);
                    self.frame(false, &payload)?;
                }
                _ => return Ok(self.framed - before),
            }
        }
    }

    /// A control frame; it may stand between the frames of a message.
    pub(crate) fn control(&mut self, control: Control, payload: &[u8]) -> Result<(), NoRandomness> {
        let key = self.key()?;
        frame::write(&mut self.out, true, Opcode::Control(control), payload, key);
        Ok(())
    }

    fn frame(&mut self, last: bool, payload: &[u8]) -> Result<(), NoRandomness> {
        let key = self.key()?;
        frame::write(&mut self.out, last, self.next, payload, key);
        self.framed += payload.len() as u64;
        self.next = Opcode::Continuation;
        Ok(())
    }

    /// Unpredictable for every frame (RFC 6455 §5.3).
    fn key(&self) -> Result<Option<[u8; 4]>, NoRandomness> {
        let Some(random) = &self.random else {
            return Ok(None);
        };
        let mut key = [0; 4];
        random.fill(&mut key).map_err(|_| NoRandomness)?;
        Ok(Some(key))
    }
}

/// One piece mostly, and then nothing is copied.
fn join(released: &mut Released) -> Bytes {
    let Some(first) = released.pop() else {
        return Bytes::new();
    };
    let Some(second) = released.pop() else {
        return first;
    };
    let mut joined = BytesMut::from(first);
    joined.extend_from_slice(&second);
    joined.extend(released.by_ref());
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::frame::{Event, FrameReader};
    use proptest::prelude::*;

    /// The messages in a stream of whole frames.
    fn messages(origin: Origin, mut wire: BytesMut) -> Vec<(Kind, Vec<u8>, usize)> {
        let mut reader = FrameReader::new(origin);
        let mut messages = Vec::new();
        while let Some(event) = reader.next(&mut wire).unwrap() {
            match (event, messages.last_mut()) {
                (Event::Begin(kind), _) => messages.push((kind, Vec::new(), 0)),
                (Event::Payload(data), Some((_, payload, _))) => payload.extend_from_slice(&data),
                (Event::FrameEnd { .. }, Some((_, _, frames))) => *frames += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(wire.is_empty(), "whole frames");
        messages
    }

    #[test]
    fn a_message_of_which_nothing_is_held_stays_one_frame() {
        let mut reframer = Reframer::new(Origin::Client);
        let mut released = Released::default();
        reframer.begin(Kind::Text);
        reframer.pushed(3);
        reframer.end();
        released.push(Bytes::from_static(b"ye"));
        released.push(Bytes::from_static(b"s"));
        assert_eq!(reframer.release(&mut released).unwrap(), 3);
        assert_eq!(
            messages(Origin::Client, reframer.out),
            [(Kind::Text, b"yes".to_vec(), 1)]
        );
    }

    #[test]
    fn masks_differ_from_frame_to_frame() {
        let reframer = Reframer::new(Origin::Client);
        let keys: std::collections::HashSet<_> = (0..8).map(|_| reframer.key().unwrap().unwrap()).collect();
        assert!(keys.len() > 1);
    }

    proptest! {
        #[test]
        fn the_messages_come_out_as_they_went_in_however_they_are_held_and_cut(
            wanted in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..30)), 0..8),
            steps in prop::collection::vec((1usize..9, 0usize..12), 1..6),
            client: bool,
        ) {
            let origin = if client { Origin::Client } else { Origin::Server };
            let mut reframer = Reframer::new(origin);
            let mut steps = steps.iter().cycle();
            let mut held = BytesMut::new();
            let mut total = 0;
            for (text, payload) in &wanted {
                reframer.begin(if *text { Kind::Text } else { Kind::Binary });
                let mut rest = &payload[..];
                loop {
                    let (step, keep) = steps.next().unwrap();
                    let (piece, after) = rest.split_at(rest.len().min(*step));
                    rest = after;
                    held.extend_from_slice(piece);
                    reframer.pushed(piece.len());
                    if rest.is_empty() {
                        reframer.end();
                    }
                    let mut released = Released::default();
                    let free = held.len().saturating_sub(*keep);
                    released.push(held.split_to(free).freeze());
                    total += reframer.release(&mut released).unwrap();
                    if rest.is_empty() {
                        break;
                    }
                }
            }
            let mut released = Released::default();
            released.push(held.freeze());
            total += reframer.release(&mut released).unwrap();
            prop_assert_eq!(reframer.waiting(), 0);
            let expected: Vec<_> = wanted
                .into_iter()
                .map(|(text, payload)| (if text { Kind::Text } else { Kind::Binary }, payload))
                .collect();
            prop_assert_eq!(total, expected.iter().map(|(_, payload)| payload.len() as u64).sum::<u64>());
            let got: Vec<_> = messages(origin, reframer.out)
                .into_iter()
                .map(|(kind, payload, _)| (kind, payload))
                .collect();
            prop_assert_eq!(got, expected);
        }
    }
}
