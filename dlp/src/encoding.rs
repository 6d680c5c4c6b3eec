//! Undoing a body's Content-Encoding while it streams.
//!
//! Codings may lie in each other, three deep. What comes out is bounded in bytes, overall and per byte that came in: past that
//! the body is a bomb, or at least not worth the work.

use std::ops::ControlFlow;
use std::sync::Arc;

use http::{HeaderMap, header};
use secrets::inflate::{Coding, Inflater, Progress};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refused::Refused;

/// So many codings may lie in each other.
const DEPTH: usize = 3;
/// Bytes that may come out however little came in.
const OUT_BASE: u64 = 64 << 20;
/// Bytes that may come out for each byte that came in, besides. Logs compress to a fiftieth; a bomb is at a thousandth.
const OUT_PER_BYTE: u64 = 128;

/// Memory that all decoders may take for their windows, KiB: a quarter of what the seat's container may use.
const WINDOWS_IN_ALL: usize = 128 * 1024;

/// The memory for windows, shared by all bodies of a seat.
#[derive(Debug, Clone)]
pub struct Windows(Arc<Semaphore>);

impl Default for Windows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WINDOWS_IN_ALL)))
    }
}

/// What a decoder keeps at most, KiB: the window that the format allows here, and its tables.
fn window(coding: Coding) -> u32 {
    match coding {
        Coding::Gzip | Coding::Deflate | Coding::RawDeflate => 64,
        Coding::Brotli => 16 * 1024 + 512,
        Coding::Zstd => 8 * 1024 + 512,
    }
}

/// The codings of a body, the outermost first: in the order in which they are undone.
///
/// # Errors
/// One is not known, or there are too many.
pub fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Refused> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| Refused::ContentEncoding)?;
        for token in value.split(',').map(str::trim) {
            if token.is_empty() || token.eq_ignore_ascii_case("identity") {
                continue;
            }
            codings.push(Coding::from_token(token).ok_or(Refused::ContentEncoding)?);
        }
    }
    // Of zstd in zstd nobody could say which bytes hold what was not told yet.
    let blocks = codings.iter().filter(|coding| **coding == Coding::Zstd).count();
    if codings.len() > DEPTH || blocks > 1 {
        return Err(Refused::ContentEncoding);
    }
    codings.reverse();
    Ok(codings)
}

/// Undoes a body's codings.
pub struct Decoder {
    layers: Vec<Inflater>,
    /// For each layer, whether its data ended and anything but another gzip member would be too much.
    ended: Vec<bool>,
    codings: Vec<Coding>,
    read: u64,
    written: u64,
    _window: OwnedSemaphorePermit,
}

// === impl Decoder ===

impl Decoder {
    /// For a body with these codings, of which there must be one at least.
    ///
    /// # Errors
    /// Those that are under way take all the memory there is for windows.
    pub fn new(codings: Vec<Coding>, windows: &Windows) -> Result<Self, Refused> {
        let needed = codings.iter().copied().map(window).sum();
        let window = Arc::clone(&windows.0).try_acquire_many_owned(needed);
        Ok(Self {
            _window: window.map_err(|_| Refused::DecodesTooMany)?,
            layers: codings.iter().map(|coding| Inflater::new(*coding)).collect(),
            ended: vec![false; codings.len()],
            codings,
            read: 0,
            written: 0,
        })
    }

    /// How many bytes came out so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes the next bytes and hands out what they decode to.
    pub fn push(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.read = self.read.saturating_add(bytes.len() as u64);
        let limit = OUT_BASE.saturating_add(self.read.saturating_mul(OUT_PER_BYTE));
        let mut written = self.written;
        let result = decode(
            &mut self.layers,
            &mut self.ended,
            &self.codings,
            bytes,
            &mut |piece| {
                written = written.saturating_add(piece.len() as u64);
                if written > limit {
                    return Err(Refused::TooMuchToDecode);
                }
                take(piece)
            },
        );
        self.written = written;
        result
    }

    /// The body is over.
    pub fn finish(&self) -> Result<(), Refused> {
        if self.read > 0 && !self.layers.iter().all(Inflater::at_boundary) {
            return Err(Refused::Malformed("its compressed data breaks off"));
        }
        Ok(())
    }
}

