//! The lines of a dump, as xxd, hexdump and od write them: an offset, the bytes, and what can be shown of them.

use super::runs::Break;
use super::text::Text;
use std::ops::Range;

/// The longest line of a dump, and what is behind its bytes to show them, escaped.
const DUMP_LINE: usize = 120;
const SHOWN: usize = 48;
/// The beginning of such a line.
const OFFSET: usize = 16;

/// Whether a line of a dump that ends at `end` goes on in the next line: behind what it shows of its bytes, if it has an
/// offset and the next one has. `line` is where it began, or the text before it.
pub(super) fn goes_on(text: Text<'_>, end: usize, line: u64) -> Break {
    let from = text.index(line).max(end.saturating_sub(DUMP_LINE));
    let head = text.slice(from..end);
    let behind = head
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    if !head.get(behind..).is_some_and(has_offset) {
        return Break::End;
    }
    let rest = text.slice(end..end + SHOWN);
    let line_ends: [&[u8]; 2] = [b"\n", b"\\n"];
    let found = line_ends.iter().filter_map(|line_end| find(rest, line_end)).min();
    match found {
        Some(length) => match text.slice(end + length..end + length + OFFSET) {
            next if has_offset(next) => Break::Line(length),
            next if next.len() < OFFSET && !text.over => Break::Open,
            _ => Break::End,
        },
        None if rest.len() < SHOWN && !text.over => Break::Open,
        None => Break::End,
    }
}

/// Whether one of the first two lines of `run` begins with an offset: the first may not begin where the run does.
pub(super) fn has_offsets(run: &[u8]) -> bool {
    let head = run.get(..DUMP_LINE).unwrap_or(run);
    let second = head
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(&[][..], |at| head.get(at + 1..).unwrap_or_default());
    has_offset(head) || has_offset(second)
}

/// Whether the digits in `range` are characters of text in a dump's line.
pub(super) fn is_text(text: Text<'_>, range: &Range<usize>) -> bool {
    let before = text.slice(range.start.saturating_sub(DUMP_LINE)..range.start);
    let line_ends: [&[u8]; 3] = [b"\n", b"\\n", b"\""];
    let lines = line_ends.iter().filter_map(|line_end| {
        let at = before
            .windows(line_end.len())
            .rposition(|here| here == *line_end)?;
        Some(at + line_end.len())
    });
    let line = before.get(lines.max().unwrap_or(0)..).unwrap_or_default();
    let digits: Vec<u8> = text
        .slice(range.clone())
        .iter()
        .copied()
        .filter(u8::is_ascii_digit)
        .collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    has_offset(line)
        && rest.is_empty()
        && pairs
            .iter()
            .all(|[high, low]| matches!((high, low), (b'2'..=b'7', _) | (b'0', b'9')))
}

/// Whether a line begins with an offset.
fn has_offset(line: &[u8]) -> bool {
    let blank = line.iter().take_while(|&&byte| byte == b' ').count();
    let line = line.get(blank..).unwrap_or_default();
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    matches!(digits, 7 | 8) && matches!(line.get(digits), Some(b' ' | b':'))
}

/// Where `wanted` ends in `text`.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let at = text.windows(wanted.len()).position(|here| here == wanted)?;
    Some(at + wanted.len())
}
