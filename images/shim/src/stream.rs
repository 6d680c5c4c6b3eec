//! A connected socket of either family, never blocking; and how one is dialled.

use crate::endpoint::Endpoint;
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, sockopt};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

/// One leg of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What came of dialling without waiting.
pub(crate) enum Dialled {
    Connected(Stream),
    /// Writable once it is decided; then ask [`Stream::outcome`].
    Pending(Stream),
    /// The listener's backlog is full: a Unix socket tells no one when that ends, so try again.
    Busy,
    /// This process, or the whole machine, has no descriptor or memory for another socket just now; try again.
    NoDescriptors,
}

/// Whether an error means that descriptors or the kernel's memory have run out.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}

impl Dialled {
    /// Begins to connect.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(crate) fn dial(endpoint: &Endpoint) -> io::Result<Self> {
        match Self::begin(endpoint) {
            Err(error) if is_shortage(&error) => Ok(Self::NoDescriptors),
            answer => answer,
        }
    }

    fn begin(endpoint: &Endpoint) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        match endpoint {
            Endpoint::Tcp(address) => {
                let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
                let answer = socket::connect(socket.as_raw_fd(), &socket::SockaddrIn::from(*address));
                let stream = TcpStream::from(socket);
                stream.set_nodelay(true)?;
                match answer {
                    Ok(()) => Ok(Self::Connected(Stream::Tcp(stream))),
                    Err(Errno::EINPROGRESS) => Ok(Self::Pending(Stream::Tcp(stream))),
                    Err(errno) => Err(errno.into()),
                }
            }
            Endpoint::Unix(path) => {
                let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
                match socket::connect(socket.as_raw_fd(), &socket::UnixAddr::new(path)?) {
                    Ok(()) => Ok(Self::Connected(Stream::Unix(UnixStream::from(socket)))),
                    Err(Errno::EAGAIN) => Ok(Self::Busy),
                    Err(errno) => Err(errno.into()),
                }
            }
        }
    }
}

impl Stream {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            Self::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(bytes),
            Self::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    /// Tells the peer that no more will come (a half-close); a peer that is gone need not be told.
    pub(crate) fn finish(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Closes so that the peer sees a reset, where its family has one: a stream that broke must not look ended.
    pub(crate) fn reset(self) {
        if let Self::Tcp(stream) = &self {
            let at_once = nix::libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            let _ = socket::setsockopt(stream, sockopt::Linger, &at_once);
        }
    }

    /// How a pending connect ended.
    ///
    /// # Errors
    /// When it failed.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        match socket::getsockopt(self, sockopt::SocketError)? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
