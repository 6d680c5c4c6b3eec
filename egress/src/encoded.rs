//! Looking into a compressed response: it is undone beside the stream, and forwarded as it came.
//!
//! A piece may go on when everything that it decodes to may: none of it is part of what could still become a credential. What
//! does not decode, ends inside, or swells beyond all measure is refused, for nobody knows what it says. The upstream is offered
//! only what is undone here.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};
use mitm::Released;
use secrets::inflate::{Coding, Inflater, Progress};
use secrets::known::{KnownValues, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refused::Refused;

/// Responses in brotli that may be under way at one time: each may ask for a window of 16 MiB.
const BROTLI_AT_ONCE: usize = 16;

/// A response may decode to so many times its own size (what deflate reaches in text is some 20), once it is longer than
/// [`ANY_RATIO`] bytes.
const RATIO: u64 = 256;
const ANY_RATIO: u64 = 4 * 1024 * 1024;

/// What can be undone, shared by all responses of a guard.
#[derive(Debug, Clone)]
pub struct Decoders(Arc<Semaphore>);

/// How a response's body is written.
pub enum Encoding {
    /// As it is.
    Plain,
    /// In one coding that can be undone.
    Coded(Decoder),
}

/// Undoes one body.
pub struct Decoder {
    inflater: Inflater,
    coding: Coding,
    taken: u64,
    made: u64,
    /// One of few, for a coding that takes much memory.
    _slot: Option<OwnedSemaphorePermit>,
}

/// Looks for credentials in one compressed body.
pub struct EncodedTripwire {
    decoder: Decoder,
    stream: Stream,
    /// Pieces that wait, each with how much has been decoded at its end.
    held: VecDeque<(u64, Bytes)>,
}

// === impl Decoders ===

impl Default for Decoders {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BROTLI_AT_ONCE)))
    }
}

impl Decoders {
    /// Offers the upstream what of the agent's own offer is undone here.
    pub fn narrow(&self, headers: &mut HeaderMap) {
        let brotli = self.0.available_permits() > 0;
        let mut offer = String::new();
        for token in tokens(headers, &ACCEPT_ENCODING) {
            let name = token.split(';').next().unwrap_or_default().trim();
            let undone = matches!(Coding::from_token(name), Some(Coding::Gzip | Coding::Deflate))
                || (brotli && Coding::from_token(name) == Some(Coding::Brotli));
            if undone {
                if !offer.is_empty() {
                    offer.push_str(", ");
                }
                offer.push_str(token);
            }
        }
        let offer = HeaderValue::try_from(offer)
            .ok()
            .filter(|offer| !offer.is_empty());
        headers.insert(
            ACCEPT_ENCODING,
            offer.unwrap_or(HeaderValue::from_static("identity")),
        );
    }

    /// What a response with these headers is written in.
    pub fn of(&self, headers: &HeaderMap) -> Result<Encoding, Refused> {
        let fields = headers.get_all(CONTENT_ENCODING).iter().count();
        let mut named =
            tokens(headers, &CONTENT_ENCODING).filter(|token| !token.eq_ignore_ascii_case("identity"));
        let coding = match (named.next(), named.next()) {
            // One that is no text is none that is known.
            (None, _) if fields == 0 || tokens(headers, &CONTENT_ENCODING).next().is_some() => {
                return Ok(Encoding::Plain);
            }
            (Some(one), None) => Coding::from_token(one),
            _ => None,
        };
        let slot = match coding {
            Some(Coding::Gzip | Coding::Deflate) => None,
            Some(Coding::Brotli) => {
                let slot = Arc::clone(&self.0).try_acquire_owned();
                Some(slot.map_err(|_| Refused::HeldTooMuch)?)
            }
            _ => return Err(Refused::ResponseEncoding),
        };
        let coding = coding.unwrap_or(Coding::Gzip);
        Ok(Encoding::Coded(Decoder {
            inflater: Inflater::new(coding),
            coding,
            taken: 0,
            made: 0,
            _slot: slot,
        }))
    }
}

/// The members of a list field.
fn tokens<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

// === impl Decoder ===

