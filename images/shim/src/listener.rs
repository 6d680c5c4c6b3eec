//! A bound, listening side.
//!
//! A Unix socket is made for one user: its folder is made 0700 when it is missing, the socket itself is 0600 from its
//! first moment, and what an earlier run left in its place is removed only when it is a socket that nobody answers on.

use crate::endpoint::Endpoint;
use crate::stream::{Dialled, Stream};
use nix::sys::socket::{Backlog, listen};
use nix::sys::stat::{Mode, umask};
use std::fmt;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Clients that wait to be taken, while others use up the cap; the kernel's own limit is `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Why a side could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {reason}")]
pub struct ListenError {
    /// The side.
    endpoint: Endpoint,
    /// The kernel's answer, or what is in the way.
    reason: io::Error,
}

/// Accepts one family's connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    /// When the address is taken, or cannot be.
    pub(crate) fn bind(endpoint: &Endpoint) -> Result<Self, ListenError> {
        let bound = || -> io::Result<Self> {
            let listener = match endpoint {
                Endpoint::Tcp(address) => Self::Tcp(TcpListener::bind(address)?),
                Endpoint::Unix(path) => Self::Unix(bind_unix(path)?),
            };
            match &listener {
                Self::Tcp(socket) => socket.set_nonblocking(true)?,
                Self::Unix(socket) => socket.set_nonblocking(true)?,
            }
            // Listening once more only sets the backlog, which the standard library keeps short.
            listen(&listener, Backlog::new(BACKLOG)?)?;
            Ok(listener)
        };
        bound().map_err(|reason| ListenError {
            endpoint: endpoint.clone(),
            reason,
        })
    }

    /// Takes one waiting client.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; otherwise the kernel's reason.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(socket) => match socket.local_addr() {
                Ok(address) => write!(formatter, "{address}"),
                Err(_) => formatter.write_str("127.0.0.1"),
            },
            Self::Unix(socket) => match socket.local_addr().ok().as_ref().and_then(|it| it.as_pathname()) {
                Some(path) => write!(formatter, "unix:{}", path.display()),
                None => formatter.write_str("unix:"),
            },
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    remove_stale(path)?;
    // Before binding: between bind and a chmod anybody could connect. Nothing else of this process makes files.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::other("something that is no socket is in its place"));
    }
    match Dialled::dial(&Endpoint::Unix(path.to_owned())) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs_err::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process listens on it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    fn endpoint(path: &Path) -> Endpoint {
        Endpoint::Unix(path.to_owned())
    }

    #[test]
    fn a_socket_and_the_folder_made_for_it_are_for_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/door.sock");
        let _listener = Listener::bind(&endpoint(&path)).unwrap();
        let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_tcp_client_is_served_without_delay_and_without_blocking() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let _client = std::net::TcpStream::connect(listener.to_string()).unwrap();
        let Stream::Tcp(stream) = listener.accept().unwrap() else {
            panic!("another family")
        };
        assert!(stream.nodelay().unwrap());
        assert_eq!(
            (&stream).read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    }

    #[test]
    fn a_socket_that_nobody_answers_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        drop(UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&endpoint(&path)).unwrap();
        UnixStream::connect(&path).unwrap();
        assert!(matches!(listener.accept().unwrap(), Stream::Unix(_)));
    }

    #[test]
    fn a_socket_that_is_listened_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let first = Listener::bind(&endpoint(&path)).unwrap();
        let error = Listener::bind(&endpoint(&path)).unwrap_err().to_string();
        assert!(error.contains("another process listens"), "{error}");
        first.accept().unwrap();
        UnixStream::connect(&path).unwrap();
        first.accept().unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        fs_err::write(&path, "mine").unwrap();
        let error = Listener::bind(&endpoint(&path)).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "mine");
    }
}
