//! No request's route leads elsewhere.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], Vec<(&[u8], &[u8])>)| git_gate::fuzzing::request(input.0, &input.1));
