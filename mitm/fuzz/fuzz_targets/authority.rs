//! An authority that is accepted reads back as itself, and is the input but for case and the spelling of IPv6.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mitm::Authority;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(authority) = Authority::parse_connect(bytes) {
        let text = authority.to_string();
        assert_eq!(Authority::parse_connect(text.as_bytes()), Ok(authority));
        assert!(bytes.starts_with(b"[") || bytes.eq_ignore_ascii_case(text.as_bytes()));
    }
});
