//! The ways of reading a neighbourhood a second time.

use super::splice::Splice;
use crate::finding::Decoding;
use crate::unescape::{Seen, Undo, Unescape};

/// How the neighbourhood is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// escapes and look-alikes undone
    Unescaped,
    /// without the NULs of UTF-16
    Narrow,
    /// without the NULs of UTF-32
    Quad,
    /// with what is put together in source code put together
    Spliced,
    /// quoted-printable undone
    Quoted,
}

/// A reading that is under way.
pub(super) enum Undoing {
    Unescape(Unescape),
    /// The last byte.
    Narrow(u8),
    /// NULs that were not handed out.
    Quad(Vec<Seen>),
    Splice(Splice),
}

// === impl Reading ===

impl Reading {
    pub(super) const ALL: [Self; 5] = [
        Self::Unescaped,
        Self::Narrow,
        Self::Quad,
        Self::Spliced,
        Self::Quoted,
    ];

    /// What findings say of it.
    pub(super) fn decoding(self) -> Decoding {
        match self {
            Self::Unescaped => Decoding::Escapes,
            Self::Narrow | Self::Quad => Decoding::Wide,
            Self::Spliced => Decoding::Literals,
            Self::Quoted => Decoding::QuotedPrintable,
        }
    }

    pub(super) fn begin(self) -> Undoing {
        match self {
            Self::Unescaped => Undoing::Unescape(Unescape::new(Undo::Lenient)),
            Self::Narrow => Undoing::Narrow(0),
            Self::Quad => Undoing::Quad(Vec::new()),
            Self::Spliced => Undoing::Splice(Splice::default()),
            Self::Quoted => Undoing::Unescape(Unescape::new(Undo::QuotedPrintable)),
        }
    }
}

// === impl Undoing ===

impl Undoing {
    #[inline]
    pub(super) fn push(&mut self, seen: Seen, out: &mut impl FnMut(Seen)) {
        match self {
            Self::Unescape(unescape) => unescape.push(seen, out),
            Self::Splice(splice) => splice.push(seen, out),
            Self::Quad(nuls) => {
                // Three NULs between characters belong to them.
                if seen.byte == 0 {
                    nuls.push(seen);
                    if nuls.len() > 3 {
                        out(nuls.remove(0));
                    }
                } else {
                    if nuls.len() != 3 {
                        nuls.iter().for_each(|&nul| out(nul));
                    }
                    nuls.clear();
                    out(seen);
                }
            }
            Self::Narrow(last) => {
                // One NUL behind a character belongs to it.
                if seen.byte != 0 || *last == 0 {
                    out(seen);
                }
                *last = seen.byte;
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut impl FnMut(Seen)) {
        match self {
            Self::Unescape(unescape) => unescape.finish(out),
            Self::Splice(splice) => splice.finish(out),
            Self::Narrow(_) | Self::Quad(_) => {}
        }
    }

    /// Where begins what is not decided.
    pub(super) fn open_since(&self) -> Option<u64> {
        match self {
            Self::Unescape(unescape) => unescape.open_since(),
            Self::Splice(splice) => splice.open_since(),
            Self::Narrow(_) | Self::Quad(_) => None,
        }
    }
}
