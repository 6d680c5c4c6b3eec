//! `unix:PATH` or `HOST:PORT`, as the command line writes an address.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ::guard::listen::SOCKET_MODE;
use mitm::{Authority, AuthorityError, Host, ListenAddress, ProxyAddress};

/// Where to listen, or where another program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket file.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(Authority),
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `unix:` alone
    #[error("write unix:PATH, such as unix:/run/bottle/door/door.sock")]
    NoPath,
    /// neither form
    #[error("write unix:PATH or ADDRESS:PORT ({0})")]
    Authority(AuthorityError),
    /// listening needs an address of this machine
    #[error("`{0}` is a name; write the IP address to listen on, such as 127.0.0.1:3128")]
    Name(String),
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(AddressError::NoPath),
            Some(path) => Ok(Self::Unix(path.into())),
            None => Authority::parse_connect(text.as_bytes())
                .map(Self::Tcp)
                .map_err(AddressError::Authority),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(authority) => authority.fmt(f),
        }
    }
}

impl Address {
    /// To listen there.
    pub fn to_listen(&self) -> Result<ListenAddress, AddressError> {
        match self {
            Self::Unix(path) => Ok(ListenAddress::Unix {
                path: path.clone(),
                mode: SOCKET_MODE,
            }),
            Self::Tcp(authority) => match authority.host {
                Host::Ip(address) => Ok(ListenAddress::Tcp((address, authority.port).into())),
                Host::Dns(_) => Err(AddressError::Name(authority.to_string())),
            },
        }
    }

    /// To go out through it.
    pub fn to_proxy(&self) -> ProxyAddress {
        match self {
            Self::Unix(path) => ProxyAddress::Unix(path.clone()),
            Self::Tcp(authority) => ProxyAddress::Tcp(authority.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_or_ports() {
        let unix: Address = "unix:/run/a.sock".parse().unwrap();
        assert_eq!(unix, Address::Unix("/run/a.sock".into()));
        let tcp: Address = "127.0.0.1:3128".parse().unwrap();
        assert_eq!(
            tcp.to_listen().unwrap(),
            ListenAddress::Tcp(([127, 0, 0, 1], 3128).into())
        );
        assert!(matches!(
            "proxy:1".parse::<Address>().unwrap().to_listen(),
            Err(AddressError::Name(_))
        ));
        for bad in ["", "unix:", "127.0.0.1", "/run/a.sock", "a:b"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
