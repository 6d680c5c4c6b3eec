//! The one look at every byte that the detectors share.
//!
//! Nearly all of a text is of no interest to a detector: it wants runs of certain characters, longer than words
//! are, or one of a few bytes. A survey finds both for all of them at once, in blocks of 64 bytes: each class of
//! bytes becomes a word of bits, and of a run of n bytes n bits in a row are left, which takes a few shifts to
//! see. It knows the text's bytes, not what they mean: a detector looks within what was found.

use super::text::find_run;
use std::ops::Range;
use wide::u8x16;

/// Bytes in a block.
const BLOCK: usize = 64;
/// So many characters beside NULs are UTF-16; fewer occur in binary files.
pub(crate) const WIDE: usize = 6;

/// So many characters beside three NULs are UTF-32; there are fewer numbers in a row that look like it.
pub(crate) const QUADS: usize = 3;

/// Where a text has something that a detector looks for, in offsets into it, ascending. The run at the text's end
/// is always there, as it may go on.
#[derive(Default)]
pub(crate) struct Survey {
    /// Letters, digits and `+/-_.`, at least [`TOKENS`]: all that tokens, base64, base32 and hexadecimal consist of.
    pub(crate) tokens: Vec<Range<usize>>,
    /// What hexadecimal pairs and numbers in lists consist of, at least [`PAIRS`], with digits enough to say something.
    pub(crate) pairs: Vec<Range<usize>>,
    /// Digits with single spaces and dashes, at least [`NUMBERS`].
    pub(crate) numbers: Vec<Range<usize>>,
    /// What lists of words consist of, at least [`WORDS`], all words being of three to eight letters.
    pub(crate) words: Vec<Range<usize>>,
    /// Bytes that an escape or a character that looks like another may begin with.
    pub(crate) escapes: Vec<usize>,
    /// Where [`WIDE`] characters begin, each with a NUL behind it.
    pub(crate) wide: Vec<usize>,
    /// Where [`QUADS`] letters or digits begin, each with three NULs behind it, once in a block at most.
    pub(crate) quads: Vec<usize>,
}

/// The shortest run of `Survey::tokens`.
pub(crate) const TOKENS: usize = 20;
/// The shortest run of `Survey::pairs`.
pub(crate) const PAIRS: usize = 35;
/// The shortest run of `Survey::numbers`.
pub(crate) const NUMBERS: usize = 11;
/// The shortest run of `Survey::words`.
pub(crate) const WORDS: usize = 59;

/// A bit per byte of a block, the first byte's the lowest.
#[derive(Default)]
struct Bits {
    tokens: u64,
    pairs: u64,
    digits: u64,
    /// Spaces and dashes.
    between: u64,
    words: u64,
    letters: u64,
    escapes: u64,
    nul: u64,
}

/// Finds the runs of one class.
struct Finder {
    shortest: usize,
    /// The last two blocks.
    both: u128,
    /// Where a run began that is long enough and goes on.
    open: Option<usize>,
}

// === impl Survey ===

impl Survey {
    /// Looks at `text`: for runs from `from` on, which is the start of each that matters or before it, and for
    /// single bytes from `fresh` on.
    pub(crate) fn look(&mut self, text: &[u8], from: usize, fresh: usize) {
        self.clear();
        let [mut tokens, mut pairs, mut numbers, mut words] =
            [TOKENS, PAIRS, NUMBERS, WORDS].map(Finder::new);
        let first = from.min(fresh);
        // A space or dash behind another is no part of a number.
        let head = first.checked_sub(1).and_then(|at| text.get(at));
        let mut after_between = u64::from(head.is_some_and(|byte| b" -".contains(byte)));
        let (mut seen_before, mut wide_before) = (0, 0);
        let mut letters = 0;
        let (mut at, mut length) = (first, BLOCK);
        let (blocks, rest) = text.get(first..).unwrap_or_default().as_chunks::<BLOCK>();
        let mut last = [0; BLOCK];
        for (slot, byte) in last.iter_mut().zip(rest) {
            *slot = *byte;
        }
        let tail = (!rest.is_empty()).then_some(&last);
        for block in blocks.iter().chain(tail) {
            length = BLOCK.min(text.len() - at);
            let mut bits = Bits::of(block);
            if length < BLOCK {
                bits.nul &= (1 << length) - 1;
            }
            tokens.take(bits.tokens, at, &mut self.tokens);
            pairs.take(bits.pairs, at, &mut self.pairs);
            let single = bits.between & !(bits.between << 1 | after_between);
            after_between = bits.between >> (BLOCK - 1);
            numbers.take(bits.digits | single, at, &mut self.numbers);
            letters = letters >> BLOCK | u128::from(bits.letters) << BLOCK;
            words.take(
                bits.words & !(unlisted(letters) >> BLOCK) as u64,
                at,
                &mut self.words,
            );
            // Of quotes those count that begin something, and not behind a bracket; of equals signs those with a digit, a line's
            // end or an escape behind them. What the block beside says is not known.
            let (quotes, equals) = quotes_and_equals(block);
            let marks = (bits.words | bits.tokens) & !(bits.letters | bits.digits) | bits.escapes;
            let last = 1 << (BLOCK - 1);
            let opening = (bits.tokens >> 1 | last) & (marks << 1 | 1);
            let written = (bits.digits | marks & !bits.between) >> 1 | last;
            let singles = bits.escapes | quotes & opening | equals & written;
            each(singles, |bit| {
                if at + bit >= fresh {
                    self.escapes.push(at + bit);
                }
            });
            if bits.nul | wide_before != 0 {
                let seen = seen(block);
                let quad = (bits.letters | bits.digits) & bits.nul >> 1 & bits.nul >> 2 & bits.nul >> 3;
                let quads = quad & quad >> 4 & quad >> 8;
                if quads != 0 {
                    self.quads.push(at + quads.trailing_zeros() as usize);
                }
                let pair = bits.nul & (seen << 1 | seen_before);
                let pairs = u128::from(pair) << BLOCK | u128::from(wide_before);
                let two = pairs & pairs << 2;
                let four = two & two << 4;
                let ends = (four & two << 8) >> BLOCK;
                each(ends as u64, |bit| {
                    self.wide.push((at + bit + 1).saturating_sub(WIDE * 2));
                });
                (seen_before, wide_before) = (seen >> (BLOCK - 1), pair);
            } else {
                // The one character whose NUL begins the next block.
                seen_before = u64::from(block.last().is_some_and(|&byte| is_seen(byte)));
            }
            at += length;
        }
        let end = text.len();
        tokens.finish(end, length, &mut self.tokens);
        pairs.finish(end, length, &mut self.pairs);
        numbers.finish(end, length, &mut self.numbers);
        words.finish(end, length, &mut self.words);
        self.pairs
            .retain(|run| run.end == end || has_digits(text.get(run.clone()).unwrap_or_default()));
    }

