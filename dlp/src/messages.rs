//! The messages of a WebSocket.
//!
//! A message up to [`LONGEST_WHOLE`] is held until it ends, and looked at by itself. A longer one streams, as a long body does. All
//! of them are looked at once more put together, however many there are, since a secret may be sent a few bytes at a time: the
//! messages as they stand, and the text values of those that are JSON.

use ::guard::held::{Budget, HeldBody};
use bytes::Bytes;
use mitm::{Cut, MessageInspector, Released};
use secrets::HoldBack;

use crate::body::JsonReader;
use crate::examiner::{Examiner, TextScan};
use crate::joined::{Joined, Values, Writing};
use crate::permit::Verdicts;
use crate::refused::{Place, Refused};

/// Messages up to this many bytes are looked at whole before the first byte leaves.
const LONGEST_WHOLE: usize = 64 * 1024;

/// Looks at what the agent sends.
pub struct Messages {
    examiner: Examiner,
    verdicts: Verdicts,
    budget: Budget,
    held: Option<HeldBody>,
    /// A message that is too long to be held.
    long: Option<Long>,
    together: Together,
    /// What is sent in pings, pongs and closes, which is a stream of its own.
    controls: Joined,
}

/// A message that goes through.
struct Long {
    text: TextScan,
    window: HoldBack,
    json: JsonReader,
}

/// The messages of one direction, put together.
struct Together {
    /// As they stand.
    messages: Joined,
    /// The text values of their JSON.
    values: Values,
}

// === impl Messages ===

impl Messages {
    /// For the WebSocket of one request.
    pub fn new(examiner: Examiner, verdicts: Verdicts, budget: &Budget) -> Self {
        let joined = |writing| Joined::new(&examiner, Place::Messages, writing);
        Self {
            together: Together {
                messages: joined(Writing::Plain),
                values: Values::new(&examiner, Place::Messages, Writing::Json),
            },
            controls: joined(Writing::Plain),
            examiner,
            verdicts,
            budget: budget.clone(),
            held: None,
            long: None,
        }
    }

    fn take(&mut self, data: Bytes, released: &mut Released) -> Result<(), Refused> {
        if let Some(long) = &mut self.long {
            return long.push(data, &mut self.together, released);
        }
        let budget = &self.budget;
        let held = self.held.get_or_insert_with(|| budget.body());
        if held.len() + data.len() <= LONGEST_WHOLE {
            return held.push(&data).map_err(|_| Refused::HeldTooMuch);
        }
        let held = self.held.take().map(HeldBody::into_bytes).unwrap_or_default();
        let long = self.long.insert(Long {
            text: self.examiner.text(Place::Message),
            window: HoldBack::new(),
            json: JsonReader::lenient(),
        });
        long.push(held, &mut self.together, released)?;
        long.push(data, &mut self.together, released)
    }

    fn end(&mut self, released: &mut Released) -> Result<(), Refused> {
        if let Some(mut long) = self.long.take() {
            long.text.finish()?;
            self.together.end()?;
            long.window.release_all(|piece| released.push(piece));
            return Ok(());
        }
        if let Some(held) = self.held.take() {
            let message = held.into_bytes();
            self.examiner.whole(&Place::Message, &message)?;
            self.together.push(&message, &mut JsonReader::lenient())?;
            self.together.end()?;
            released.push(message);
        }
        Ok(())
    }
}

// === impl Long ===

impl Long {
    fn push(&mut self, data: Bytes, together: &mut Together, released: &mut Released) -> Result<(), Refused> {
        let by_itself = self.text.push(&data)?;
        let hold = by_itself.max(together.push(&data, &mut self.json)?);
        self.window.release(data, hold, |piece| released.push(piece));
        Ok(())
    }
}

// === impl Together ===

impl Together {
    /// The next bytes of a message. Gives how many so far, counted from the last, must not leave yet.
    fn push(&mut self, bytes: &[u8], json: &mut JsonReader) -> Result<usize, Refused> {
        self.messages.push(bytes);
        json.push(bytes, &mut self.values)?;
        Ok(self.messages.settle()?.max(self.values.settle()?))
    }

    /// The message is over.
    fn end(&mut self) -> Result<(), Refused> {
        self.messages.end();
        self.values.end();
        self.messages.settle()?;
        self.values.settle()?;
        Ok(())
    }
}

impl MessageInspector for Messages {
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut> {
        self.take(data, released)
            .map_err(|refused| self.verdicts.cut(&refused))
    }

    fn message_end(&mut self, released: &mut Released) -> Result<(), Cut> {
        self.end(released).map_err(|refused| self.verdicts.cut(&refused))
    }