impl Decoder {
    fn push(&mut self, data: &[u8], take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Refused> {
        self.taken += data.len() as u64;
        let most = ANY_RATIO.saturating_add(self.taken.saturating_mul(RATIO));
        let mut rest = data;
        while !rest.is_empty() {
            let mut swollen = false;
            let made = &mut self.made;
            let progress = self.inflater.push(rest, &mut |piece| {
                *made += piece.len() as u64;
                swollen = *made > most;
                if swollen {
                    ControlFlow::Break(())
                } else {
                    take(piece)
                }
            });
            match progress {
                Ok(Progress::Open) => return Ok(()),
                Ok(Progress::Stopped) if swollen => return Err(Refused::ResponseEncoding),
                Ok(Progress::Stopped) => return Err(Refused::CredentialInResponse),
                // Only gzip has more than one member.
                Ok(Progress::Ended(at)) if self.coding == Coding::Gzip || at == rest.len() => {
                    rest = rest.get(at..).unwrap_or_default();
                }
                Ok(Progress::Ended(_)) | Err(_) => return Err(Refused::ResponseEncoding),
            }
        }
        Ok(())
    }
}

// === impl EncodedTripwire ===

impl EncodedTripwire {
    /// For one body.
    pub fn new(decoder: Decoder, values: &KnownValues) -> Self {
        Self {
            decoder,
            stream: values.stream(),
            held: VecDeque::new(),
        }
    }

