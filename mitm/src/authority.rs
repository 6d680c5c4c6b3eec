//! `host[:port]` as it stands in CONNECT, `Host`, `:authority` and an absolute-form target.
//!
//! One parser for all of them, so that two spellings that a policy would read differently can never meet.
//! It refuses to repair: whatever has more than one reading (a NUL, user information, a trailing dot, an
//! octal or hexadecimal IPv4 address, a zone identifier, a port with a sign or a leading zero) is an error
//! that names the oddity. Letter case is the only thing it folds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The longest DNS name in its textual form (RFC 1035 §2.3.4, without the root's dot).
const MAX_NAME: usize = 253;
/// The longest label of a DNS name (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// A DNS name: lower-case ASCII, no trailing dot, every label 1–63 of `a-z 0-9 - _`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Arc<str>);

/// The host half of an [`Authority`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Dns(DnsName),
    Ip(IpAddr),
}

/// A host and a port: where a request wants to go.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: Host,
    pub port: u16,
}

/// Why an authority was refused. The text is fit for the agent: it says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("the host is empty")]
    EmptyHost,
    #[error("the port is missing: write host:port")]
    MissingPort,
    #[error("the port must be a decimal number from 1 to 65535 without sign or leading zero")]
    BadPort,
    #[error("a host name must not contain a NUL or another control byte")]
    ControlByte,
    #[error("a host name must be ASCII: write an internationalised name in its xn-- form")]
    NotAscii,
    #[error("user information (user:password@) is not allowed in an authority")]
    UserInformation,
    #[error("a host name may contain letters, digits, '-', '_' and '.' only")]
    BadCharacter,
    #[error("a host name must not contain an empty label or end in a dot")]
    EmptyLabel,
    #[error("a label of the host name starts or ends with '-'")]
    HyphenAtEdge,
    #[error("the host name is too long: at most 63 bytes in a label and 253 in all")]
    TooLong,
    #[error("a numeric host must be an IPv4 address in four plain decimal parts")]
    AmbiguousIpv4,
    #[error("a bracketed host must be an IPv6 address")]
    BadIpv6,
    #[error("an IPv6 zone identifier is not allowed")]
    ZoneIdentifier,
}

// === impl DnsName ===

