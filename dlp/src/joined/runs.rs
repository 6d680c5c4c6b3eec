//! What of pieces that were put together could be a token over the end of one of them.
//!
//! That is an unbroken run of a token's characters with a digit among them, so the words of ordinary fields cost nothing. Between
//! other pieces a token does not look like one: where a keyword stands, the run is looked at once more from the piece in which it
//! does, to the end of each of the next pieces. What is encoded shows no keyword; of that, neighbours are looked at by themselves.

use crate::policy::CompiledPolicy;

/// The shortest token that is looked for across the end of a piece.
const SHORTEST: usize = 16;
/// Pieces that are longer than this together are no pieces of one token that others stand around, bytes.
const LONGEST_SPLIT: usize = 512;
/// A token may end at so many ends: that of one in pieces of a byte, with what is shorter than [`SHORTEST`] left out.
const ENDS: usize = 48;

/// An encoded token in up to so many pieces is found whatever stands in the pieces around them.
const NEIGHBOURS: usize = 4;
/// In a run of more pieces than this it is found in two alone: of a list of identifiers nobody looks at all neighbours.
const FEW: usize = 16;

/// Texts to be looked at, a line each, and where in them a piece ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

/// What of `text`, of which `ends` are the ends of pieces and which was looked at up to `settled`, is to be looked at.
pub(super) fn to_look_at(text: &[u8], ends: &[usize], settled: usize, policy: &CompiledPolicy) -> Runs {
    let mut runs = across(text, ends, settled);
    let few = few(&runs, policy);
    let neighbours = neighbours(&runs);
    runs.append(&few);
    runs.append(&neighbours);
    runs
}

/// The runs over an end.
fn across(text: &[u8], ends: &[usize], settled: usize) -> Runs {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-.%".contains(byte);
    let mut runs = Runs::default();
    // How far of `text` was seen, by how much offsets differ in what was taken, and whether it was.
    let (mut seen, mut shift, mut taken) = (0, 0, false);
    for &end in ends {
        if end < seen {
            if taken {
                runs.ends.push(end - shift);
            }
            continue;
        }
        let (before, after) = text.split_at(end.min(text.len()));
        let left = before.iter().rev().take_while(|byte| part(byte)).count();
        let right = after.iter().take_while(|byte| part(byte)).count();
        let run = text.get(end - left..end + right).unwrap_or_default();
        seen = end + right;
        taken = left > 0
            && right > 0
            && seen > settled
            && run.len() >= SHORTEST
            && run.iter().any(u8::is_ascii_digit);
        if taken {
            shift = (end - left).saturating_sub(runs.text.len());
            runs.ends.push(end - shift);
            runs.text.extend_from_slice(run);
            runs.text.push(b'\n');
        }
    }
    runs
}

/// What begins with the piece in which a keyword stands, to each end behind it.
fn few(runs: &Runs, policy: &CompiledPolicy) -> Runs {
    let mut few = Runs::default();
    // (where the line begins, where the piece begins) of each keyword
    let mut starts: Vec<(usize, usize)> = policy
        .keywords_in(&runs.text)
        .map(|at| {
            let line = memchr::memrchr(b'\n', runs.text.get(..at).unwrap_or_default()).map_or(0, |at| at + 1);
            let before = runs.ends.partition_point(|end| *end <= at);
            let piece = before.checked_sub(1).and_then(|last| runs.ends.get(last));
            (line, piece.map_or(line, |piece| line.max(*piece)))
        })
        .collect();
    starts.dedup();
    for (at, &(line, start)) in starts.iter().enumerate() {
        let rest = runs.text.get(start..).unwrap_or_default();
        let line_end = start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        // A token does not hold another one's beginning.
        let next = starts.get(at + 1).map_or(line_end, |(_, next)| *next);
        let limit = line_end.min(next).min(start + LONGEST_SPLIT);
        let first = runs.ends.partition_point(|end| *end <= start);
        let inner: Vec<usize> = runs
            .ends
            .get(first..)
            .unwrap_or_default()
            .iter()
            .copied()
            .take_while(|end| *end < limit)
            .collect();
        let until = inner
            .iter()
            .copied()
            .filter(|end| end - start >= SHORTEST)
            .take(ENDS)
            .chain([limit]);
        let is_new = |end: &usize| end - start >= SHORTEST && (start, *end) != (line, line_end);
        for end in until.filter(is_new) {
            let within = inner.iter().take_while(|other| **other < end);
            few.add(runs.text.get(start..end), within.map(|other| other - start));
        }
    }
    few
}

