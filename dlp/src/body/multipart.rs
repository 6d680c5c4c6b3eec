//! The parts of a multipart body (RFC 2046 section 5.1) while it comes.

use memchr::memmem::Finder;

use crate::joined::Values;
use crate::refused::Refused;

/// A multipart body may have so many parts. Browsers and servers stop at 1,000 to 10,000.
const PARTS: usize = 10_000;
/// A part's head may be so long, bytes; servers stop at 8 to 16 KiB.
const HEAD: usize = 16 * 1024;

const LONG_HEAD: Refused = Refused::Malformed("the head of one of its parts is too long");

/// How far a body has come.
pub(super) struct MultipartReader {
    delimiter: Finder<'static>,
    at: At,
    parts: usize,
    /// Bytes that may be the beginning of what ends the present section.
    pending: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Preamble,
    Head,
    Content,
}

// === impl MultipartReader ===

impl MultipartReader {
    /// For a body with this boundary.
    pub(super) fn new(boundary: &[u8]) -> Self {
        Self {
            delimiter: Finder::new(&[b"--", boundary].concat()).into_owned(),
            at: At::Preamble,
            parts: 0,
            pending: Vec::new(),
        }
    }

    /// Reads the next bytes; hands each part's content to `values`. Gives how many of the bytes so far, counted from the last,
    /// may be content or not.
    pub(super) fn push(&mut self, bytes: &[u8], values: &mut Values) -> Result<usize, Refused> {
        let mut text = std::mem::take(&mut self.pending);
        text.extend_from_slice(bytes);
        let mut rest = text.as_slice();
        while let Some(after) = self.section(rest, values)? {
            rest = after;
        }
        let keep = match self.at {
            At::Head => rest.len(),
            // A line break before the delimiter belongs to it.
            At::Preamble | At::Content => rest.len().min(self.delimiter.needle().len() + 1),
        };
        let (decided, pending) = rest.split_at(rest.len() - keep);
        self.pending = pending.to_vec();
        if self.at != At::Content {
            return Ok(0);
        }
        values.push(decided);
        Ok(keep)
    }

    /// The body is over: what is pending is nothing more.
    pub(super) fn finish(&mut self, values: &mut Values) {
        if self.at == At::Content {
            values.push(&std::mem::take(&mut self.pending));
            values.end();
        }
    }

    /// Reads to the end of the present section; gives what is behind it, if it ends in `rest`.
    fn section<'r>(&mut self, rest: &'r [u8], values: &mut Values) -> Result<Option<&'r [u8]>, Refused> {
        let delimiter = self.delimiter.find(rest);
        if self.at == At::Head {
            // No further than a head may reach: what is behind it is looked through part by part.
            let most = delimiter.unwrap_or(rest.len()).min(HEAD);
            if let Some(end) = rest.get(..most).and_then(head_end) {
                self.at = At::Content;
                return Ok(rest.get(end..));
            }
            if most == HEAD {
                return Err(LONG_HEAD);
            }
        }
        let Some(at) = delimiter else {
            return Ok(None);
        };
        if self.at == At::Content {
            let content = rest.get(..at).unwrap_or_default();
            let content = content.strip_suffix(b"\n").unwrap_or(content);
            values.push(content.strip_suffix(b"\r").unwrap_or(content));
            values.end();
        }
        self.parts += 1;
        if self.parts > PARTS {
            return Err(Refused::Malformed("it has too many parts"));
        }
        self.at = At::Head;
        Ok(rest.get(at + self.delimiter.needle().len()..))
    }
}

/// Where the content behind a part's head begins.
fn head_end(head: &[u8]) -> Option<usize> {
    let strict = memchr::memmem::find(head, b"\r\n\r\n").map(|at| at + 4);
    // Some parsers take bare line feeds.
    let bare = memchr::memmem::find(head, b"\n\n").map(|at| at + 2);
    match (strict, bare) {
        (Some(strict), Some(bare)) => Some(strict.min(bare)),
        (one, other) => one.or(other),
    }
}
