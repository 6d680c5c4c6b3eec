//! Takes "erase the line" out of what `compose logs` writes: v2 puts it before every line, whatever `--ansi` and `--no-color` say
//! (seen in 2.26).

/// `CSI 2 K` (ECMA-48).
const ERASE_LINE: &[u8] = b"\x1b[2K";

/// A stream without it, however the stream is cut.
#[derive(Default)]
pub(super) struct WithoutErase {
    /// How many bytes of [`ERASE_LINE`] the last bytes so far are.
    matched: usize,
}

impl WithoutErase {
    /// The next bytes, without it. What may be the beginning of it is held back until more is known.
    pub(super) fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if ERASE_LINE.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == ERASE_LINE.len() {
                    self.matched = 0;
                }
                continue;
            }
            kept.extend(ERASE_LINE.iter().take(self.matched));
            // No proper beginning of the sequence is also its end, so only this byte can begin it anew.
            self.matched = usize::from(ERASE_LINE.first() == Some(byte));
            if self.matched == 0 {
                kept.push(*byte);
            }
        }
        kept
    }

    /// What was held back.
    pub(super) fn end(self) -> Vec<u8> {
        ERASE_LINE.iter().copied().take(self.matched).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_the_sequence_goes_however_the_stream_is_cut(
            parts in proptest::collection::vec(prop_oneof![
                Just(ERASE_LINE.to_vec()),
                Just(b"\x1b[".to_vec()),
                Just(b"\x1b[2".to_vec()),
                Just(b"\x1b[31m".to_vec()),
                "[a-zK2\\[]{0,6}".prop_map(String::into_bytes),
            ], 0..12),
            cut in 1usize..9,
        ) {
            let whole: Vec<u8> = parts.concat();
            let text = String::from_utf8(whole.clone()).unwrap();
            let mut filter = WithoutErase::default();
            let mut kept: Vec<u8> = whole.chunks(cut).flat_map(|piece| filter.filter(piece)).collect();
            kept.extend(filter.end());
            prop_assert_eq!(String::from_utf8(kept).unwrap(), text.replace("\x1b[2K", ""));
        }
    }
}
