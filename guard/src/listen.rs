//! The guard's front door: a TCP port or a Unix socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener};

use crate::stream::Stream;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix {
        path: PathBuf,
        /// Permission bits of the socket file, such as `0o600`.
        mode: u32,
    },
}

/// The front door could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct ListenError {
    address: ListenAddress,
    #[source]
    cause: io::Error,
}

/// A bound front door. A Unix socket's file is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

/// The text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write unix:PATH, such as unix:/run/bottle/door/door.sock, or IP:PORT, such as 127.0.0.1:3128")]
pub struct ListenAddressError;

/// Permission bits of a front door's socket: its one client runs as the same user.
pub const SOCKET_MODE: u32 = 0o600;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;
    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(ListenAddressError),
            Some(path) => Ok(Self::Unix {
                path: path.into(),
                mode: SOCKET_MODE,
            }),
            None => text.parse().map(Self::Tcp).map_err(|_| ListenAddressError),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Binds. Must be called inside a tokio runtime.
    pub fn bind(address: &ListenAddress) -> Result<Self, ListenError> {
        let bound = match address {
            ListenAddress::Tcp(address) => bind_tcp(*address),
            ListenAddress::Unix { path, mode } => bind_unix(path, *mode),
        };
        match bound {
            Ok(socket) => Ok(Self { socket }),
            Err(cause) => Err(ListenError {
                address: address.clone(),
                cause,
            }),
        }
    }

    /// The port's address; none for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } => None,
        }
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Tcp(listener) => Stream::tcp(listener.accept().await?.0),
            Socket::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix { path, .. } = &self.socket {
            // The directory may be gone already; there is no one left to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(Socket::Tcp(TcpListener::from_std(listener)?))
}

/// Binds beside the path, sets the mode, and renames: no one ever connects to a socket with the wrong mode,
/// and a stale file is replaced in one step. A live one is left alone.
fn bind_unix(path: &Path, mode: u32) -> io::Result<Socket> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process is listening there",
        ));
    }
    let beside = beside(path)?;
    // Left over by a process with this number that was killed in between.
    let _ = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    let placed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))
        .and_then(|()| fs_rename(&beside, path));
    if let Err(error) = placed {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    Ok(Socket::Unix {
        listener,
        path: path.to_path_buf(),
    })
}

/// A short name in the same directory: a socket's path has at most 107 bytes.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    if path.file_name().is_none() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path names no file",
        ));
    }
    let name = format!(".{}", std::process::id());
    Ok(directory.map_or_else(|| PathBuf::from(&name), |directory| directory.join(&name)))
}

#[expect(clippy::disallowed_methods, reason = "ListenError names the path")]
fn fs_rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn an_address_is_a_socket_or_a_port_of_this_machine() {
        for good in ["unix:/run/a.sock", "127.0.0.1:3128", "[::1]:3128"] {
            assert_eq!(good.parse::<ListenAddress>().unwrap().to_string(), good);
        }
        for bad in ["", "unix:", "127.0.0.1", "/run/a.sock", "localhost:1"] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_unix_socket_has_its_mode_replaces_a_stale_file_and_leaves_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("guard.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the stale file");
        let address = ListenAddress::Unix {
            path: path.clone(),
            mode: 0o660,
        };
        let listener = Listener::bind(&address).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
        let mut accepted = listener.accept().await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(accepted.read_u8().await.unwrap(), b'x');
        drop(listener);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_socket_in_use_is_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let address = ListenAddress::Unix {
            path: directory.path().join("guard.sock"),
            mode: 0o600,
        };
        let _first = Listener::bind(&address).unwrap();
        let error = Listener::bind(&address).unwrap_err();
        assert!(
            error.to_string().contains("another process is listening there"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn accepted_tcp_sockets_do_not_wait_for_acknowledgements() {
        let listener = Listener::bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
        let _client = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let Stream::Tcp(accepted) = listener.accept().await.unwrap() else {
            panic!("a TCP stream")
        };
        assert!(accepted.nodelay().unwrap());
    }
}
