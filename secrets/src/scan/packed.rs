//! Compressed data within a text: decompressed where its head stands, and scanned.
//!
//! A head may be chance. Decompression that fails gives up what came out before; nothing is refused for it.

use super::Session;
use super::child::Child;
use super::keyword::Container;
use super::text::Text;
use crate::finding::{DecodePath, Decoding};
use crate::inflate::{Coding, Inflater, Progress};
use std::ops::{ControlFlow, Range};

/// More streams at once are not followed; the scan counts as not done.
const MOST: usize = 16;
/// Compressed bytes that are decompressed at once: where a finding is, is known this well.
const PIECE: usize = 4096;
/// What beginning to decompress costs, as bytes that are scanned: a decoder's tables are made for each head.
const ATTEMPT: usize = 4096;
/// A zip entry's head without the names.
const ZIP_HEAD: usize = 30;

/// The compressed streams of a layer.
#[derive(Default)]
pub(crate) struct Packed {
    streams: Vec<Stream>,
}

struct Stream {
    container: Container,
    /// Where its head is, then how far it was read.
    at: u64,
    body: Option<(Inflater, Child)>,
}

// === impl Packed ===

impl Packed {
    /// A head was found.
    pub(crate) fn begin(&mut self, container: Container, head: Range<u64>) {
        let at = match container {
            Container::Pdf => head.end.saturating_sub(2),
            _ => head.start,
        };
        self.streams.push(Stream {
            container,
            at,
            body: None,
        });
    }

    pub(crate) fn scan(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) {
        if self.streams.is_empty() {
            return;
        }
        let mut going = Vec::new();
        for mut stream in std::mem::take(&mut self.streams) {
            if stream.go_on(session, text, path) && !text.over {
                going.push(stream);
            } else if let Some((_, mut child)) = stream.body {
                child.finish(session);
            }
            if going.len() > MOST {
                session.budget.exceed();
            }
            if session.budget.is_exceeded() {
                return;
            }
        }
        self.streams = going;
    }

    pub(crate) fn needed_from(&self) -> Option<u64> {
        self.streams.iter().map(|stream| stream.at).min()
    }

    pub(crate) fn hold_from(&self) -> Option<u64> {
        self.streams
            .iter()
            .filter_map(|stream| stream.body.as_ref()?.1.hold_from())
            .min()
    }

    pub(crate) fn earliest(&self) -> Option<u64> {
        self.streams
            .iter()
            .filter_map(|stream| Some(stream.body.as_ref()?.1.earliest()))
            .min()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }
}

// === impl Stream ===

impl Stream {
    /// Reads what has come; `false` when there is no more to it.
    fn go_on(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) -> bool {
        let decoding = match self.container {
            Container::Gzip => Decoding::Gzip,
            Container::Zip => Decoding::Zip,
            Container::Pdf => Decoding::Pdf,
            Container::Zstd => Decoding::Zstd,
        };
        let Some(path) = path.and(decoding) else {
            return false;
        };
        if self.body.is_none() {
            let coding = match self.container {
                Container::Gzip => Coding::Gzip,
                Container::Pdf => Coding::Deflate,
                Container::Zstd => Coding::Zstd,
                Container::Zip => {
                    let head = text.slice(text.index(self.at)..text.index(self.at) + ZIP_HEAD);
                    if head.len() < ZIP_HEAD {
                        return true;
                    }
                    let Some((coding, body)) = zip_entry(head) else {
                        return false;
                    };
                    self.at += body;
                    coding
                }
            };
            if !session.budget.spend(ATTEMPT) {
                return false;
            }
            self.body = Some((Inflater::new(coding), Child::new(path, (0, 1))));
        }
        let Some((inflater, child)) = &mut self.body else {
            return false;
        };
        if self.at > text.end() {
            return true;
        }
        for piece in text.from(text.index(self.at)).chunks(PIECE) {
            let from = self.at;
            let until = from + piece.len() as u64;
            self.at = until;
            // Heads cost nothing to write, and each may make all that follows be read.
            if !session.budget.step(piece.len()) {
                return false;
            }
            let progress = inflater.push(piece, &mut |bytes| {
                child.push(session, bytes, from..until);
                match session.budget.is_exceeded() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            if progress != Ok(Progress::Open) {
                return false;
            }
        }
        true
    }
}

/// The compression of a zip entry and the length of its head (APPNOTE 4.3.7); `None` for one that is stored, and
/// so is read as it stands, encrypted, or of a method that nobody uses.
fn zip_entry(head: &[u8]) -> Option<(Coding, u64)> {
    let number = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let encrypted = number(6)? & 1 == 1;
    let coding = match number(8)? {
        8 => Coding::RawDeflate,
        93 => Coding::Zstd,
        _ => return None,
    };
    let length = ZIP_HEAD as u64 + u64::from(number(26)?) + u64::from(number(28)?);
    (!encrypted).then_some((coding, length))
}
