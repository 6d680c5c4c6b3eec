//! A request's body is judged alike, whole and in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| dlp::fuzzing::body(input.0, input.2, input.1));
