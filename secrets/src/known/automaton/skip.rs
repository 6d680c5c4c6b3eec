//! The loop that reads ordinary text: a table look-up per byte, four bytes at a time.
//!
//! One look-up needs the result of the one before, and waiting for memory is most of what it costs. So four stretches of a
//! block are read side by side. The three later ones begin in a state that they cannot know, but need not: as long as nothing
//! deeper than [`ROW_DEPTH`] is alive, the state is a function of the last [`ROW_DEPTH`] bytes. Where that or anything else
//! does not hold there is a [`STOP`], the block's work is thrown away, and it is read byte by byte.

use super::{Automaton, NONE, ROOT, ROW_DEPTH, STOP};

/// Stretches that are read side by side.
const LANES: usize = 4;
/// Bytes of a stretch.
const LANE: usize = 64;
/// So many bytes without a stop, read one by one, promise that a block will have none either.
const QUIET: usize = 64;
/// Bytes before a stretch that settle its first state.
const BEFORE: usize = ROW_DEPTH as usize;

impl Automaton {
    /// Steps over the bytes at the beginning of `text` that need no second look, and gives their number.
    #[inline]
    pub(in crate::known) fn skip(&self, state: &mut u32, text: &[u8]) -> usize {
        let Some(mut row) = self.node(*state).map(|node| node.row).filter(|&row| row != NONE) else {
            return 0;
        };
        let mut count = 0;
        let quiet = text.get(..QUIET).unwrap_or(text);
        let mut stopped = self.skip_each(&mut row, quiet, &mut count);
        if !stopped {
            for block in text.get(count..).unwrap_or_default().chunks(LANES * LANE) {
                if let Some(last) = self.skip_block(row, block) {
                    row = last;
                    count += block.len();
                } else {
                    stopped = self.skip_each(&mut row, block, &mut count);
                    if stopped {
                        break;
                    }
                }
            }
        }
        *state = self.owner(row);
        count
    }

    /// One byte after the other; whether there was one to stop before.
    #[inline]
    fn skip_each(&self, row: &mut u32, text: &[u8], count: &mut usize) -> bool {
        for &byte in text {
            let target = self.plain(*row, byte);
            if target == STOP {
                return true;
            }
            *row = target;
            *count += 1;
        }
        false
    }

    /// A whole block without a stop: the row after it.
    #[inline]
    fn skip_block(&self, row: u32, block: &[u8]) -> Option<u32> {
        let (a, rest) = block.split_at_checked(LANE)?;
        let (b, rest) = rest.split_at_checked(LANE)?;
        let (c, d) = rest.split_at_checked(LANE)?;
        if d.len() != LANE {
            return None;
        }
        let mut rows = [row, self.settled(a)?, self.settled(b)?, self.settled(c)?];
        for (((&a, &b), &c), &d) in a.iter().zip(b).zip(c).zip(d) {
            let [of_a, of_b, of_c, of_d] = rows;
            rows = [
                self.plain(of_a, a),
                self.plain(of_b, b),
                self.plain(of_c, c),
                self.plain(of_d, d),
            ];
            if rows.contains(&STOP) {
                return None;
            }
        }
        let [.., last] = rows;
        Some(last)
    }

    /// The row after `text`, of which only the last bytes matter.
    #[inline]
    fn settled(&self, text: &[u8]) -> Option<u32> {
        let mut row = self.node(ROOT)?.row;
        for &byte in text.get(text.len().saturating_sub(BEFORE)..)? {
            row = Some(self.plain(row, byte)).filter(|&row| row != STOP)?;
        }
        Some(row)
    }

    /// The row after one byte, or [`STOP`].
    #[inline]
    fn plain(&self, row: u32, byte: u8) -> u32 {
        let cell = row as usize + usize::from(self.classes.get(byte));
        self.fast.get(cell).copied().unwrap_or(STOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::encode::Forms;
    use proptest::prelude::*;

    fn one_by_one(automaton: &Automaton, state: &mut u32, text: &[u8]) -> usize {
        let mut row = automaton.node(*state).unwrap().row;
        if row == NONE {
            return 0;
        }
        let mut count = 0;
        automaton.skip_each(&mut row, text, &mut count);
        *state = automaton.owner(row);
        count
    }

    proptest! {
        #[test]
        fn side_by_side_ends_where_one_by_one_does(
            values in prop::collection::vec("[ab]{8,12}", 1..3),
            text in prop::collection::vec(prop::sample::select(b"abcdxyz".to_vec()), 0..1500),
            rare in prop::collection::vec((0usize..1500, prop::sample::select(b"%\\ ab".to_vec())), 0..4),
        ) {
            let mut text: Vec<u8> = text;
            // Long stretches without a stop, and a few places with one.
            for byte in &mut text {
                if *byte <= b'b' && *byte % 2 == 1 {
                    *byte = b'z';
                }
            }
            for (at, byte) in rare {
                if let Some(place) = text.get_mut(at) {
                    *place = byte;
                }
            }
            let automaton = Automaton::new(values.iter().map(String::as_bytes), Forms::All);
            let (mut fast, mut slow) = (ROOT, ROOT);
            let mut rest = text.as_slice();
            while !rest.is_empty() {
                let count = automaton.skip(&mut fast, rest);
                prop_assert_eq!(count, one_by_one(&automaton, &mut slow, rest));
                prop_assert_eq!(fast, slow);
                let Some((&byte, tail)) = rest[count..].split_first() else { break };
                fast = automaton.step(fast, byte);
                slow = fast;
                rest = tail;
            }
        }
    }
}
