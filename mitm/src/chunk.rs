//! Following a chunked request body on its raw bytes, to know where it ends.
//!
//! hyper decodes the body; this only watches, and is stricter: no chunk extensions (nothing here has a use for
//! them, and readers differ over where they end), no white space, every line in CR LF. Where hyper would go on
//! reading, this agrees with it or has already refused.

/// The most digits of a chunk's size: hyper counts in 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the size line; how many digits there were.
    Size(u8),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    LineStart,
    /// Inside a trailer line.
    Line,
    LineLf,
    EndLf,
}

/// Follows one chunked body.
#[derive(Clone, Debug)]
pub(crate) struct ChunkFollower {
    at: At,
    /// Bytes left in this chunk.
    left: u64,
    /// Bytes that the trailer section may still have.
    trailer_left: usize,
}

/// What the bytes said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// All of them belong to the body, and it goes on.
    More,
    /// The body ended after this many of them.
    End(usize),
}

/// The body is not chunked in the one plain way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("a chunk's size is not a plain hexadecimal number followed by CR LF")]
    Size,
    #[error("a chunk's data is not followed by CR LF")]
    DataEnd,
    #[error("the trailer section is malformed or too long")]
    Trailer,
}

impl ChunkFollower {
    /// `trailer_bytes`: the most that the trailer section may have.
    pub(crate) fn new(trailer_bytes: usize) -> Self {
        Self {
            at: At::Size(0),
            left: 0,
            trailer_left: trailer_bytes,
        }
    }

    /// Looks at the next bytes of the body (and possibly beyond it).
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<Followed, ChunkError> {
        let mut position = 0;
        while let Some(&byte) = bytes.get(position) {
            if self.at == At::Data {
                let here = (bytes.len() - position) as u64;
                let step = here.min(self.left);
                self.left -= step;
                // Fits: it is at most what is left of `bytes`.
                position += usize::try_from(step).unwrap_or(usize::MAX);
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            position += 1;
            if self.step(byte)? {
                return Ok(Followed::End(position));
            }
        }
        Ok(Followed::More)
    }

    /// One byte outside chunk data. True when it was the last of the body.
    fn step(&mut self, byte: u8) -> Result<bool, ChunkError> {
        self.at = match (self.at, byte) {
            (At::Size(digits), _) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = (self.left << 4) | u64::from(digit);
                At::Size(digits + 1)
            }
            (At::Size(1..), b'\r') => At::SizeLf,
            (At::SizeLf, b'\n') if self.left == 0 => At::LineStart,
            (At::SizeLf, b'\n') => At::Data,
            (At::Size(_) | At::SizeLf, _) => return Err(ChunkError::Size),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size(0),
            (At::DataCr | At::DataLf | At::Data, _) => return Err(ChunkError::DataEnd),
            (At::LineStart, b'\r') => At::EndLf,
            (At::EndLf, b'\n') => return Ok(true),
            (At::Line, b'\r') => At::LineLf,
            (At::LineLf, b'\n') => At::LineStart,
            (At::LineLf | At::EndLf, _) => return Err(ChunkError::Trailer),
            // A folded trailer line, a bare LF, a NUL.
            (At::LineStart, b' ' | b'\t') | (_, b'\n' | 0) => return Err(ChunkError::Trailer),
            (At::LineStart | At::Line, _) => {
                self.trailer_left = self.trailer_left.checked_sub(1).ok_or(ChunkError::Trailer)?;
                At::Line
            }
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn follow(bytes: &[u8]) -> Result<Followed, ChunkError> {
        ChunkFollower::new(32).follow(bytes)
    }

    #[test]
    fn the_end_of_a_plain_body_is_found_and_what_follows_is_not_part_of_it() {
        assert_eq!(follow(b"0\r\n\r\nGET"), Ok(Followed::End(5)));
        assert_eq!(follow(b"3\r\nabc\r\n0\r\n\r\n"), Ok(Followed::End(13)));
        assert_eq!(
            follow(b"00a\r\n0123456789\r\n000\r\nX: y\r\n\r\nrest"),
            Ok(Followed::End(30))
        );
        assert_eq!(follow(b"3\r\nab"), Ok(Followed::More));
        assert_eq!(follow(b"5\r\n0\r\n\r\n\r\n0\r\n\r"), Ok(Followed::More));
    }

    #[test]
    fn what_others_read_differently_is_refused() {
        for (bytes, error) in [
            (&b"3;ext=1\r\nabc"[..], ChunkError::Size),
            (b"3 \r\nabc", ChunkError::Size),
            (b" 3\r\nabc", ChunkError::Size),
            (b"3\nabc", ChunkError::Size),
            (b"3\r\rabc", ChunkError::Size),
            (b"\r\n", ChunkError::Size),
            (b"0x3\r\nabc", ChunkError::Size),
            (b"-3\r\nabc", ChunkError::Size),
            (b"00000000000000003\r\nabc", ChunkError::Size),
            (b"3\r\nabcd\r\n", ChunkError::DataEnd),
            (b"3\r\nabc\n", ChunkError::DataEnd),
            (b"0\r\n\n", ChunkError::Trailer),
            (b"0\r\nX: y\n\r\n", ChunkError::Trailer),
            (b"0\r\n folded\r\n", ChunkError::Trailer),
            (b"0\r\nX: \0\r\n", ChunkError::Trailer),
            (b"0\r\n\r\r", ChunkError::Trailer),
            (
                b"0\r\nX: 0123456789012345678901234567890\r\n\r\n",
                ChunkError::Trailer,
            ),
        ] {
            assert_eq!(follow(bytes), Err(error), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_answer(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            tail in prop::collection::vec(any::<u8>(), 0..10),
            cuts in prop::collection::vec(0usize..300, 0..5),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\n");
            let end = wire.len();
            wire.extend(tail);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
            cuts.push(wire.len());
            cuts.sort_unstable();
            let mut follower = ChunkFollower::new(0);
            let mut from = 0;
            let mut found = None;
            for cut in cuts {
                if let Followed::End(at) = follower.follow(&wire[from..cut]).unwrap() {
                    found = Some(from + at);
                    break;
                }
                from = cut;
            }
            prop_assert_eq!(found, Some(end));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = follow(&bytes);
        }
    }
}
