//! Undoing compression while it streams.
//!
//! An [`Inflater`] is pushed compressed bytes and hands out what they decode to, in pieces of at most
//! [`PIECE`] bytes, as early as the format allows. It keeps no more than the format's window. It refuses to
//! judge how much is too much: each piece is offered before the next is made, and whoever takes it can stop.

mod gzip_head;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use gzip_head::GzipHead;
use std::ops::ControlFlow;
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

/// The most that is handed out at once, in bytes.
pub const PIECE: usize = 16 << 10;
/// 8 MiB: the window that RFC 9659 allows for zstd on the web.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A compressed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// gzip (RFC 1952), one member after the other
    Gzip,
    /// what HTTP calls `deflate`: zlib (RFC 1950), or the bare stream that some send instead
    Deflate,
    /// a bare deflate stream (RFC 1951), as in a zip archive
    RawDeflate,
    /// brotli (RFC 7932)
    Brotli,
    /// Zstandard (RFC 8878)
    Zstd,
}

impl Coding {
    /// The coding that an HTTP `Content-Encoding` token names, if it is one that can be undone. `identity` is
    /// none.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        let known = [
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Brotli),
            ("zstd", Self::Zstd),
        ];
        known
            .iter()
            .find(|(name, _)| token.trim().eq_ignore_ascii_case(name))
            .map(|&(_, coding)| coding)
    }
}

/// The bytes are not what the format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not valid {0:?}")]
pub struct Corrupt(pub Coding);

/// How a push ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// all input is taken, and more may follow
    Open,
    /// The compressed data ended after so many bytes of the input; what follows is not part of it.
    Ended(usize),
    /// the receiver wanted no more
    Stopped,
}

/// One compressed stream.
pub struct Inflater {
    coding: Coding,
    state: State,
    out: Vec<u8>,
    /// Whether anything was taken since the last end.
    begun: bool,
}

