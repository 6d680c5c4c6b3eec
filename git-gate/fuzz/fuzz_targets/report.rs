//! What `git push --porcelain` reports names no ref that is not in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| git_gate::fuzzing::report(text));
