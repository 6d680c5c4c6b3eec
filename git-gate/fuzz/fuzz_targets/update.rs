//! An update of a ref is the line that it was read from.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| git_gate::fuzzing::update(bytes));
