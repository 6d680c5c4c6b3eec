//! What one layer has before it: the bytes that it kept, then the new ones.

use super::Survey;
use std::ops::Range;

/// A stretch of a layer's stream.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    /// The offset of the first byte in the stream.
    pub(crate) base: u64,
    /// The index of the first new byte.
    pub(crate) fresh: usize,
    /// Nothing follows.
    pub(crate) over: bool,
    /// Where there is something to look for.
    pub(crate) survey: &'a Survey,
}

// === impl Text ===

impl<'a> Text<'a> {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    pub(crate) fn offset(&self, index: usize) -> u64 {
        self.base + index as u64
    }

    /// The index of the byte at `offset`, or the nearest that is there.
    pub(crate) fn index(&self, offset: u64) -> usize {
        usize::try_from(offset.saturating_sub(self.base)).map_or(self.len(), |index| index.min(self.len()))
    }

    pub(crate) fn get(&self, index: usize) -> Option<u8> {
        self.bytes.get(index).copied()
    }

    /// The bytes of a range, as far as they are there.
    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        let end = range.end.min(self.len());
        self.bytes.get(range.start.min(end)..end).unwrap_or_default()
    }

    pub(crate) fn from(&self, index: usize) -> &'a [u8] {
        self.slice(index..self.len())
    }
}

/// The first place at or after `at` where `shortest` bytes in a row are of a class, `at` being the start of a run
/// or no part of one. `Err` is where a run starts that reaches the end of `bytes` before it is that long.
///
/// A run that long has a byte at every `shortest`-th place, so of ordinary text only some bytes are looked at.
#[inline]
pub(crate) fn find_run(
    bytes: &[u8],
    mut at: usize,
    shortest: usize,
    is: impl Fn(u8) -> bool,
) -> Result<usize, usize> {
    loop {
        let end = (at + shortest).min(bytes.len());
        let window = bytes.get(at..end).unwrap_or_default();
        match window.iter().rposition(|&byte| !is(byte)) {
            Some(last) => at += last + 1,
            None if window.len() == shortest => return Ok(at),
            None => return Err(at),
        }
    }
}

/// Where the run that goes on at `at` ends.
#[inline]
pub(crate) fn run_end(bytes: &[u8], at: usize, is: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter()
        .position(|&byte| !is(byte))
        .map_or(bytes.len(), |length| at + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_long_enough_run_is_found_where_it_starts(
            text in prop::collection::vec(prop::sample::select(b"aaaab ".to_vec()), 0..60),
            shortest in 1usize..9,
        ) {
            let is = |byte: u8| byte == b'a';
            let runs = text.split(|&b| !is(b)).scan(0, |at, run| {
                let start = *at;
                *at += run.len() + 1;
                Some((start, run.len()))
            });
            let runs: Vec<(usize, usize)> = runs.collect();
            let expected = match runs.iter().find(|(_, length)| *length >= shortest) {
                Some(&(start, _)) => Ok(start),
                None => Err(runs.last().map_or(0, |&(start, _)| start)),
            };
            prop_assert_eq!(find_run(&text, 0, shortest, is), expected);
            if let Ok(start) = expected {
                let length = runs.iter().find(|(s, _)| *s == start).unwrap().1;
                prop_assert_eq!(run_end(&text, start, is), start + length);
            }
        }
    }
}
