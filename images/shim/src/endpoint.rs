//! One side of a forward: a port on loopback, or a Unix socket.
//!
//! No other address can be written: the shim is no way to reach, or to be reached from, anything but its own container.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The kernel's `sun_path` is 108 bytes with its terminator (unix(7)).
const LONGEST_PATH: usize = 107;

/// Where to listen or to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port of 127.0.0.1; 0 lets the kernel pick when listening.
    Tcp(SocketAddrV4),
    /// A stream socket at an absolute path.
    Unix(PathBuf),
}

/// What is wrong with an endpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Neither form.
    #[error("'{0}' is neither 127.0.0.1:PORT nor unix:/PATH")]
    Form(String),
    /// No port from 0 to 65535, or 0 where one connects.
    #[error("'{0}' has no port that can be used")]
    Port(String),
    /// Not absolute.
    #[error("the socket path '{0}' does not begin with '/'")]
    Relative(String),
    /// Longer than the kernel can address.
    #[error("the socket path '{0}' is longer than {LONGEST_PATH} bytes")]
    TooLong(String),
    /// Cannot be given to the kernel.
    #[error("the socket path holds a NUL byte")]
    Nul,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path);
        }
        let port = text
            .strip_prefix("127.0.0.1:")
            .ok_or_else(|| EndpointError::Form(text.to_owned()))?;
        // `parse` alone would take "+80".
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EndpointError::Port(text.to_owned()));
        }
        let port = port.parse().map_err(|_| EndpointError::Port(text.to_owned()))?;
        Ok(Self::Tcp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))
    }
}

fn socket_path(path: &str) -> Result<Endpoint, EndpointError> {
    if path.contains('\0') {
        return Err(EndpointError::Nul);
    }
    if !Path::new(path).is_absolute() {
        return Err(EndpointError::Relative(path.to_owned()));
    }
    if path.len() > LONGEST_PATH {
        return Err(EndpointError::TooLong(path.to_owned()));
    }
    Ok(Endpoint::Unix(PathBuf::from(path)))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_but_loopback_and_absolute_paths_can_be_written() {
        for text in [
            "0.0.0.0:1",
            "127.0.0.2:1",
            "[::1]:1",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:+1",
            "127.0.0.1:65536",
            "unix:",
            "unix:relative",
            "unix:@abstract",
            "unix:/nul\0",
            "",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "`{text}` was accepted");
        }
        let longest = format!("unix:/{}", "a".repeat(LONGEST_PATH - 1));
        assert!(longest.parse::<Endpoint>().is_ok());
        assert!(format!("{longest}a").parse::<Endpoint>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_said_as_it_was_written(text in "(127\\.0\\.0\\.1:[1-9][0-9]{0,4}|unix:/[a-z/.-]{0,120}|.{0,30})") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
            }
        }
    }
}