enum State {
    /// The head of a gzip member.
    GzipHead(GzipHead),
    /// The first byte of what HTTP calls deflate, when it is there: the first two tell the formats apart.
    DeflateHead(Option<u8>),
    Deflate(Decompress),
    /// The eight bytes behind a gzip member's data, as many as are still missing.
    Trailer(usize),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(zstd::stream::raw::Decoder<'static>),
    Broken,
}

/// What one step of a decoder did.
struct Step {
    read: usize,
    written: usize,
    ended: bool,
}

// === impl Inflater ===

impl Inflater {
    /// A decoder at the start of its input.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        Self {
            coding,
            state: start(coding),
            out: Vec::new(),
            begun: false,
        }
    }

    /// Takes `input` and hands what it decodes to `take`, which may stop.
    ///
    /// # Errors
    /// The input is corrupt; all that could be decoded before was handed out.
    pub fn push(
        &mut self,
        input: &[u8],
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Progress, Corrupt> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if rest.is_empty() && !matches!(self.state, State::Brotli(_) | State::Zstd(_) | State::Deflate(_))
            {
                return Ok(Progress::Open);
            }
            self.begun |= !rest.is_empty();
            self.out.resize(PIECE, 0);
            let step = self.step(rest).inspect_err(|_| self.state = State::Broken)?;
            at += step.read;
            let piece = self.out.get(..step.written).unwrap_or_default();
            if !piece.is_empty() && take(piece).is_break() {
                self.state = State::Broken;
                return Ok(Progress::Stopped);
            }
            if step.ended {
                self.state = start(self.coding);
                self.begun = false;
                return Ok(Progress::Ended(at));
            }
            if step.read == 0 && step.written == 0 {
                // Nothing moves without more input.
                return Ok(Progress::Open);
            }
        }
    }

    /// Whether the input may end here: at its very start, or right behind a complete stream.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        !self.begun
    }

    fn step(&mut self, input: &[u8]) -> Result<Step, Corrupt> {
        let corrupt = Corrupt(self.coding);
        match &mut self.state {
            State::Broken => Err(corrupt),
            State::GzipHead(head) => {
                let read = head.read(input).map_err(|_| corrupt)?;
                if head.is_over() {
                    self.state = State::Deflate(Decompress::new(false));
                }
                Ok(Step {
                    read,
                    written: 0,
                    ended: false,
                })
            }
            State::DeflateHead(first) => {
                let read = usize::from(!input.is_empty());
                let mut written = 0;
                match (*first, input.first()) {
                    (None, second) => *first = second.copied(),
                    (Some(_), None) => {}
                    (Some(first), Some(&second)) => {
                        // The two bytes that told the formats apart are themselves input.
                        let head = [first, second];
                        let mut inner = Decompress::new(is_zlib(head));
                        inner
                            .decompress(&head, &mut self.out, FlushDecompress::None)
                            .map_err(|_| corrupt)?;
                        written = usize::try_from(inner.total_out()).unwrap_or(0);
                        self.state = State::Deflate(inner);
                    }
                }
                Ok(Step {
                    read,
                    written,
                    ended: false,
                })
            }
            State::Deflate(inner) => {
                let (read, written) = (inner.total_in(), inner.total_out());
                let status = inner
                    .decompress(input, &mut self.out, FlushDecompress::None)
                    .map_err(|_| corrupt)?;
                let read = usize::try_from(inner.total_in() - read).unwrap_or(0);
                let written = usize::try_from(inner.total_out() - written).unwrap_or(0);
                let ended = status == Status::StreamEnd;
                if ended && self.coding == Coding::Gzip {
                    self.state = State::Trailer(8);
                    return Ok(Step {
                        read,
                        written,
                        ended: false,
                    });
                }
                Ok(Step { read, written, ended })
            }
            State::Trailer(missing) => {
                // The checksum is the receiver's to check: a wrong one does not unsay the content.
                let read = input.len().min(*missing);
                *missing -= read;
                Ok(Step {
                    read,
                    written: 0,
                    ended: *missing == 0,
                })
            }
            State::Brotli(inner) => {
                let (mut available, mut read) = (input.len(), 0);
                let (mut room, mut written, mut total) = (self.out.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut available,
                    &mut read,
                    input,
                    &mut room,
                    &mut written,
                    &mut self.out,
                    &mut total,
                    inner,
                );
                match result {
                    BrotliResult::ResultFailure => Err(corrupt),
                    other => Ok(Step {
                        read,
                        written,
                        ended: matches!(other, BrotliResult::ResultSuccess),
                    }),
                }
            }
            State::Zstd(inner) => {
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around(self.out.as_mut_slice());
                let left = inner.run(&mut from, &mut to).map_err(|_| corrupt)?;
                let written = to.pos();
                Ok(Step {
                    read: from.pos(),
                    written,
                    ended: left == 0 && (from.pos() > 0 || written > 0),
                })
            }
        }
    }
}

fn start(coding: Coding) -> State {
    match coding {
        Coding::Gzip => State::GzipHead(GzipHead::new()),
        Coding::Deflate => State::DeflateHead(None),
        Coding::RawDeflate => State::Deflate(Decompress::new(false)),
        Coding::Brotli => State::Brotli(Box::new(BrotliState::new_strict(
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        ))),
        Coding::Zstd => match zstd::stream::raw::Decoder::new() {
            Ok(mut decoder) => match decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)) {
                Ok(()) => State::Zstd(decoder),
                Err(_) => State::Broken,
            },
            Err(_) => State::Broken,
        },
    }
}