fn decode(
    layers: &mut [Inflater],
    ended: &mut [bool],
    codings: &[Coding],
    bytes: &[u8],
    take: &mut dyn FnMut(&[u8]) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let (Some((layer, inner)), Some((over, inner_over)), Some((coding, inner_codings))) = (
        layers.split_first_mut(),
        ended.split_first_mut(),
        codings.split_first(),
    ) else {
        return take(bytes);
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        // Only gzip and zstd may go on behind an end.
        if *over && !matches!(coding, Coding::Gzip | Coding::Zstd) {
            return Err(Refused::Malformed("there is more behind its compressed data"));
        }
        let mut failed = None;
        let progress =
            layer.push(
                rest,
                &mut |piece| match decode(inner, inner_over, inner_codings, piece, take) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(refused) => {
                        failed = Some(refused);
                        ControlFlow::Break(())
                    }
                },
            );
        if let Some(refused) = failed {
            return Err(refused);
        }
        match progress {
            Err(_) => return Err(Refused::Malformed("it is not what its Content-Encoding says")),
            Ok(Progress::Open | Progress::Stopped) => return Ok(()),
            Ok(Progress::Ended(at)) => {
                *over = true;
                rest = rest.get(at..).unwrap_or_default();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(codings: Vec<Coding>, body: &[u8], step: usize) -> Result<Vec<u8>, Refused> {
        let mut decoder = Decoder::new(codings, &Windows::default())?;
        let mut out = Vec::new();
        for piece in body.chunks(step) {
            decoder.push(piece, &mut |bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        decoder.finish()?;
        Ok(out)
    }

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, value.parse().unwrap());
        headers
    }

    #[test]
    fn codings_are_undone_in_the_order_in_which_they_lie_in_each_other() {
        assert_eq!(
            codings(&headers("br, gzip")).unwrap(),
            [Coding::Gzip, Coding::Brotli]
        );
        assert_eq!(codings(&headers("identity")).unwrap(), []);
        for bad in [
            "compress",
            "gzip, unknown",
            "gzip,gzip,gzip,gzip",
            "zstd, zstd",
            "\u{e9}",
        ] {
            let value = http::HeaderValue::from_bytes(bad.as_bytes()).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, value);
            assert_eq!(codings(&headers), Err(Refused::ContentEncoding), "{bad}");
        }
    }

    #[test]
    fn layers_and_members_are_undone_whatever_the_pieces() {
        let body = [gzip(&gzip(b"one")), gzip(&gzip(b"two"))].concat();
        for step in [1, 7, 4096] {
            assert_eq!(decoded(vec![Coding::Gzip; 2], &body, step).unwrap(), b"onetwo");
        }
    }

    #[test]
    fn what_breaks_off_or_is_something_else_is_named() {
        let body = gzip(b"some text");
        let short = body.get(..body.len() - 3).unwrap();
        for bad in [short, b"plain text", &[body.as_slice(), b"tail"].concat()] {
            assert!(matches!(
                decoded(vec![Coding::Gzip], bad, 5),
                Err(Refused::Malformed(_))
            ));
        }
    }

    #[test]
    fn all_decoders_together_take_a_bounded_amount_of_memory() {
        let windows = Windows::default();
        for (codings, most) in [
            (vec![Coding::Brotli], 7),
            (vec![Coding::Zstd], 15),
            (vec![Coding::Brotli, Coding::Zstd, Coding::Gzip], 5),
            (vec![Coding::Gzip], 2048),
        ] {
            let open: Vec<Decoder> = (0..3000)
                .map_while(|_| Decoder::new(codings.clone(), &windows).ok())
                .collect();
            assert_eq!(open.len(), most, "{codings:?}");
            let refused = Decoder::new(codings, &windows).err();
            assert_eq!(refused, Some(Refused::DecodesTooMany));
        }
    }

    #[test]
    fn a_bomb_is_given_up_after_a_bounded_amount_of_work() {
        let bomb = gzip(&gzip(&vec![0; 96 << 20]));
        assert_eq!(
            decoded(vec![Coding::Gzip; 2], &bomb, 4096),
            Err(Refused::TooMuchToDecode)
        );
    }
}
