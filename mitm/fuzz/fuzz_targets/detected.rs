//! What follows CONNECT is decided soon, and for good.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mitm::fuzzing::detected(bytes));