    fn clear(&mut self) {
        for runs in [
            &mut self.tokens,
            &mut self.pairs,
            &mut self.numbers,
            &mut self.words,
        ] {
            runs.clear();
        }
        self.escapes.clear();
        self.wide.clear();
        self.quads.clear();
    }
}

/// Whether a run of `Survey::pairs` is more than indentation or a ruler.
fn has_digits(run: &[u8]) -> bool {
    /// The shortest secret has as many.
    const FEWEST: usize = 24;
    // In pieces whose digits a byte counts, which makes this a few steps.
    let is_digit = |byte: u8| (byte.wrapping_sub(b'0') < 10) | ((byte | 0x20).wrapping_sub(b'a') < 6);
    let mut digits = 0;
    run.chunks(64).any(|piece| {
        digits += usize::from(piece.iter().map(|&byte| u8::from(is_digit(byte))).sum::<u8>());
        digits >= FEWEST
    })
}

/// As [`find_run`], where all runs lie within `stretches`.
pub(crate) fn find_within(
    stretches: &[Range<usize>],
    bytes: &[u8],
    at: usize,
    shortest: usize,
    is: impl Fn(u8) -> bool,
) -> Result<usize, usize> {
    let first = stretches.partition_point(|stretch| stretch.end <= at);
    for stretch in stretches.get(first..).unwrap_or_default() {
        if stretch.len() < shortest && stretch.end < bytes.len() {
            continue;
        }
        let head = bytes.get(..stretch.end).unwrap_or_default();
        match find_run(head, at.max(stretch.start), shortest, &is) {
            Ok(start) => return Ok(start),
            Err(start) if stretch.end == bytes.len() => return Err(start),
            Err(_) => {}
        }
    }
    Err(bytes.len())
}

/// Whether the byte at `at` is part of a number: a digit, or a space or dash that stands alone.
pub(crate) fn is_of_number(text: &[u8], at: usize) -> bool {
    let is_between = |at: usize| text.get(at).is_some_and(|byte| b" -".contains(byte));
    match text.get(at) {
        Some(byte) if byte.is_ascii_digit() => true,
        Some(_) => is_between(at) && !at.checked_sub(1).is_some_and(is_between),
        None => false,
    }
}

/// Where the stretch of a number that goes on at `at` ends.
pub(crate) fn number_end(text: &[u8], at: usize) -> usize {
    (at..text.len())
        .find(|&at| !is_of_number(text, at))
        .unwrap_or(text.len())
}

/// A character that text in UTF-16 is made of.
pub(crate) fn is_seen(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')
}

