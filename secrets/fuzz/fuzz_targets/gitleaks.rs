//! Rules from elsewhere are read or refused; those that are read can be scanned with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets::{Options, Scanner, Setting};

fuzz_target!(|input: (&str, &[u8])| {
    let Ok(imported) = secrets::gitleaks::parse(input.0) else {
        return;
    };
    if let Ok(scanner) = Scanner::new(imported.rules) {
        for finding in scanner
            .scan(input.1, &Options::new(Setting::Source))
            .unwrap_or_default()
        {
            assert!(finding.span.end <= input.1.len() as u64);
        }
    }
});
