//! Any text is read or refused; one that is changed still reads, says what was asked for, and keeps its comments.
#![no_main]

use contract::HostName;
use libfuzzer_sys::fuzz_target;
use pipelock_config::{DlpFile, PipelockFile, allow_host, edit, remove_host};

/// The comments that have a line of their own.
fn comments(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with('#')).collect()
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = PipelockFile::parse(bytes) {
        let _ = file.seat();
    }
    let _ = DlpFile::parse(bytes);
    let (Ok(text), Ok(host)) = (std::str::from_utf8(bytes), "new.example".parse::<HostName>()) else {
        return;
    };
    let Ok(allowed) = allow_host(text, &host) else { return };
    assert_eq!(edit::allows(&allowed, &host), Ok(true), "{allowed}");
    assert_eq!(comments(&allowed), comments(text), "{allowed}");
    if let Ok(removed) = remove_host(&allowed, &host) {
        assert_eq!(comments(&removed), comments(text), "{removed}");
        assert!(PipelockFile::parse(removed.as_bytes()).is_ok(), "{removed}");
    }
});