fn each(mut bits: u64, mut tell: impl FnMut(usize)) {
    while bits != 0 {
        tell(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

// === impl Bits ===

impl Bits {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut bits = Self::default();
        let (parts, _) = block.as_chunks::<16>();
        for (part, shift) in parts.iter().zip([0, 16, 32, 48]) {
            let all = u8x16::new(*part);
            let is = |byte: u8| all.simd_eq(u8x16::splat(byte));
            let lower = all | u8x16::splat(0x20);
            let letter = within(lower, b'a', b'z');
            let digit = within(all, b'0', b'9');
            let (dash, under, plus, slash) = (is(b'-'), is(b'_'), is(b'+'), is(b'/'));
            let space = is(b' ') | is(b'\r') | within(all, b'\t', b'\n');
            // `-`, `.` and `/` stand before the digits, `:` behind them, `,` before `-`.
            let tokens = letter | within(all, b'-', b'9') | under | plus;
            let hexadecimal = within(lower, b'a', b'f') | lower.simd_eq(u8x16::splat(b'x'));
            let pairs = within(all, b',', b':') & !slash | hexadecimal | space;
            let between = is(b' ') | dash;
            let marks = is(b',') | is(b';') | is(b'"') | is(b'\'');
            let words = letter | space | dash | under | plus | marks;
            let escapes = is(b'%') | is(b'\\') | is(b'&') | within(all, 0xc2, 0xf4);
            let word = |mask: u8x16| u64::from(mask.to_bitmask()) << shift;
            bits.tokens |= word(tokens);
            bits.pairs |= word(pairs);
            bits.digits |= word(digit);
            bits.between |= word(between);
            bits.words |= word(words);
            bits.letters |= word(letter);
            bits.escapes |= word(escapes);
            bits.nul |= word(is(0));
        }
        bits
    }
}

/// Every byte of `all` that is from `first` to `last`.
#[inline]
fn within(all: u8x16, first: u8, last: u8) -> u8x16 {
    let above = all - u8x16::splat(first);
    above.min(u8x16::splat(last - first)).simd_eq(above)
}

/// Apart from [`Bits`], which need all registers that there are.
#[inline(never)]
fn quotes_and_equals(block: &[u8; BLOCK]) -> (u64, u64) {
    let (parts, _) = block.as_chunks::<16>();
    let (mut quotes, mut equals) = (0, 0);
    for (part, shift) in parts.iter().zip([0, 16, 32, 48]) {
        let all = u8x16::new(*part);
        let is = |byte: u8| all.simd_eq(u8x16::splat(byte));
        quotes |= u64::from((is(b'"') | is(b'\'') | is(b'`')).to_bitmask()) << shift;
        equals |= u64::from(is(b'=').to_bitmask()) << shift;
    }
    (quotes, equals)
}

fn seen(block: &[u8; BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    parts.iter().zip([0, 16, 32, 48]).fold(0, |bits, (part, shift)| {
        let all = u8x16::new(*part);
        let seen = within(all, b' ', b'~') | within(all, b'\t', b'\n') | all.simd_eq(u8x16::splat(b'\r'));
        bits | u64::from(seen.to_bitmask()) << shift
    })
}

/// Of the bits of letters, those from the ninth in a row on, and those behind one or two alone: no word of the list
/// is so, and of other texts nearly every sentence has one.
#[inline]
fn unlisted(letters: u128) -> u128 {
    let ended = letters << 1 & !letters;
    row(letters, 9) | ended & !(letters << 2 & letters << 3)
}

// === impl Finder ===

impl Finder {
    fn new(shortest: usize) -> Self {
        Self {
            shortest,
            both: 0,
            open: None,
        }
    }

    #[inline]
    fn take(&mut self, bits: u64, at: usize, out: &mut Vec<Range<usize>>) {
        self.both = self.both >> BLOCK | u128::from(bits) << BLOCK;
        let ends = (row(self.both, self.shortest) >> BLOCK) as u64;
        if ends != 0 || self.open.is_some() {
            self.follow(bits, ends, at, out);
        }
    }

    /// `ends` has a bit where enough bits in a row end.
    #[inline(never)]
    fn follow(&mut self, bits: u64, mut ends: u64, at: usize, out: &mut Vec<Range<usize>>) {
        loop {
            let (start, from) = match self.open.take() {
                Some(start) => (start, 0),
                None if ends == 0 => return,
                None => {
                    let end = ends.trailing_zeros();
                    ((at + end as usize + 1).saturating_sub(self.shortest), end)
                }
            };
            let behind = !bits >> from;
            if behind == 0 {
                self.open = Some(start);
                return;
            }
            let end = from + behind.trailing_zeros();
            out.push(start..at + end as usize);
            // There is a zero at `end`, so it is below 64.
            ends &= u64::MAX << end;
        }
    }

    /// Tells the run at the text's end, which is `end`, however short. The last block had `length` bytes.
    fn finish(self, end: usize, length: usize, out: &mut Vec<Range<usize>>) {
        let start = self.open.unwrap_or_else(|| {
            let ones = (self.both << (BLOCK - length)).leading_ones();
            end.saturating_sub(ones as usize)
        });
        if start < end && out.last().is_none_or(|run| run.end < end) {
            out.push(start..end);
        }
    }
}

/// The bits of `bits` with which `count` in a row end.
#[inline]
fn row(bits: u128, count: usize) -> u128 {
    let (mut all, mut have) = (bits, 1);
    while have * 2 <= count {
        all &= all << have;
        have *= 2;
    }
    all & all << (count - have)
}

#[cfg(test)]
mod tests;
