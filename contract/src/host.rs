//! Host names as a route names them: one exact DNS name.
//!
//! An IP address in any of the spellings that a resolver or a URL parser accepts (dotted, octal,
//! hexadecimal, a single integer, IPv6) is not a host name here: a guard that routes by name must
//! not be talked into dialling a number.

use crate::text::{harmless, validated_text};

/// Why a text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// the host name is empty
    #[error("the host name is empty")]
    Empty,
    /// longer than the 253 characters that DNS carries
    #[error("{0} characters long; a DNS name has at most 253")]
    TooLong(usize),
    /// a label is empty or longer than 63 characters
    #[error("`{0}` has a label that is empty or longer than 63 characters")]
    Label(String),
    /// a character outside letters, digits, hyphen, underscore and dot
    #[error("`{0}` has the character {1}; write a plain host name (an international name in its xn-- form)")]
    Character(String, String),
    /// a scheme, port or path came along
    #[error("`{0}` is more than a host name; write the host alone, without scheme, port, user or path")]
    MoreThanHost(String),
    /// a wildcard
    #[error("`{0}` is a wildcard; list each host by its own name")]
    Wildcard(String),
    /// an IP address in some spelling
    #[error("`{0}` is an IP address; a route names a host")]
    IpAddress(String),
    /// a label starts or ends with a hyphen
    #[error("`{0}` has a label that starts or ends with a hyphen")]
    Hyphen(String),
}

validated_text!(
    /// An exact DNS name: lower case, no trailing dot, 1–253 characters of `a–z 0–9 - _ .`, labels of
    /// 1–63; never an IP address in any spelling (source: RFC 1123 §2.1, WHATWG URL "ends in a number").
    HostName,
    HostNameError,
    check
);

fn check(text: &str) -> Result<String, HostNameError> {
    let shown = || harmless(text);
    if text.is_empty() {
        return Err(HostNameError::Empty);
    }
    if text.contains('*') {
        return Err(HostNameError::Wildcard(shown()));
    }
    if text.contains("://") || text.contains(['/', '@', '?', '#']) {
        return Err(HostNameError::MoreThanHost(shown()));
    }
    if text.starts_with('[') || text.parse::<std::net::IpAddr>().is_ok() {
        return Err(HostNameError::IpAddress(shown()));
    }
    if text.contains(':') {
        return Err(HostNameError::MoreThanHost(shown()));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.len() > 253 {
        return Err(HostNameError::TooLong(name.len()));
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')))
    {
        return Err(HostNameError::Character(
            shown(),
            format!("`{}`", harmless(&bad.to_string())),
        ));
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(HostNameError::Label(shown()));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(HostNameError::Hyphen(shown()));
        }
    }
    if ends_in_a_number(&name) {
        return Err(HostNameError::IpAddress(shown()));
    }
    Ok(name)
}

/// The WHATWG URL rule: a name whose last label is a decimal, octal or hexadecimal number is read
/// as an IPv4 address by URL parsers and by `inet_aton`.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    last.strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(text: &str) -> Result<HostName, HostNameError> {
        text.parse()
    }

    #[test]
    fn spelling_is_canonical() {
        assert_eq!(host("API.GitHub.com.").unwrap().as_str(), "api.github.com");
        assert_eq!(host("_dmarc.example.com").unwrap().as_str(), "_dmarc.example.com");
        assert_eq!(
            host("xn--bcher-kva.example").unwrap().as_str(),
            "xn--bcher-kva.example"
        );
    }

    #[test]
    fn every_spelling_of_an_ip_address_is_refused() {
        for text in [
            "1.2.3.4",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "1.2.3.0x4",
            "::1",
            "[::1]",
            "fe80::1%eth0",
            "0x",
            "1.2.3.4.",
        ] {
            assert!(
                matches!(
                    host(text),
                    Err(HostNameError::IpAddress(_) | HostNameError::MoreThanHost(_))
                ),
                "{text}: {:?}",
                host(text)
            );
        }
    }

    #[test]
    fn what_is_not_a_bare_host_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.com..",
            "http://a.com",
            "a.com/",
            "a.com:443",
            "user@a.com",
            "*.a.com",
            "a com",
            "a\0.com",
            "b\u{fc}cher.example",
            "-a.com",
            "a-.com",
            "a.com?x",
            "a.com#x",
            "a\u{200b}.com",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
        assert!(host(&"a.".repeat(127)).is_ok());
        assert!(host(&"a.".repeat(128)).is_err());
        assert!(host(&"a".repeat(64)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_canonical(text in "\\PC{0,80}|[a-zA-Z0-9._-]{0,80}") {
            if let Ok(host) = text.parse::<HostName>() {
                prop_assert_eq!(host.as_str().parse::<HostName>().unwrap(), host.clone());
                prop_assert!(host.as_str().parse::<std::net::IpAddr>().is_err());
                prop_assert!(!host.as_str().bytes().any(|b| b.is_ascii_uppercase()));
            }
        }
    }
}