/// RFC 1950 §2.2: method 8, and the two bytes as a number are a multiple of 31.
fn is_zlib([cmf, flags]: [u8; 2]) -> bool {
    cmf & 0x0f == 8 && (u16::from(cmf) << 8 | u16::from(flags)).is_multiple_of(31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    /// A brotli stream of one uncompressed block, by hand: the crate only decodes.
    fn stored_brotli(text: &[u8]) -> Vec<u8> {
        // WBITS 16 (0), then ISLAST 0, MNIBBLES 4 (00), MLEN-1 in 16 bits, ISUNCOMPRESSED 1, padded.
        let bits = (u32::try_from(text.len() - 1).unwrap() << 4) | 1 << 20;
        let mut out = bits.to_le_bytes()[..3].to_vec();
        out.extend_from_slice(text);
        out.push(0b11); // ISLAST, ISLASTEMPTY
        out
    }

    fn compress(coding: Coding, text: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::GzBuilder::new()
                    .filename("a.txt")
                    .comment("c")
                    .extra("xy")
                    .write(Vec::new(), Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Coding::RawDeflate => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Brotli => stored_brotli(text),
            Coding::Zstd => zstd::bulk::compress(text, 3).unwrap(),
        }
    }

    fn inflate(coding: Coding, chunks: &[&[u8]]) -> Result<(Vec<u8>, Progress), Corrupt> {
        let mut inflater = Inflater::new(coding);
        let mut out = Vec::new();
        let mut last = Progress::Open;
        for chunk in chunks {
            last = inflater.push(chunk, &mut |piece| {
                out.extend_from_slice(piece);
                ControlFlow::Continue(())
            })?;
        }
        Ok((out, last))
    }

    const ALL: [Coding; 5] = [
        Coding::Gzip,
        Coding::Deflate,
        Coding::RawDeflate,
        Coding::Brotli,
        Coding::Zstd,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn every_coding_is_undone_whatever_the_chunks(
            text in prop::collection::vec(any::<u8>(), 1..400),
            repeat in 1usize..80,
            size in 1usize..50,
        ) {
            let text = text.repeat(repeat);
            let text = &text[..text.len().min(60_000)];
            for coding in ALL {
                let packed = compress(coding, text);
                let chunks: Vec<&[u8]> = packed.chunks(size).collect();
                let (out, last) = inflate(coding, &chunks).unwrap();
                prop_assert!(out == text, "{coding:?}");
                prop_assert!(matches!(last, Progress::Ended(_)), "{coding:?}");
                let (_, last) = inflate(coding, &[&[&packed[..], b"more"].concat()]).unwrap();
                prop_assert_eq!(last, Progress::Ended(packed.len()));
            }
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), flip in any::<prop::sample::Index>()) {
            for coding in ALL {
                let _ = inflate(coding, &[&bytes]);
                let mut packed = compress(coding, b"some text, some text, some more text");
                let at = flip.index(packed.len());
                packed[at] ^= 0x55;
                let _ = inflate(coding, &[&packed, &bytes]);
            }
        }
    }

    #[test]
    fn what_is_decoded_leaves_as_early_as_the_format_allows() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"first event").unwrap();
        encoder.flush().unwrap();
        let packed = encoder.get_ref().clone();
        assert_eq!(inflate(Coding::Gzip, &[&packed]).unwrap().0, b"first event");
    }

    #[test]
    fn a_bare_stream_is_taken_for_http_s_deflate() {
        let packed = compress(Coding::RawDeflate, b"text text text");
        assert_eq!(inflate(Coding::Deflate, &[&packed]).unwrap().0, b"text text text");
    }

    #[test]
    fn a_bomb_is_stopped_by_whoever_takes_the_pieces() {
        let bomb = compress(Coding::Gzip, &vec![0; 50 << 20]);
        let mut taken = 0;
        let progress = Inflater::new(Coding::Gzip).push(&bomb, &mut |piece| {
            taken += piece.len();
            if taken > 1 << 20 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(progress, Ok(Progress::Stopped));
        assert!(taken <= (1 << 20) + PIECE);
    }

    #[test]
    fn content_encodings_are_known_by_their_tokens() {
        assert_eq!(Coding::from_token(" GZip"), Some(Coding::Gzip));
        assert_eq!(Coding::from_token("br"), Some(Coding::Brotli));
        assert_eq!(Coding::from_token("identity"), None);
    }
}
