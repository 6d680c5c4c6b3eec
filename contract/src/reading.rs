//! Every way in which an upstream might read a request path.
//!
//! Servers disagree: one percent-decodes once, one twice (a proxy before an application), one folds
//! `\` into `/`, one cuts `;parameters` off a segment before it looks at dots, one merges empty
//! segments, one cuts at a `?` or `#` that appears by decoding, one takes overlong or full-width
//! spellings of `.`, `/` and `\` for the plain ones, one trims blanks and dots around a dot segment,
//! and they do it in different orders. A guard that checks a single canonical form is
//! passed by the path whose form differs upstream. So the readings are the *closure* of the path
//! under all of these operations, in every order and combination, and a rule must hold for each.
//!
//! Every HTTP server decodes percent-encoding at least once before it looks a resource up, so the
//! undecoded spelling itself is not a reading (`/@acme%2Fpkg` is read as `/@acme/pkg`).

use std::collections::BTreeSet;

/// The longest path that is read at all, in bytes; what proxies and servers commonly accept.
pub const MAX_PATH: usize = 8 * 1024;

/// More readings than this means that the path is a puzzle, not a path.
const MAX_READINGS: usize = 128;

/// Why no rule is asked about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// does not start with a slash
    #[error("does not start with `/`")]
    NotAbsolute,
    /// longer than [`MAX_PATH`]
    #[error("is longer than {MAX_PATH} bytes")]
    TooLong,
    /// a control byte, spelled out or percent-encoded
    #[error("holds a control byte, plain or percent-encoded")]
    ControlByte,
    /// a byte outside ASCII that is not percent-encoded
    #[error("holds a byte outside ASCII; percent-encode it")]
    NotAscii,
    /// a space, which ends the path in a request line
    #[error("holds a space; write it as %20")]
    Space,
    /// `%` without two hex digits
    #[error("holds a `%` that two hex digits do not follow")]
    BrokenEncoding,
    /// a `?` or `#` inside what should be the path alone
    #[error("holds a `?` or `#`")]
    Delimiter,
    /// encodings inside encodings without end
    #[error("can be read in too many ways")]
    TooManyReadings,
}

/// Refuses what no upstream needs to see on any route: control bytes (plain, or after one decoding),
/// a NUL at any depth, non-ASCII, broken percent-encoding. Takes the path as sent, without the query.
pub fn well_formed(path: &[u8]) -> Result<(), PathProblem> {
    if path.len() > MAX_PATH {
        return Err(PathProblem::TooLong);
    }
    if path.first() != Some(&b'/') {
        return Err(PathProblem::NotAbsolute);
    }
    for byte in path {
        match byte {
            0..=0x1f | 0x7f => return Err(PathProblem::ControlByte),
            0x80.. => return Err(PathProblem::NotAscii),
            b' ' => return Err(PathProblem::Space),
            b'?' | b'#' => return Err(PathProblem::Delimiter),
            _ => {}
        }
    }
    let mut rest = path;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(PathProblem::BrokenEncoding);
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    if !path.contains(&b'%') {
        return Ok(());
    }
    let once = percent_decode(path);
    if once.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
        return Err(PathProblem::ControlByte);
    }
    // Doubly encoded control bytes are ordinary in a URL that carries a URL, a NUL is not.
    if percent_decode(&once).contains(&0) {
        return Err(PathProblem::ControlByte);
    }
    Ok(())
}

/// Whether something holds for every reading. Refuses whatever [`well_formed`] refuses. A plain path, the
/// common case, costs no allocation.
pub fn every_reading(path: &[u8], mut holds: impl FnMut(&[u8]) -> bool) -> Result<bool, PathProblem> {
    well_formed(path)?;
    if is_plain(path) {
        return Ok(holds(path));
    }
    Ok(readings(path)?.iter().all(|reading| holds(reading)))
}

/// The set of readings, at least one. Refuses whatever [`well_formed`] refuses.
pub fn readings(path: &[u8]) -> Result<BTreeSet<Vec<u8>>, PathProblem> {
    well_formed(path)?;
    let mut read = BTreeSet::new();
    if is_plain(path) {
        read.insert(path.to_vec());
        return Ok(read);
    }
    // The undecoded spellings are worked on too (a front end may fold dots before it decodes) but
    // only what was decoded at least once is a reading.
    let mut undecoded = BTreeSet::from([path.to_vec()]);
    close(&mut undecoded, &OPERATIONS)?;
    for spelling in &undecoded {
        read.insert(percent_decode(spelling));
    }
    let mut with_decoding = OPERATIONS.to_vec();
    with_decoding.push(percent_decode);
    close(&mut read, &with_decoding)?;
    Ok(read)
}

