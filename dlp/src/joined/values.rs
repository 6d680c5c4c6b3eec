//! The values of a message, put together: all of them, and those of each name by themselves.
//!
//! What is sent in parts has the parts' numbers and kinds between them: `{"seq":1,"type":"chunk","data":"…"}`. The parts have the
//! same name, or one that differs in its digits (`part1`, `part2`). Of a few names the short values are put together, the latest
//! used; a long value is no part of anything that is hidden so.

use super::{Joined, Writing};
use crate::examiner::Examiner;
use crate::refused::{Place, Refused};

/// So many names are followed.
const NAMES: usize = 8;
/// Longer values are not put together by name, bytes: neither is a token so long.
const LONGEST: usize = 512;

/// The name of a value, as far as it tells it from others: a digest without digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name(u64);

/// Values that are put together while they come.
pub struct Values {
    all: Joined,
    /// Those of each name, the latest used last.
    named: Vec<(Name, Joined)>,
    /// The name of the value that comes next.
    name: Option<Name>,
    /// What of the value has come, up to one byte more than [`LONGEST`].
    value: Vec<u8>,
    make: (Examiner, Place, Writing),
}

// === impl Name ===

impl Name {
    /// A name of which nothing has come.
    pub fn new() -> Self {
        // FNV-1a, which needs no more than a number; two names that meet in it cost nothing but being put together.
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// The next bytes of the name.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().filter(|byte| !byte.is_ascii_digit()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The name of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut name = Self::new();
        name.push(bytes);
        name
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Values ===

impl Values {
    /// For values found in `place`.
    pub fn new(examiner: &Examiner, place: Place, writing: Writing) -> Self {
        Self {
            all: Joined::new(examiner, place.clone(), writing),
            named: Vec::new(),
            name: None,
            value: Vec::new(),
            make: (examiner.clone(), place, writing),
        }
    }

    /// What the values that come from now on are called.
    pub fn name(&mut self, name: Name) {
        self.name = Some(name);
    }

    /// The next bytes of the value.
    pub fn push(&mut self, bytes: &[u8]) {
        self.all.push(bytes);
        let room = (LONGEST + 1).saturating_sub(self.value.len());
        self.value.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The value is over.
    pub fn end(&mut self) {
        self.all.end();
        if let Some(name) = self.name
            && (1..=LONGEST).contains(&self.value.len())
        {
            let at = match self.named.iter().position(|(other, _)| *other == name) {
                Some(at) => at,
                None => self.begin(name),
            };
            if let Some(slots) = self.named.get_mut(at..) {
                slots.rotate_left(1);
            }
            if let Some((_, joined)) = self.named.last_mut() {
                joined.piece(&self.value);
            }
        }
        self.value.clear();
    }

    /// What came was no value.
    pub fn forget_piece(&mut self) {
        self.all.forget_piece();
        self.value.clear();
    }

    /// As [`Joined::settle`].
    pub fn settle(&mut self) -> Result<usize, Refused> {
        let hold = self.all.settle()?;
        // One name alone was put together with nothing between.
        if self.named.len() > 1 {
            for (_, joined) in &mut self.named {
                joined.settle()?;
            }
        }
        Ok(hold)
    }

    /// A slot for a new name; the one that was not used for longest is given up.
    fn begin(&mut self, name: Name) -> usize {
        if self.named.len() == NAMES {
            self.named.remove(0);
        }
        let (examiner, place, writing) = &self.make;
        self.named
            .push((name, Joined::new(examiner, place.clone(), *writing)));
        self.named.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{examiner, secret};

    fn values() -> Values {
        Values::new(&examiner(), Place::BodyPieces, Writing::Plain)
    }

    #[test]
    fn what_comes_under_one_name_is_found_whatever_is_between() {
        for between in [1, 5] {
            let mut values = values();
            let secret = secret();
            let mut found = false;
            for (at, piece) in secret.as_bytes().chunks(4).enumerate() {
                for other in 0..between {
                    values.name(Name::of(["kind", "to", "note", "tag", "state"][other].as_bytes()));
                    values.push(b"ordinary words");
                    values.end();
                }
                values.name(Name::of(format!("part{at}").as_bytes()));
                values.push(piece);
                values.end();
                found |= values.settle().is_err();
            }
            assert!(found, "{between}");
        }
    }

    #[test]
    fn any_number_of_names_takes_little_memory() {
        let mut values = values();
        for number in 0..200u32 {
            let name: String = number
                .to_string()
                .bytes()
                .map(|digit| char::from(digit + 49))
                .collect();
            values.name(Name::of(name.as_bytes()));
            values.push(&[b'a'; 600]);
            values.end();
            values.push(&[b'a'; 100]);
            values.end();
            values.settle().unwrap();
        }
        assert!(values.named.len() <= NAMES && values.value.capacity() <= 2 * LONGEST);
    }
}
