//! A file that is one zlib stream (RFC 1950), as each loose object of a git repository is. The scanner looks into archives by
//! their heads; these two bytes are too often chance to be looked for anywhere but at the beginning.

use std::ops::ControlFlow;

use secrets::inflate::{Coding, Inflater};
use secrets::{Finding, Options, Scanner};

use super::TooMuch;

/// What is found inside. What begins like such a stream and is none has nothing inside.
pub(super) fn findings(scanner: &Scanner, raw: &[u8], options: &Options) -> Result<Vec<Finding>, TooMuch> {
    let mut found = Vec::new();
    if !begins(raw) {
        return Ok(found);
    }
    let length = u64::try_from(raw.len()).unwrap_or(u64::MAX);
    let most = options
        .decoded_base
        .saturating_add(length.saturating_mul(options.decoded_per_byte));
    let (mut stream, mut taken, mut exceeded) = (scanner.stream(options), 0, false);
    // What came out before it proved corrupt was looked at.
    let _ = Inflater::new(Coding::Deflate).push(raw, &mut |piece| {
        taken += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        exceeded = taken > most || stream.push(piece, &mut found).is_err();
        if exceeded {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    if exceeded || stream.finish(&mut found).is_err() {
        return Err(TooMuch);
    }
    secrets::without_repeats(&mut found);
    Ok(found)
}

/// Deflate with a window of 32 KiB or less, and a head that its check bits make a multiple of 31.
fn begins(raw: &[u8]) -> bool {
    let head = raw.first_chunk::<2>().map(|head| u16::from_be_bytes(*head));
    head.is_some_and(|head| head >> 8 & 0x0f == 8 && head >> 12 <= 7 && head % 31 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_every_level_is_known_and_text_is_none() {
        for head in [b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"] {
            assert!(begins(head));
        }
        for text in [&b"xy"[..], b"", b"x", b"\x1f\x8b"] {
            assert!(!begins(text), "{text:?}");
        }
    }
}
