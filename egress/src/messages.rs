//! The tripwire over the messages of a WebSocket, in one direction.
//!
//! The payloads of all text and binary messages are read as one stream, so a credential is found however it is
//! cut into fragments and messages; beside that each message is read by itself, for what an earlier one ends
//! with (half an escape) must not change how it reads. Payloads of control frames are a stream of their own.
//!
//! What may be the beginning of a credential is held back, as in a body. At the end of a message that would keep
//! its reader waiting, and every message that ends in an `s` may be the beginning of `sk-…`: there only a
//! beginning of [`HELD_AT_END`] bytes or more is held, until the next message decides or the core says that
//! none came. Whatever was let go is remembered: the byte that completes a credential never leaves.

use bytes::Bytes;
use mitm::Released;
use secrets::HoldBack;
use secrets::known::{KnownValues, Stream};

use crate::tripwire::Tripped;

/// At the end of a message a possible beginning of a credential is held from so many bytes on. Short enough that
/// no useful part of a credential leaves in messages that follow each other; long enough that chance does not
/// delay a message.
pub const HELD_AT_END: usize = 8;

/// Looks at the messages of one direction.
pub struct MessageTripwire {
    values: KnownValues,
    stream: Stream,
    window: HoldBack,
    /// How many of the last bytes may begin a credential, whether or not they are still here.
    alive: usize,
    /// The message under way, by itself.
    alone: Stream,
    control: Stream,
}

// === impl MessageTripwire ===

impl MessageTripwire {
    pub(crate) fn new(values: &KnownValues) -> Self {
        Self {
            stream: values.stream(),
            window: HoldBack::new(),
            alive: 0,
            alone: values.stream(),
            control: values.stream(),
            values: values.clone(),
        }
    }

    /// The next piece of payload.
    pub fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Tripped> {
        self.alone.push(&data).map_err(|_| Tripped)?;
        self.alive = self.stream.push(&data).map_err(|_| Tripped)?;
        self.window
            .release(data, self.alive, |piece| released.push(piece));
        Ok(())
    }

    /// A message ends here.
    pub fn message_end(&mut self, released: &mut Released) -> Result<(), Tripped> {
        self.alone.finish().map_err(|_| Tripped)?;
        self.alone = self.values.stream();
        if self.alive < HELD_AT_END {
            self.let_go(released);
        }
        Ok(())
    }

    /// Lets go of what is held, and goes on looking for its end.
    pub fn let_go(&mut self, released: &mut Released) {
        self.window.release_all(|piece| released.push(piece));
    }

    /// The payload of a control frame, which cannot be held.
    pub fn control(&mut self, payload: &[u8]) -> Result<(), Tripped> {
        if self.values.find(payload).is_some() {
            return Err(Tripped);
        }
        self.control.push(payload).map(|_| ()).map_err(|_| Tripped)
    }

    /// The direction is over.
    pub fn finish(&mut self, released: &mut Released) -> Result<(), Tripped> {
        self.alone.finish().map_err(|_| Tripped)?;
        self.stream.finish().map_err(|_| Tripped)?;
        self.let_go(released);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tripwire::Tripwire;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const VALUE: &str = "sk-live-4bF9xQ2_tZ7";

    fn tripwire() -> MessageTripwire {
        // Takes long to make, in a build without optimization.
        static TRIPWIRE: LazyLock<Tripwire> = LazyLock::new(|| Tripwire::of([VALUE.as_bytes()]));
        TRIPWIRE.messages().unwrap()
    }

    /// What leaves of each message at its end; `Err` when it was cut.
    fn send(tripwire: &mut MessageTripwire, message: &[u8]) -> Result<Vec<u8>, Tripped> {
        let mut released = Released::default();
        tripwire.push(Bytes::copy_from_slice(message), &mut released)?;
        tripwire.message_end(&mut released)?;
        Ok(released.flatten().collect())
    }

    #[test]
    fn an_ordinary_message_leaves_whole_at_once() {
        let mut tripwire = tripwire();
        for message in [
            "{\"op\":1}",
            "yes",
            "the prefix is sk-",
            "sk-liv",
            "%",
            "",
            "c2st",
        ] {
            assert_eq!(
                send(&mut tripwire, message.as_bytes()).as_deref(),
                Ok(message.as_bytes()),
                "{message}"
            );
        }
    }

    #[test]
    fn a_long_beginning_waits_for_what_follows() {
        let mut tripwire = tripwire();
        assert_eq!(send(&mut tripwire, b"x sk-live-").as_deref(), Ok(&b"x "[..]));
        assert_eq!(send(&mut tripwire, b"y").as_deref(), Ok(&b"sk-live-y"[..]));
        assert_eq!(send(&mut tripwire, b"x sk-live-4").as_deref(), Ok(&b"x "[..]));
        let mut released = Released::default();
        tripwire.let_go(&mut released);
        assert_eq!(released.flatten().collect::<Vec<u8>>(), b"sk-live-4");
        assert_eq!(send(&mut tripwire, &VALUE.as_bytes()[9..]), Err(Tripped));
    }

    #[test]
    fn a_message_reads_as_it_would_alone() {
        let mut tripwire = tripwire();
        let escaped: String = VALUE.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        send(&mut tripwire, b"\\").unwrap();
        assert_eq!(send(&mut tripwire, escaped.as_bytes()), Err(Tripped));
    }

    #[test]
    fn a_control_frame_is_looked_at_and_remembered() {
        assert_eq!(tripwire().control(VALUE.as_bytes()), Err(Tripped));
        let mut tripwire = tripwire();
        assert_eq!(tripwire.control(&VALUE.as_bytes()[..9]), Ok(()));
        assert_eq!(tripwire.control(&VALUE.as_bytes()[9..]), Err(Tripped));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_into_messages_and_pieces_the_last_byte_stays(
            cuts in prop::collection::vec((1usize..7, any::<bool>(), any::<bool>()), 1..12),
            before in "[ -~]{0,12}",
        ) {
            let mut tripwire = tripwire();
            let text = format!("{before}{VALUE}");
            let mut released = Released::default();
            let mut rest = text.as_bytes();
            let mut cut = false;
            for (length, end, wait) in cuts.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*length));
                rest = after;
                cut = tripwire.push(Bytes::copy_from_slice(piece), &mut released).is_err();
                if cut || rest.is_empty() {
                    break;
                }
                if *end {
                    tripwire.message_end(&mut released).unwrap();
                }
                if *wait {
                    tripwire.let_go(&mut released);
                }
            }
            prop_assert!(cut);
            let left: Vec<u8> = released.flatten().collect();
            prop_assert!(left.len() < text.len() && text.as_bytes().starts_with(&left));
        }
    }
}
