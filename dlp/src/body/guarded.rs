//! A body's text on its way through the scanner, with an eye on what would make others read it differently.
//!
//! JSON is UTF-8, or it is read in more than one way; nesting and part counts that no honest client sends are named instead of
//! being carried. A form may hold any bytes: `curl --data-binary` calls every file one, and the scanner looks at it as it stands.

use memchr::memmem::Finder;

use super::Form;
use crate::examiner::TextScan;
use crate::refused::Refused;

/// JSON may be nested so deep; the deepest that common parsers take is 512 (Python's is about 1000, Go's 10,000).
const DEPTH: usize = 512;
/// A multipart body may have so many parts. Browsers and servers stop at 1,000 to 10,000.
const PARTS: usize = 10_000;

/// A text under watch.
pub(super) struct Guarded {
    scan: TextScan,
    watch: Watch,
}

enum Watch {
    Json {
        depth: usize,
        in_string: bool,
        escaped: bool,
        utf8: Utf8,
    },
    Multipart {
        boundary: Box<Finder<'static>>,
        /// The last bytes, for a boundary that is split.
        tail: Vec<u8>,
        parts: usize,
    },
    Nothing,
}

/// Whether a text in pieces is UTF-8: the bytes of a character that has begun.
#[derive(Default)]
struct Utf8 {
    begun: Vec<u8>,
}

const NOT_UTF8: Refused = Refused::Malformed("it is not UTF-8");

// === impl Guarded ===

impl Guarded {
    pub(super) fn new(scan: TextScan, form: &Form) -> Self {
        let watch = match form {
            Form::Json | Form::JsonLines => Watch::Json {
                depth: 0,
                in_string: false,
                escaped: false,
                utf8: Utf8::default(),
            },
            Form::Multipart(boundary) => Watch::Multipart {
                boundary: Box::new(Finder::new(&[b"--", boundary.as_slice()].concat()).into_owned()),
                tail: Vec::new(),
                parts: 0,
            },
            Form::Urlencoded | Form::Other => Watch::Nothing,
        };
        Self { scan, watch }
    }

    /// Gives how many of the bytes so far, counted from the last, must not leave yet.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        self.watch.push(bytes)?;
        self.scan.push(bytes)
    }

    pub(super) fn finish(&mut self) -> Result<(), Refused> {
        match &self.watch {
            Watch::Json { utf8, .. } if !utf8.begun.is_empty() => Err(NOT_UTF8),
            _ => self.scan.finish(),
        }
    }
}

// === impl Watch ===

impl Watch {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Nothing => Ok(()),
            Self::Json {
                depth,
                in_string,
                escaped,
                utf8,
            } => {
                utf8.push(bytes)?;
                let deepest = nesting(bytes, depth, in_string, escaped);
                if deepest > DEPTH {
                    return Err(Refused::Malformed("its JSON is nested too deep"));
                }
                Ok(())
            }
            Self::Multipart {
                boundary,
                tail,
                parts,
            } => {
                *parts += count(boundary, tail, bytes);
                if *parts > PARTS {
                    return Err(Refused::Malformed("it has too many parts"));
                }
                Ok(())
            }
        }
    }
}

/// Follows brackets outside strings; gives how deep it was at the deepest.
fn nesting(bytes: &[u8], depth: &mut usize, in_string: &mut bool, escaped: &mut bool) -> usize {
    let mut deepest = *depth;
    let mut rest = bytes;
    while !rest.is_empty() {
        if *in_string {
            if *escaped {
                *escaped = false;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let Some(at) = memchr::memchr2(b'"', b'\\', rest) else {
                break;
            };
            *escaped = rest.get(at) == Some(&b'\\');
            *in_string = *escaped;
            rest = rest.get(at + 1..).unwrap_or_default();
            continue;
        }
        let Some((byte, after)) = rest.split_first() else {
            break;
        };
        match byte {
            b'"' => *in_string = true,
            b'{' | b'[' => {
                *depth += 1;
                deepest = deepest.max(*depth);
            }
            b'}' | b']' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        rest = after;
    }
    deepest
}

/// How many boundaries end in `bytes`, also those that began in what came before.
fn count(boundary: &Finder<'static>, tail: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let keep = boundary.needle().len() - 1;
    let seam = bytes.get(..keep.min(bytes.len())).unwrap_or_default();
    let mut across = std::mem::take(tail);
    let before = across.len();
    across.extend_from_slice(seam);
    let split = boundary
        .find_iter(&across)
        .filter(|at| *at < before && at + boundary.needle().len() > before)
        .count();
    let whole = boundary.find_iter(bytes).count();
    if bytes.len() >= keep {
        *tail = bytes.get(bytes.len() - keep..).unwrap_or_default().to_vec();
    } else {
        let from = across.len().saturating_sub(keep);
        *tail = across.split_off(from);
    }
    split + whole
}

// === impl Utf8 ===

impl Utf8 {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        while !self.begun.is_empty() {
            let Some((byte, after)) = rest.split_first() else {
                return Ok(());
            };
            self.begun.push(*byte);
            rest = after;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_some() => return Err(NOT_UTF8),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NOT_UTF8),
            Err(error) => {
                self.begun = rest.get(error.valid_up_to()..).unwrap_or_default().to_vec();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn brackets_in_strings_do_not_nest() {
        let (mut depth, mut in_string, mut escaped) = (0, false, false);
        let text = br#"{"a":"[[[[\"[[","b":[1,[2]]}"#;
        let mut deepest = 0;
        for byte in text.chunks(1) {
            deepest = deepest.max(nesting(byte, &mut depth, &mut in_string, &mut escaped));
        }
        assert_eq!((deepest, depth, in_string), (3, 0, false));
    }

    proptest! {
        #[test]
        fn a_text_in_pieces_is_utf8_exactly_when_it_is_as_a_whole(
            text in prop::collection::vec(prop_oneof![Just(b'a'), 0xc0..=0xf8u8, 0x80..=0xbfu8, Just(0xe2u8)], 0..12), step in 1..5usize
        ) {
            let mut utf8 = Utf8::default();
            let mut pieces = text.chunks(step).map(|piece| utf8.push(piece)).collect::<Vec<_>>();
            pieces.push(if utf8.begun.is_empty() { Ok(()) } else { Err(NOT_UTF8) });
            prop_assert_eq!(pieces.iter().all(Result::is_ok), std::str::from_utf8(&text).is_ok());
        }

        #[test]
        fn boundaries_are_counted_whatever_the_pieces(
            parts in prop::collection::vec("[-bx\r\n]{0,6}", 0..8), step in 1..9usize
        ) {
            let text = parts.join("--boundary");
            let finder = Finder::new(b"--boundary").into_owned();
            let mut tail = Vec::new();
            let counted: usize = text.as_bytes().chunks(step).map(|piece| count(&finder, &mut tail, piece)).sum();
            prop_assert_eq!(counted, finder.find_iter(text.as_bytes()).count());
        }
    }
}
