//! WebSocket frames have one reading, wherever they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8, bool)| mitm::fuzzing::frames(input.0, input.1.into(), input.2));