impl DnsName {
    /// Parses a DNS name, and nothing that an address parser somewhere could take for an IPv4 address.
    pub fn parse(input: &[u8]) -> Result<Self, AuthorityError> {
        match Host::parse(input)? {
            Host::Dns(name) => Ok(name),
            Host::Ip(_) => Err(AuthorityError::AmbiguousIpv4),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

// === impl Host ===

impl Host {
    /// Parses a host without a port: a DNS name, a dotted-decimal IPv4 address or a bracketed IPv6 address.
    pub fn parse(input: &[u8]) -> Result<Self, AuthorityError> {
        if input.is_empty() {
            return Err(AuthorityError::EmptyHost);
        }
        refuse_foreign_bytes(input)?;
        let text = std::str::from_utf8(input).map_err(|_| AuthorityError::NotAscii)?;
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(AuthorityError::BadIpv6)?;
            return parse_ipv6(inner).map(|address| Host::Ip(IpAddr::V6(address)));
        }
        parse_name_or_ipv4(text)
    }

    pub fn dns(&self) -> Option<&DnsName> {
        match self {
            Host::Dns(name) => Some(name),
            Host::Ip(_) => None,
        }
    }
}

impl From<DnsName> for Host {
    fn from(name: DnsName) -> Self {
        Host::Dns(name)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Dns(name) => name.fmt(f),
            Host::Ip(IpAddr::V4(address)) => address.fmt(f),
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Authority ===

impl Authority {
    /// Parses `host:port` with the port mandatory, as CONNECT wants it (RFC 9110 §9.3.6).
    pub fn parse_connect(input: &[u8]) -> Result<Self, AuthorityError> {
        let (host, port) = split_port(input)?;
        // The host first: "what is wrong with the name" helps more than "no port".
        let host = Host::parse(host)?;
        Ok(Self {
            host,
            port: parse_port(port.ok_or(AuthorityError::MissingPort)?)?,
        })
    }

    /// Parses `host[:port]`; without a port it is `default_port`, which the scheme gives.
    pub fn parse(input: &[u8], default_port: u16) -> Result<Self, AuthorityError> {
        let (host, port) = split_port(input)?;
        let host = Host::parse(host)?;
        Ok(Self {
            host,
            port: port.map_or(Ok(default_port), parse_port)?,
        })
    }

    /// As it is written in a `Host` header: the port only when it is not the scheme's own.
    pub fn to_host_header(&self, default_port: u16) -> String {
        if self.port == default_port {
            self.host.to_string()
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === parsing ===

/// The bytes that have no place in any authority, each with its own reason.
fn refuse_foreign_bytes(input: &[u8]) -> Result<(), AuthorityError> {
    for &byte in input {
        match byte {
            0..0x20 | 0x7f => return Err(AuthorityError::ControlByte),
            0x80.. => return Err(AuthorityError::NotAscii),
            b'@' => return Err(AuthorityError::UserInformation),
            b'%' if input.first() == Some(&b'[') => return Err(AuthorityError::ZoneIdentifier),
            _ => {}
        }
    }
    Ok(())
}

fn split_port(input: &[u8]) -> Result<(&[u8], Option<&[u8]>), AuthorityError> {
    refuse_foreign_bytes(input)?;
    let host_end = if input.first() == Some(&b'[') {
        memchr::memchr(b']', input).ok_or(AuthorityError::BadIpv6)? + 1
    } else {
        memchr::memchr(b':', input).unwrap_or(input.len())
    };
    let (host, rest) = input.split_at(host_end);
    match rest.split_first() {
        None => Ok((host, None)),
        Some((b':', port)) => Ok((host, Some(port))),
        Some(_) => Err(AuthorityError::BadIpv6),
    }
}

fn parse_port(input: &[u8]) -> Result<u16, AuthorityError> {
    let plain = !input.is_empty()
        && input.len() <= 5
        && input.first() != Some(&b'0')
        && input.iter().all(u8::is_ascii_digit);
    if !plain {
        return Err(AuthorityError::BadPort);
    }
    std::str::from_utf8(input)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(AuthorityError::BadPort)
}

fn parse_ipv6(inner: &str) -> Result<Ipv6Addr, AuthorityError> {
    inner.parse().map_err(|_| AuthorityError::BadIpv6)
}

fn parse_name_or_ipv4(text: &str) -> Result<Host, AuthorityError> {
    if text.len() > MAX_NAME {
        return Err(AuthorityError::TooLong);
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        return Err(AuthorityError::BadCharacter);
    }
    let mut last = "";
    for label in text.split('.') {
        if label.is_empty() {
            return Err(AuthorityError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(AuthorityError::TooLong);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(AuthorityError::HyphenAtEdge);
        }
        last = label;
    }
    if reads_as_number(last) {
        // Whatever an address parser might read as IPv4 (127.1, 0x7f.0.0.1, 2130706433, 010.0.0.1) is
        // either the one canonical spelling or refused. std's parser takes no other spelling.
        let address: Ipv4Addr = text.parse().map_err(|_| AuthorityError::AmbiguousIpv4)?;
        return Ok(Host::Ip(IpAddr::V4(address)));
    }
    Ok(Host::Dns(DnsName(text.to_ascii_lowercase().into())))
}

/// Whether a last label makes the whole host an IPv4 address for the URL standard's "ends in a number".
fn reads_as_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    hex.map_or_else(
        || label.bytes().all(|byte| byte.is_ascii_digit()),
        |digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn connect(text: &str) -> Result<String, AuthorityError> {
        Authority::parse_connect(text.as_bytes()).map(|authority| authority.to_string())
    }

    #[test]
    fn plain_authorities_are_read_and_lower_cased() {
        assert_eq!(connect("API.GitHub.com:443").unwrap(), "api.github.com:443");
        assert_eq!(connect("127.0.0.1:80").unwrap(), "127.0.0.1:80");
        assert_eq!(connect("[::1]:8443").unwrap(), "[::1]:8443");
        assert_eq!(connect("xn--mnchen-3ya.de:443").unwrap(), "xn--mnchen-3ya.de:443");
        assert_eq!(connect("_dmarc.a_b.example:1").unwrap(), "_dmarc.a_b.example:1");
    }

    #[test]
    fn every_oddity_is_refused_by_its_own_name() {
        use AuthorityError as E;
        for (text, error) in [
            ("", E::EmptyHost),
            (":443", E::EmptyHost),
            ("github.com", E::MissingPort),
            ("github.com:", E::BadPort),
            ("github.com:0", E::BadPort),
            ("github.com:0443", E::BadPort),
            ("github.com:+443", E::BadPort),
            ("github.com:443:443", E::BadPort),
            ("github.com:65536", E::BadPort),
            ("github.com:4 43", E::BadPort),
            ("github.com:443/", E::BadPort),
            ("github.com:44é", E::NotAscii),
            ("github.com\0.evil.com:443", E::ControlByte),
            ("github.com\t:443", E::ControlByte),
            ("github.com@evil.com:443", E::UserInformation),
            ("user:pass@github.com:443", E::UserInformation),
            ("münchen.de:443", E::NotAscii),
            ("github.com.:443", E::EmptyLabel),
            ("github..com:443", E::EmptyLabel),
            (".github.com:443", E::EmptyLabel),
            ("-a.com:443", E::HyphenAtEdge),
            ("github com:443", E::BadCharacter),
            ("github.com%2eevil.com:443", E::BadCharacter),
            ("github.com#:443", E::BadCharacter),
            ("*.github.com:443", E::BadCharacter),
            ("2130706433:443", E::AmbiguousIpv4),
            ("0x7f000001:443", E::AmbiguousIpv4),
            ("0x7f.0.0.1:443", E::AmbiguousIpv4),
            ("127.0.0.0x1:443", E::AmbiguousIpv4),
            ("0177.0.0.1:443", E::AmbiguousIpv4),
            ("127.1:443", E::AmbiguousIpv4),
            ("127.0.0.256:443", E::AmbiguousIpv4),
            ("example.0x:443", E::AmbiguousIpv4),
            ("[::1:443", E::BadIpv6),
            ("[::1]443", E::BadIpv6),
            ("[127.0.0.1]:443", E::BadIpv6),
            ("[github.com]:443", E::BadIpv6),
            ("[fe80::1%eth0]:443", E::ZoneIdentifier),
            ("[fe80::1%25eth0]:443", E::ZoneIdentifier),
            ("::1:443", E::EmptyHost),
        ] {
            assert_eq!(connect(text), Err(error), "{text:?}");
        }
        let label = "a".repeat(64);
        assert_eq!(connect(&format!("{label}.com:443")), Err(E::TooLong));
        let name = ["abcdefg"; 32].join(".");
        assert_eq!(connect(&format!("{name}:443")), Err(E::TooLong));
    }

    #[test]
    fn a_missing_port_is_the_schemes_own() {
        assert_eq!(Authority::parse(b"a.com", 80).unwrap().port, 80);
        assert_eq!(Authority::parse(b"a.com:8080", 80).unwrap().port, 8080);
        assert_eq!(
            Authority::parse(b"a.com:443", 443).unwrap().to_host_header(443),
            "a.com"
        );
        assert_eq!(
            Authority::parse(b"a.com:444", 443).unwrap().to_host_header(443),
            "a.com:444"
        );
    }

    proptest! {
        #[test]
        fn no_input_panics_and_what_is_accepted_reads_back_the_same(input: Vec<u8>) {
            if let Ok(authority) = Authority::parse_connect(&input) {
                let again = Authority::parse_connect(authority.to_string().as_bytes()).unwrap();
                prop_assert_eq!(again, authority);
            }
        }

        #[test]
        fn an_accepted_authority_is_the_input_but_for_case_and_ipv6_spelling(input in "[0-9a-zA-Z.:_@%\\[\\]-]{1,40}") {
            if let Ok(authority) = Authority::parse_connect(input.as_bytes())
                && !input.starts_with('[')
            {
                prop_assert_eq!(authority.to_string(), input.to_ascii_lowercase());
            }
        }
    }
}
