//! A tree has here the entries that libgit2 sees.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    git_gate::fuzzing::tree(raw);
});