    fn overdue(&mut self, _released: &mut Released) -> Result<(), Cut> {
        // Nothing is held past a message's end.
        Ok(())
    }

    fn control(&mut self, payload: &[u8]) -> Result<(), Cut> {
        let looked_at = self.examiner.whole(&Place::Message, payload).and_then(|()| {
            self.controls.piece(payload);
            self.controls.settle()
        });
        looked_at.map(drop).map_err(|refused| self.verdicts.cut(&refused))
    }

    fn finish(&mut self, _released: &mut Released) -> Result<(), Cut> {
        // A message that was begun and never ended is no message: it does not leave.
        self.held = None;
        self.long = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{examiner, secret};

    fn messages() -> Messages {
        let examiner = examiner();
        let verdicts = Verdicts::new(&examiner, true);
        Messages::new(examiner, verdicts, &Budget::new(1 << 20))
    }

    /// Sends one message in pieces; whether it may go on.
    fn send(messages: &mut Messages, message: &str) -> bool {
        let mut released = Released::default();
        let mut pieces = message.as_bytes().chunks(10_000);
        let pushed = pieces.all(|piece| {
            let pushed = messages.push(Bytes::copy_from_slice(piece), &mut released);
            pushed.is_ok()
        });
        pushed && messages.message_end(&mut released).is_ok()
    }

    fn long() -> String {
        "Some ordinary words, and more of them.\n".repeat(2000)
    }

    #[test]
    fn a_secret_in_two_messages_is_found_however_long_they_are() {
        let secret = secret();
        let (first, second) = secret.split_at(9);
        let (ends, begins) = (format!("{}{first}", long()), format!("{second}\n{}", long()));
        for (one, other) in [
            (first, second),
            (&ends, second),
            (first, &begins),
            (&ends, &begins),
        ] {
            let mut messages = messages();
            assert!(send(&mut messages, one));
            assert!(!send(&mut messages, other));
        }
    }

    #[test]
    fn a_message_is_read_by_itself_whatever_came_before() {
        let secret = secret();
        for message in [secret.clone(), format!("{secret}\n{}", long())] {
            for before in ["abc", "x_", "\\", "%"] {
                let mut messages = messages();
                assert!(send(&mut messages, before));
                assert!(!send(&mut messages, &message), "{before}");
            }
        }
    }

    #[test]
    fn a_secret_that_is_sent_a_few_bytes_at_a_time_is_found_among_anything() {
        let secret = secret();
        let json = |piece: &[u8]| format!("{{\"part\":\"{}\"}}", String::from_utf8_lossy(piece));
        let plain = |piece: &[u8]| String::from_utf8_lossy(piece).into_owned();
        for size in [1, 2, 5, 7] {
            for write in [&plain as &dyn Fn(&[u8]) -> String, &json] {
                let mut messages = messages();
                for before in ["hello", "x7y8z9", &long(), "bob1"] {
                    assert!(send(
                        &mut messages,
                        &write(before.trim_end().as_bytes()).replace('\n', " ")
                    ));
                }
                let pieces: Vec<&[u8]> = secret.as_bytes().chunks(size).collect();
                for (at, piece) in pieces.iter().enumerate() {
                    assert!(messages.control(b"ping").is_ok());
                    let passes = send(&mut messages, &write(piece));
                    assert_eq!(passes, at + 1 < pieces.len(), "{size}: {at}");
                }
            }
        }
    }

    #[test]
    fn a_value_of_the_environment_in_many_messages_is_found() {
        let mut messages = messages();
        assert!(send(&mut messages, "it is "));
        let value = "correct horse battery";
        let sent = value
            .chars()
            .take_while(|one| send(&mut messages, &one.to_string()));
        assert_eq!(sent.count(), value.len() - 1);
    }

    #[test]
    fn much_conversation_in_small_messages_is_no_secret() {
        let mut messages = messages();
        for number in 0..3000_u32 {
            let message = format!(
                "{{\"id\":\"{:08x}\",\"n\":{number}}}",
                number.wrapping_mul(2_654_435_761)
            );
            assert!(send(&mut messages, &message), "{number}");
        }
    }

    #[test]
    fn a_secret_in_two_pings_is_found() {
        let secret = secret();
        let (first, second) = secret.as_bytes().split_at(9);
        let mut messages = messages();
        assert!(messages.control(first).is_ok());
        assert!(messages.control(second).is_err());
        let mut messages = self::messages();
        assert!(messages.control(b"correct horse").is_ok());
        assert!(messages.control(b" battery").is_err());
    }
}
