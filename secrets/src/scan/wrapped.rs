//! base64 in lines.
//!
//! Encoders wrap at 64 or 76 characters, and who wraps for a reader or past one does at any other width; but all lines of a text
//! are of one length, and no words are. So a long line may go on in any next one, and a short one in one as long.

use super::radix::Radix;
use super::runs::Break;
use super::text::Text;

/// A line of this length or more may be a text's that goes on in the next line.
const LONG: u64 = 60;
/// A shorter one goes on if it is as long as this and the next is as long as it.
const SHORT: u64 = 16;
/// What is in front of a line at most: YAML and mail indent or quote such lines.
const INDENT: usize = 32;

/// Whether base64 that ends at `end` goes on in the next line. `line` is where the current one began, and whether another was
/// before it.
pub(super) fn goes_on(text: Text<'_>, end: usize, (line, wrapped): (u64, bool)) -> Break {
    let length = text.offset(end).saturating_sub(line);
    if length < SHORT {
        return Break::End;
    }
    let rest = text.from(end);
    let line_ends: [&[u8]; 6] = [b"\r\n", b"\n", b"\\r\\n", b"\\n", b"\\\\n", b" "];
    let lasting = if length < LONG {
        &line_ends[..]
    } else {
        line_ends.get(..5).unwrap_or_default()
    };
    for line_end in lasting {
        match rest.split_at_checked(line_end.len()) {
            Some((head, tail)) if head == *line_end => {
                let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'>');
                let indent = tail.iter().take(INDENT).take_while(blank).count();
                let next = tail.get(indent..).unwrap_or_default();
                match next.first() {
                    Some(&byte) if Radix::Base64.has(byte) => {
                        let goes_on = if length < LONG {
                            short_goes_on(next, length, wrapped, text.over)
                        } else {
                            Some(true)
                        };
                        match goes_on {
                            Some(true) => return Break::Line(line_end.len() + indent),
                            Some(false) => {}
                            None => return Break::Open,
                        }
                    }
                    None if !text.over => return Break::Open,
                    _ => {}
                }
            }
            None if !text.over && line_end.starts_with(rest) => return Break::Open,
            _ => {}
        }
    }
    Break::End
}

/// Whether `next` is as long as the line before it, which has `length` characters; or shorter, and the last of several or
/// padded. None if more bytes decide.
fn short_goes_on(next: &[u8], length: u64, wrapped: bool, over: bool) -> Option<bool> {
    let length = usize::try_from(length).ok()?;
    let run = next
        .iter()
        .take(length + 1)
        .take_while(|&&byte| Radix::Base64.has(byte))
        .count();
    let behind = next.get(run);
    if behind.is_none() && !over && run <= length {
        return None;
    }
    // Lines of digests and keys in hexadecimal are read as such.
    let line = next.get(..run).unwrap_or_default();
    if line.iter().all(u8::is_ascii_hexdigit) {
        return Some(false);
    }
    Some(run == length || run < length && (wrapped || behind == Some(&b'=')))
}
