//! A pkt-line that was read is the one that is written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| git_gate::fuzzing::lines(bytes));
