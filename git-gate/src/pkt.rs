//! pkt-lines, git's framing (gitprotocol-common(5)): four hex digits of length, then the bytes; `0000` ends a section.

use std::io::{self, Read};

/// The longest pkt-line, length digits and all.
const LONGEST: usize = 65_520;

/// Ends a section.
pub const FLUSH: &[u8] = b"0000";

/// Appends one line. Text longer than a pkt-line is cut.
pub fn append(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..LONGEST - 4).unwrap_or(text);
    out.extend_from_slice(format!("{:04x}", text.len() + 4).as_bytes());
    out.extend_from_slice(text);
}

/// What a smart-HTTP client reads as a refusal, whatever service it asked for: it prints `remote error: …`.
pub fn refusal(service: &str, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, format!("# service={service}\n").as_bytes());
    out.extend_from_slice(FLUSH);
    append(&mut out, format!("ERR {message}").as_bytes());
    out
}

/// Reads one line without its final newline; `None` for a flush.
pub fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "not a pkt-line");
    let mut digits = [0; 4];
    from.read_exact(&mut digits)?;
    let digits = std::str::from_utf8(&digits).map_err(|_| broken())?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| broken())?;
    if length == 0 {
        return Ok(None);
    }
    let length = length.checked_sub(4).ok_or_else(broken)?;
    let mut text = vec![0; length];
    from.read_exact(&mut text)?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_is_what_git_prints_as_a_remote_error() {
        assert_eq!(
            refusal("git-upload-pack", "no"),
            b"001e# service=git-upload-pack\n0000000aERR no"
        );
    }

    #[test]
    fn broken_lines_are_errors() {
        for broken in [&b"00"[..], b"zzzz", b"0003", b"0009ab", b"\xff\xff\xff\xff"] {
            assert!(read(&mut &broken[..]).is_err(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in "[^\n]{0,200}") {
            let mut out = Vec::new();
            append(&mut out, text.as_bytes());
            out.extend_from_slice(FLUSH);
            let mut from = &out[..];
            prop_assert_eq!(read(&mut from).unwrap().unwrap(), text.as_bytes());
            prop_assert_eq!(read(&mut from).unwrap(), None);
        }
    }
}