    /// The next piece: lets through what decodes to nothing that may be part of a credential.
    pub fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Refused> {
        let mut alive = None;
        let stream = &mut self.stream;
        self.decoder.push(&data, &mut |piece| match stream.push(piece) {
            Ok(may_begin_one) => {
                alive = Some(may_begin_one);
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Break(()),
        })?;
        self.held.push_back((self.decoder.made, data));
        // Nothing new was decoded: whatever is held waits for the same as before.
        if let Some(alive) = alive {
            let free = self.decoder.made.saturating_sub(alive as u64);
            self.release(free, released);
        } else if self.held.len() == 1 {
            self.release(self.decoder.made, released);
        }
        Ok(())
    }

    /// The body is complete.
    pub fn finish(&mut self, released: &mut Released) -> Result<(), Refused> {
        if !self.decoder.inflater.at_boundary() {
            return Err(Refused::ResponseEncoding);
        }
        self.stream.finish().map_err(|_| Refused::CredentialInResponse)?;
        self.release(u64::MAX, released);
        Ok(())
    }

    fn release(&mut self, free: u64, released: &mut Released) {
        while self.held.front().is_some_and(|(end, _)| *end <= free) {
            if let Some((_, piece)) = self.held.pop_front() {
                released.push(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tripwire::Tripwire;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::sync::LazyLock;

    const VALUE: &str = "sk-live/4bF+9xQ2_tZ7";
    // Takes long to make, in a build without optimization.
    static TRIPWIRE: LazyLock<Tripwire> = LazyLock::new(|| Tripwire::of([VALUE.as_bytes()]));

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// One stored block of brotli (RFC 7932 §9): a window of 64 KiB, not the last, 4 nibbles of length, uncompressed; then the end.
    fn brotli(text: &[u8]) -> Vec<u8> {
        let Some(length) = text.len().checked_sub(1) else {
            return vec![0x06];
        };
        let head = u32::try_from(length).unwrap() << 4 | 1 << 20;
        [&head.to_le_bytes()[..3], text, b"\x03"].concat()
    }

    fn headers(name: http::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn of(values: &[&str]) -> Result<Encoding, Refused> {
        Decoders::default().of(&headers(CONTENT_ENCODING, values))
    }

    /// What leaves of a body that comes in pieces of this size.
    fn passed(coding: &str, body: &[u8], size: usize) -> Result<Vec<u8>, (Refused, Vec<u8>)> {
        let Ok(Encoding::Coded(decoder)) = of(&[coding]) else {
            panic!("{coding}")
        };
        let mut tripwire = TRIPWIRE.encoded(decoder);
        let mut released = Released::default();
        let mut out = Vec::new();
        for piece in body.chunks(size) {
            let pushed = tripwire.push(Bytes::copy_from_slice(piece), &mut released);
            if let Err(refused) = pushed {
                return Err((refused, out));
            }
            out.extend(released.by_ref().flatten());
        }
        match tripwire.finish(&mut released) {
            Ok(()) => {
                out.extend(released.flatten());
                Ok(out)
            }
            Err(refused) => Err((refused, out)),
        }
    }

    #[test]
    fn only_what_is_undone_here_is_offered() {
        for (agents, offered) in [
            (&["gzip, deflate, br, zstd"][..], "gzip, deflate, br"),
            (&["br;q=1.0", "gzip;q=0.8, *;q=0.1"], "br;q=1.0, gzip;q=0.8"),
            (&["zstd"], "identity"),
            (&["*"], "identity"),
            (&[], "identity"),
        ] {
            let mut sent = headers(ACCEPT_ENCODING, agents);
            Decoders::default().narrow(&mut sent);
            assert_eq!(sent.get_all(ACCEPT_ENCODING).iter().count(), 1);
            assert_eq!(sent[ACCEPT_ENCODING], offered, "{agents:?}");
        }
    }

    #[test]
    fn what_is_not_known_or_layered_is_refused() {
        for values in [&[][..], &["identity"], &["Identity, identity"]] {
            assert!(matches!(of(values), Ok(Encoding::Plain)), "{values:?}");
        }
        for values in [&["gzip"][..], &["GZIP"], &["identity", "br"], &["deflate"]] {
            assert!(matches!(of(values), Ok(Encoding::Coded(_))), "{values:?}");
        }
        for values in [
            &["zstd"][..],
            &["gzip, gzip"],
            &["gzip", "br"],
            &["aes128gcm"],
            &[""],
        ] {
            assert_eq!(of(values).err(), Some(Refused::ResponseEncoding), "{values:?}");
        }
        let mut odd = HeaderMap::new();
        odd.insert(CONTENT_ENCODING, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(
            Decoders::default().of(&odd).err(),
            Some(Refused::ResponseEncoding)
        );
    }

    #[test]
    fn so_many_brotli_windows_and_no_more() {
        let decoders = Decoders::default();
        let brotli = headers(CONTENT_ENCODING, &["br"]);
        let held: Vec<_> = (0..BROTLI_AT_ONCE)
            .map(|_| decoders.of(&brotli).unwrap())
            .collect();
        assert_eq!(decoders.of(&brotli).err(), Some(Refused::HeldTooMuch));
        let mut sent = headers(ACCEPT_ENCODING, &["br, gzip"]);
        decoders.narrow(&mut sent);
        assert_eq!(sent[ACCEPT_ENCODING], "gzip");
        drop(held);
        assert!(decoders.of(&brotli).is_ok());
    }

    #[test]
    fn a_body_that_is_broken_unfinished_or_swells_is_refused() {
        let good = gzip(b"hello");
        let unfinished = &good[..good.len() - 1];
        let trailing = [zlib(b"x"), b"more".to_vec()].concat();
        let swelling = gzip(&vec![0; 16 * 1024 * 1024]);
        for (coding, body) in [
            ("gzip", &b"no gzip"[..]),
            ("gzip", unfinished),
            ("deflate", &trailing),
            ("gzip", &swelling),
            ("br", b"\xff\xff\xff"),
        ] {
            let refused = passed(coding, body, 1000).unwrap_err().0;
            assert_eq!(refused, Refused::ResponseEncoding, "{coding}");
        }
        let two = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(passed("gzip", &two, 3).unwrap(), two);
    }

    #[test]
    fn an_event_that_is_flushed_leaves_at_once() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let Ok(Encoding::Coded(decoder)) = of(&["gzip"]) else {
            panic!("gzip")
        };
        let mut tripwire = TRIPWIRE.encoded(decoder);
        for number in 0..3 {
            write!(encoder, "data: {number}\n\n").unwrap();
            encoder.flush().unwrap();
            let piece: Bytes = std::mem::take(encoder.get_mut()).into();
            let mut released = Released::default();
            tripwire.push(piece.clone(), &mut released).unwrap();
            assert_eq!(released.flatten().collect::<Vec<u8>>(), piece);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_body_passes_as_it_came_unless_it_says_a_credential(
            before in "[ -~]{0,200}",
            after in "[ -~]{0,200}",
            size in 1usize..300,
            which in 0usize..3,
        ) {
            let write = |text: &str| match which {
                0 => ("gzip", gzip(text.as_bytes())),
                1 => ("deflate", zlib(text.as_bytes())),
                _ => ("br", brotli(text.as_bytes())),
            };
            let (coding, harmless) = write(&format!("{before}{after}"));
            prop_assert_eq!(passed(coding, &harmless, size).unwrap(), harmless);
            let (coding, telling) = write(&format!("{before}{VALUE}{after}"));
            let (refused, left) = passed(coding, &telling, size).unwrap_err();
            prop_assert_eq!(refused, Refused::CredentialInResponse);
            // What left does not decode to it.
            let mut said = Vec::new();
            let mut inflater = Inflater::new(Coding::from_token(coding).unwrap());
            let _ = inflater.push(&left, &mut |piece| {
                said.extend_from_slice(piece);
                ControlFlow::Continue(())
            });
            prop_assert!(!String::from_utf8_lossy(&said).contains(VALUE));
        }
    }
}
