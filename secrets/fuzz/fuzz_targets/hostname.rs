//! Any name has a score.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|host: &str| {
    let _ = secrets::hostname::score(host).is_suspicious();
});
