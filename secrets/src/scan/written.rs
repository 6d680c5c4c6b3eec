//! A text that is being read from digits: what undoes it, and the layer of what it says.

use super::Session;
use super::child::Child;
use super::groups::Groups;
use super::radix::{Digits, Radix};

/// A text of a run, from one of the places where one may begin.
pub(super) struct Written {
    /// Characters before it, modulo the group; as much more as long as it has not joined the others.
    pub(super) group: u64,
    pub(super) reader: Reader,
    pub(super) child: Child,
}

/// What undoes a radix.
#[derive(Clone)]
pub(super) enum Reader {
    Digits(Digits),
    Groups(Groups),
}

// === impl Written ===

impl Written {
    pub(super) fn feed(&mut self, session: &mut Session<'_>, run: &[u8], offset: u64) {
        /// Decoded at once.
        const PIECE: usize = 4096;
        let mut bytes = std::mem::take(session.scratch);
        let mut at = offset;
        for piece in run.chunks(PIECE) {
            let until = at + piece.len() as u64;
            match &mut self.reader {
                Reader::Digits(digits) => {
                    bytes.clear();
                    digits.push(piece, &mut bytes);
                    self.child.push(session, &bytes, at..until);
                }
                Reader::Groups(groups) => {
                    let mut points = Vec::new();
                    bytes.clear();
                    groups.push(piece, at, &mut |byte, at| {
                        points.push((bytes.len() as u64, at));
                        bytes.push(byte);
                    });
                    // Nothing is no news, and a layer takes a while to say so.
                    if !bytes.is_empty() {
                        self.child.push_mapped(session, &bytes, points.into_iter(), until);
                    }
                }
            }
            at = until;
        }
        *session.scratch = bytes;
    }

    /// The run goes on at `to`, in the next line.
    pub(super) fn jump(&mut self, session: &mut Session<'_>, to: u64) {
        match &self.reader {
            Reader::Digits(digits) => {
                let (bytes, characters) = digits.in_group(self.child.position());
                self.child
                    .jump(self.child.position() - bytes, to - characters, to);
            }
            Reader::Groups(_) => self.end(session),
        }
    }

    pub(super) fn end(&mut self, session: &mut Session<'_>) {
        if let Reader::Groups(groups) = &mut self.reader {
            let (mut bytes, mut points) = (Vec::new(), Vec::new());
            groups.end(&mut |byte, at| {
                points.push((bytes.len() as u64, at));
                bytes.push(byte);
            });
            if !bytes.is_empty() {
                self.child.push_mapped(session, &bytes, points.into_iter(), 0);
            }
        }
    }

    pub(super) fn finish(&mut self, session: &mut Session<'_>) {
        self.end(session);
        self.child.finish(session);
    }
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(radix: Radix) -> Self {
        if radix.is_grouped() {
            Self::Groups(Groups::new(radix))
        } else {
            Self::Digits(Digits::new(radix))
        }
    }

    /// Appends what `text`, all of it, says.
    pub(super) fn whole(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Digits(mut digits) => digits.push(text, out),
            Self::Groups(mut groups) => {
                let mut tell = |byte, _| out.push(byte);
                groups.push(text, 0, &mut tell);
                groups.end(&mut tell);
            }
        }
    }

    /// Where digits begin of which the child was not told.
    pub(super) fn open_since(&self) -> Option<u64> {
        match self {
            Self::Digits(_) => None,
            Self::Groups(groups) => groups.open_since(),
        }
    }
}
