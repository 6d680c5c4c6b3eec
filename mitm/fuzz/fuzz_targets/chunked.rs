//! A chunked body has one end, wherever it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8)| mitm::fuzzing::chunked(input.0, input.1.into()));
