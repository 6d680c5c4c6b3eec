//! A request head has one reading, wherever it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8)| mitm::fuzzing::head(input.0, input.1.into()));
