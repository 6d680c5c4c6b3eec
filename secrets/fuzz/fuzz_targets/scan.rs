//! Any bytes are scanned, in both settings, and a finding is within what was scanned.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets::{Options, Scanner, Setting};
use std::sync::LazyLock;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::built_in().expect("tests see to it"));

fuzz_target!(|bytes: &[u8]| {
    for setting in [Setting::Traffic, Setting::Source] {
        let mut options = Options::new(setting);
        options.decoded_base = 1 << 20;
        for finding in SCANNER.scan(bytes, &options).unwrap_or_default() {
            assert!(finding.span.start < finding.span.end && finding.span.end <= bytes.len() as u64);
            assert!(finding.position(bytes).0 >= 1);
        }
    }
});
