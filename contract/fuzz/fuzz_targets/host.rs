//! A host name that is accepted is canonical, is no IP address in any spelling, and stays what it is.
#![no_main]

use contract::HostName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(host) = text.parse::<HostName>() {
        let canonical = host.as_str();
        assert_eq!(canonical.parse::<HostName>().as_ref(), Ok(&host));
        assert!(canonical.parse::<std::net::IpAddr>().is_err());
        assert!(canonical.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)));
    }
});