/// Pieces that stand side by side, without those around them.
fn neighbours(runs: &Runs) -> Runs {
    let mut few = Runs::default();
    let mut ends = runs.ends.as_slice();
    let mut start = 0;
    for line in runs.text.split(|byte| *byte == b'\n') {
        let line_end = start + line.len();
        let (inner, rest) = ends.split_at(ends.partition_point(|end| *end < line_end));
        let marks = [&[start], inner, &[line_end]].concat();
        let most = if marks.len() > FEW { 2 } else { NEIGHBOURS };
        // All pieces together are looked at anyway.
        for marks in (2..=most.min(marks.len().saturating_sub(2))).flat_map(|count| marks.windows(count + 1))
        {
            let &[from, ref within @ .., to] = marks else {
                continue;
            };
            if (SHORTEST..=LONGEST_SPLIT).contains(&(to - from)) {
                few.add(runs.text.get(from..to), within.iter().map(|end| end - from));
            }
        }
        (start, ends) = (line_end + 1, rest);
    }
    few
}

// === impl Runs ===

impl Runs {
    /// Adds a line with these ends.
    fn add(&mut self, line: Option<&[u8]>, ends: impl Iterator<Item = usize>) {
        let shift = self.text.len();
        self.text.extend_from_slice(line.unwrap_or_default());
        self.text.push(b'\n');
        self.ends.extend(ends.map(|end| end + shift));
    }

    fn append(&mut self, other: &Self) {
        let shift = self.text.len();
        self.text.extend_from_slice(&other.text);
        self.ends.extend(other.ends.iter().map(|end| end + shift));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::examiner;
    use proptest::prelude::*;

    fn ends(pieces: &[&str]) -> Vec<usize> {
        (1..=pieces.len())
            .map(|count| pieces[..count].concat().len())
            .collect()
    }

    #[test]
    fn only_what_could_be_a_token_over_an_end_is_looked_at_again() {
        let pieces = ["user", "text", "Hello world", "AKIA0123", "45678901234", "x y"];
        let runs = across(pieces.concat().as_bytes(), &ends(&pieces), 0);
        assert_eq!(runs.text, b"worldAKIA012345678901234x\n");
        assert_eq!(runs.ends, [5, 13, 24]);
        let text = pieces.concat();
        assert_eq!(
            across(text.as_bytes(), &ends(&pieces), text.len()),
            Runs::default()
        );
    }

    #[test]
    fn few_pieces_are_looked_at_by_themselves() {
        let pieces = ["bob", "AKIA0123", "45678901", "234yes", "x y"];
        let text = pieces.concat();
        let policy = examiner();
        let runs = to_look_at(text.as_bytes(), &ends(&pieces), 0, policy.policy());
        let lines = String::from_utf8(runs.text.clone()).unwrap();
        for line in ["AKIA012345678901", "AKIA012345678901234yes"] {
            assert!(lines.lines().any(|one| one == line), "{lines}");
        }
        assert!(runs.ends.iter().all(|end| runs.text[*end] != b'\n'));
    }

    #[test]
    fn many_keywords_make_little_work() {
        let pieces = vec!["key-1"; 10_000];
        let all = ends(&pieces[..1000]);
        let text = pieces[..1000].concat();
        let policy = examiner();
        let runs = to_look_at(text.as_bytes(), &all, 0, policy.policy());
        assert!(runs.text.len() <= 4 * text.len(), "{}", runs.text.len());
        let letters = "key-abcdefghijklmnopqrstuvw1".repeat(300);
        let all: Vec<usize> = (1..letters.len()).collect();
        let runs = to_look_at(letters.as_bytes(), &all, 0, policy.policy());
        assert!(runs.text.len() <= 32 * letters.len(), "{}", runs.text.len());
    }

    proptest! {
        #[test]
        fn ends_stay_where_they_were(pieces in prop::collection::vec("[a-z0-9 ]{0,12}", 0..12)) {
            let text = pieces.concat();
            let mut end = 0;
            let ends: Vec<usize> = pieces.iter().map(|piece| { end += piece.len(); end }).collect();
            let runs = across(text.as_bytes(), &ends, 0);
            for end in runs.ends {
                prop_assert!(end > 0 && end <= runs.text.len());
            }
        }
    }
}
