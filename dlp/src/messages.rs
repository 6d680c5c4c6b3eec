//! The messages of a WebSocket.
//!
//! A message up to [`LONGEST_WHOLE`] is held until it ends, looked at by itself, and looked at once more behind the end of what
//! came before it, since a secret may be sent in two messages. A longer one streams, as a long body does.

use ::guard::held::{Budget, HeldBody};
use bytes::Bytes;
use mitm::{Cut, MessageInspector, Released};
use secrets::HoldBack;

use crate::body::json_values;
use crate::examiner::{Examiner, TextScan};
use crate::head;
use crate::permit::Verdicts;
use crate::refused::{Place, Refused};

/// Messages up to this many bytes are looked at whole before the first byte leaves.
const LONGEST_WHOLE: usize = 64 * 1024;
/// So many bytes of what was sent before a message are looked at with it: the longest token that is split, and some.
const REMEMBERED: usize = 4096;

/// Looks at what the agent sends.
pub struct Messages {
    examiner: Examiner,
    verdicts: Verdicts,
    budget: Budget,
    held: Option<HeldBody>,
    /// A message that is too long to be held.
    long: Option<(TextScan, HoldBack)>,
    /// The end of what was sent before, as it stood and the text values of its JSON.
    before: Vec<u8>,
    values_before: Vec<u8>,
    /// The end of what was sent in pings, pongs and closes, which is a stream of its own.
    controls_before: Vec<u8>,
}

// === impl Messages ===

impl Messages {
    /// For the WebSocket of one request.
    pub fn new(examiner: Examiner, verdicts: Verdicts, budget: &Budget) -> Self {
        Self {
            examiner,
            verdicts,
            budget: budget.clone(),
            held: None,
            long: None,
            before: Vec::new(),
            values_before: Vec::new(),
            controls_before: Vec::new(),
        }
    }

    fn take(&mut self, data: Bytes, released: &mut Released) -> Result<(), Refused> {
        if let Some((text, window)) = &mut self.long {
            let hold = text.push(&data)?;
            remember(&mut self.before, &data);
            window.release(data, hold, |piece| released.push(piece));
            return Ok(());
        }
        let budget = &self.budget;
        let held = self.held.get_or_insert_with(|| budget.body());
        if held.len() + data.len() <= LONGEST_WHOLE {
            return held.push(&data).map_err(|_| Refused::HeldTooMuch);
        }
        let mut text = self.examiner.text(Place::Message);
        let mut window = HoldBack::new();
        let held = self.held.take().map(HeldBody::into_bytes).unwrap_or_default();
        // What came before may have begun what this message ends. The message is read by itself all the same: behind another
        // word a token does not look like one.
        let beginning = held.get(..REMEMBERED).unwrap_or(&held);
        head::put_together(&self.examiner, &Place::Messages, &[&self.before, beginning])?;
        self.values_before.clear();
        for piece in [held, data] {
            let hold = text.push(&piece)?;
            remember(&mut self.before, &piece);
            window.release(piece, hold, |piece| released.push(piece));
        }
        self.long = Some((text, window));
        Ok(())
    }

    fn end(&mut self, released: &mut Released) -> Result<(), Refused> {
        if let Some((mut text, mut window)) = self.long.take() {
            text.finish()?;
            window.release_all(|piece| released.push(piece));
            return Ok(());
        }
        if let Some(held) = self.held.take() {
            let message = held.into_bytes();
            self.look_at(&message)?;
            released.push(message);
        }
        Ok(())
    }

    fn look_at(&mut self, message: &[u8]) -> Result<(), Refused> {
        self.examiner.whole(&Place::Message, message)?;
        head::put_together(&self.examiner, &Place::Messages, &[&self.before, message])?;
        remember(&mut self.before, message);
        let values = json_values(message);
        if !values.is_empty() {
            let mut pieces: Vec<&[u8]> = vec![&self.values_before];
            pieces.extend(values.iter().map(Vec::as_slice));
            head::put_together(&self.examiner, &Place::Messages, &pieces)?;
            remember(&mut self.values_before, &values.concat());
        }
        Ok(())
    }
}

/// Keeps the end of what was sent.
fn remember(before: &mut Vec<u8>, message: &[u8]) {
    let end = message.len().saturating_sub(REMEMBERED);
    before.extend_from_slice(message.get(end..).unwrap_or_default());
    let too_much = before.len().saturating_sub(REMEMBERED);
    before.drain(..too_much);
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
        let pieces = [self.controls_before.as_slice(), payload];
        let looked_at = self
            .examiner
            .whole(&Place::Message, payload)
            .and_then(|()| head::put_together(&self.examiner, &Place::Messages, &pieces));
        remember(&mut self.controls_before, payload);
        looked_at.map_err(|refused| self.verdicts.cut(&refused))
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
    fn a_secret_in_two_pings_is_found() {
        let secret = secret();
        let (first, second) = secret.as_bytes().split_at(9);
        let mut messages = messages();
        assert!(messages.control(first).is_ok());
        assert!(messages.control(second).is_err());
        assert!(messages.control(b"correct horse").is_ok());
        assert!(messages.control(b" battery").is_err());
    }
}
