//! Docker's multiplexed streams: an 8-byte header (stream, three zeros, length big-endian), then that many bytes.
//!
//! Reads them as they come, in any cut. Nothing is decoded as text here.

use bytes::{Buf as _, Bytes, BytesMut};

/// Which stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output (Docker also numbers standard input; nothing sends it).
    Out,
    /// Standard error.
    Error,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the engine sent a frame for stream {0}; there are only 0, 1 and 2")]
pub struct NotAFrame(u8);

/// Takes bytes, gives frames; a long frame is given in pieces, so that nothing is held back.
#[derive(Default)]
pub struct Frames {
    pending: BytesMut,
    /// The stream and the bytes left of the frame under way.
    under_way: Option<(Stream, usize)>,
}

impl Frames {
    /// More bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next piece, if a whole header and at least one byte after it are there.
    pub fn next_piece(&mut self) -> Result<Option<(Stream, Bytes)>, NotAFrame> {
        loop {
            if let Some((stream, left)) = self.under_way {
                if left == 0 {
                    self.under_way = None;
                    continue;
                }
                let take = left.min(self.pending.len());
                if take == 0 {
                    return Ok(None);
                }
                self.under_way = Some((stream, left - take));
                return Ok(Some((stream, self.pending.split_to(take).freeze())));
            }
            if self.pending.len() < 8 {
                return Ok(None);
            }
            let stream = match self.pending.get_u8() {
                0 | 1 => Stream::Out,
                2 => Stream::Error,
                other => return Err(NotAFrame(other)),
            };
            self.pending.advance(3);
            // A u32 fits a usize on every platform that Docker runs on.
            let length = self.pending.get_u32() as usize;
            self.under_way = Some((stream, length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(stream: u8, bytes: &[u8]) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        frame.extend(bytes);
        frame
    }

    fn all(frames: &mut Frames, out: &mut Vec<u8>, error: &mut Vec<u8>) -> Result<(), NotAFrame> {
        while let Some((stream, bytes)) = frames.next_piece()? {
            match stream {
                Stream::Out => out.extend(bytes),
                Stream::Error => error.extend(bytes),
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_both_outputs_come_out_whole(
            sent in proptest::collection::vec((1u8..=2, proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
            cut in 1usize..30,
        ) {
            let wire: Vec<u8> = sent.iter().flat_map(|(stream, bytes)| frame(*stream, bytes)).collect();
            let expected = |which: u8| -> Vec<u8> {
                sent.iter().filter(|(stream, _)| *stream == which).flat_map(|(_, bytes)| bytes.clone()).collect()
            };
            let (mut frames, mut out, mut error) = (Frames::default(), Vec::new(), Vec::new());
            for piece in wire.chunks(cut) {
                frames.push(piece);
                all(&mut frames, &mut out, &mut error).unwrap();
            }
            prop_assert_eq!(out, expected(1));
            prop_assert_eq!(error, expected(2));
        }

        #[test]
        fn no_bytes_make_it_panic(wire in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::default();
            frames.push(&wire);
            let _ = all(&mut frames, &mut Vec::new(), &mut Vec::new());
        }
    }

    #[test]
    fn a_frame_for_an_unknown_stream_is_refused() {
        let mut frames = Frames::default();
        frames.push(&frame(7, b"x"));
        assert_eq!(frames.next_piece(), Err(NotAFrame(7)));
    }

    #[test]
    fn a_long_frame_is_given_as_it_comes() {
        let mut frames = Frames::default();
        frames.push(&[1, 0, 0, 0, 0, 0, 0, 200, b'a', b'b']);
        assert_eq!(
            frames.next_piece(),
            Ok(Some((Stream::Out, Bytes::from_static(b"ab"))))
        );
        assert_eq!(frames.next_piece(), Ok(None));
    }
}
