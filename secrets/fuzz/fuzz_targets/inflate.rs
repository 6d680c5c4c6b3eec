//! Compressed bytes have one reading, wherever they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets::inflate::{Coding, Inflater, Progress};
use std::ops::ControlFlow;

/// What came out, and whether it ended well.
fn inflated(coding: Coding, bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
    const MOST: usize = 1 << 20;
    let (mut inflater, mut out) = (Inflater::new(coding), Vec::new());
    for mut chunk in bytes.chunks(size) {
        while !chunk.is_empty() {
            let pushed = inflater.push(chunk, &mut |piece| {
                out.extend_from_slice(piece);
                match out.len() > MOST {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            chunk = match pushed {
                _ if out.len() > MOST => return (out, false),
                // Another member follows.
                Ok(Progress::Ended(at)) if at > 0 => &chunk[at..],
                Ok(_) => &[],
                Err(_) => return (out, false),
            };
        }
    }
    (out, true)
}

fuzz_target!(|input: (&[u8], u8, u8)| {
    let codings = [
        Coding::Gzip,
        Coding::Deflate,
        Coding::RawDeflate,
        Coding::Brotli,
        Coding::Zstd,
    ];
    let coding = codings[usize::from(input.1) % codings.len()];
    let (whole, well) = inflated(coding, input.0, input.0.len().max(1));
    let (parts, also) = inflated(coding, input.0, usize::from(input.2) + 1);
    assert_eq!(well, also);
    assert!(!well || whole == parts);
});