type Operation = fn(&[u8]) -> Vec<u8>;

/// What a server may do to a path besides percent-decoding it.
const OPERATIONS: [Operation; 7] = [
    without_backslashes,
    without_parameters,
    merged,
    dots_removed,
    cut_at_delimiter,
    plainly_spelled,
    dots_trimmed,
];

/// Adds what the operations make of the members until nothing new comes.
fn close(set: &mut BTreeSet<Vec<u8>>, operations: &[Operation]) -> Result<(), PathProblem> {
    let mut work: Vec<Vec<u8>> = set.iter().cloned().collect();
    while let Some(next) = work.pop() {
        for operation in operations {
            let made = operation(&next);
            if !set.contains(&made) {
                if set.len() == MAX_READINGS {
                    return Err(PathProblem::TooManyReadings);
                }
                set.insert(made.clone());
                work.push(made);
            }
        }
    }
    Ok(())
}

/// Whether no operation changes the path: the common case, without an allocation.
fn is_plain(path: &[u8]) -> bool {
    !path.iter().any(|byte| matches!(byte, b'%' | b'\\' | b';'))
        && !path.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

/// Decodes each `%XX` once; what is not an encoding stays as it is.
pub fn percent_decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    decoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn without_backslashes(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
        .collect()
}

/// Cuts `;…` off every segment (RFC 2396 parameters, as servlet containers read them).
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(path.len());
    let mut inside = false;
    for byte in path {
        match byte {
            b'/' => inside = false,
            b';' => inside = true,
            _ => {}
        }
        if !inside {
            kept.push(*byte);
        }
    }
    kept
}

/// Cuts at a `?` or `#`: what decoding made of it is a delimiter to whoever parses the result again.
fn cut_at_delimiter(path: &[u8]) -> Vec<u8> {
    path.split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default()
        .to_vec()
}

/// Overlong UTF-8 (`C0 AE` for a dot) and the full-width forms (`EF BC 8E`), which lax decoders and best-fit mappings take
/// for the ASCII characters.
fn plainly_spelled(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        let (character, after) = match (first, tail) {
            (0xc0..=0xc1, [second @ 0x80..=0xbf, after @ ..]) => {
                ((first & 0x01) << 6 | (second & 0x3f), after)
            }
            (0xe0, [second @ 0x80..=0x81, third @ 0x80..=0xbf, after @ ..]) => {
                ((second & 0x01) << 6 | (third & 0x3f), after)
            }
            (0xef, [0xbc, third @ 0x81..=0xbf, after @ ..]) => (third - 0x60, after),
            (0xef, [0xbd, third @ 0x80..=0x9e, after @ ..]) => (third - 0x20, after),
            _ => (*first, tail),
        };
        plain.push(character);
        rest = after;
    }
    plain
}

/// Segments of nothing but dots and blanks, which Windows file systems read as `.` and `..`.
fn dots_trimmed(path: &[u8]) -> Vec<u8> {
    let trimmed = path.split(|byte| *byte == b'/').map(|segment| {
        let dots = segment.iter().filter(|byte| **byte == b'.').count();
        let only_dots = segment.iter().all(|byte| matches!(byte, b'.' | b' '));
        match (only_dots, dots) {
            (true, 1) => b".".as_slice(),
            (true, 2..) => b"..",
            _ => segment,
        }
    });
    trimmed.collect::<Vec<_>>().join(&b'/')
}

fn merged(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        if !(*byte == b'/' && kept.last() == Some(&b'/')) {
            kept.push(*byte);
        }
    }
    kept
}

/// RFC 3986 §5.2.4: `.` and `..` segments are taken out; above the root stays the root.
fn dots_removed(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let body = path.strip_prefix(b"/").unwrap_or(path);
    let mut segments = body.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." => {
                if last {
                    kept.push(b"");
                }
            }
            b".." => {
                kept.pop();
                if last {
                    kept.push(b"");
                }
            }
            other => kept.push(other),
        }
    }
    let mut joined = Vec::with_capacity(path.len());
    for segment in &kept {
        joined.push(b'/');
        joined.extend_from_slice(segment);
    }
    if joined.is_empty() {
        joined.push(b'/');
    }
    joined
}

#[cfg(test)]
mod tests;
