//! Listeners on the host: whatever a probe sends out of a container that should have no way out is seen here.
//!
//! They take anything and answer nothing. What does not carry this check's token is somebody else's and does not count.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, bind, getsockname, listen, socket,
};
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

/// The longest first part of a connection or datagram that is looked at, in bytes.
const LOOKED_AT: usize = 4096;
/// "Any", as an address and as a port (vsock(7)).
const VSOCK_ANY: u32 = u32::MAX;

/// What listens, on every address of the host, on ports that the kernel picked. IPv6 and vsock only where the host has them:
/// what it does not have, nobody can reach.
pub(super) struct Listeners {
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    vsock: Option<(OwnedFd, u32)>,
}

impl Listeners {
    pub(super) fn open() -> std::io::Result<Self> {
        let four = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let six = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let tcp = |address: IpAddr| {
            let listener = TcpListener::bind((address, 0))?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        };
        let udp = |address: IpAddr| {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        let (mut tcps, mut udps) = (vec![tcp(four)?], vec![udp(four)?]);
        tcps.extend(tcp(six));
        udps.extend(udp(six));
        Ok(Self {
            tcp: tcps,
            udp: udps,
            vsock: vsock().ok(),
        })
    }

    /// TCP ports for addresses of this family.
    pub(super) fn tcp_port(&self, address: IpAddr) -> Option<u16> {
        let bound = self.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        port_for(bound, address)
    }

    /// UDP ports for addresses of this family.
    pub(super) fn udp_port(&self, address: IpAddr) -> Option<u16> {
        let bound = self.udp.iter().filter_map(|socket| socket.local_addr().ok());
        port_for(bound, address)
    }

    /// The vsock port.
    pub(super) fn vsock_port(&self) -> Option<u32> {
        self.vsock.as_ref().map(|(_, port)| *port)
    }

    /// What has arrived with this token, one line each. Does not wait.
    pub(super) fn arrived(&self, token: &str) -> Vec<String> {
        let tcp = self.tcp.iter().flat_map(|listener| connections(listener, token));
        let udp = self.udp.iter().flat_map(|socket| datagrams(socket, token));
        // Not accepted, so its token is not seen; but nobody else knows this port.
        let vsock = self
            .vsock
            .iter()
            .filter(|(listener, _)| is_readable(listener))
            .map(|(_, port)| format!("a vsock connection arrived at port {port} of the host"));
        tcp.chain(udp).chain(vsock).collect()
    }
}

fn port_for(mut bound: impl Iterator<Item = SocketAddr>, address: IpAddr) -> Option<u16> {
    bound
        .find(|bound| bound.is_ipv4() == address.is_ipv4())
        .map(|bound| bound.port())
}

fn carries(bytes: &[u8], token: &str) -> bool {
    bytes
        .windows(token.len().max(1))
        .any(|window| window == token.as_bytes())
}

fn connections(listener: &TcpListener, token: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match listener.accept() {
            Ok((mut stream, peer)) => {
                let mut bytes = [0; LOOKED_AT];
                let read = stream
                    .set_nonblocking(true)
                    .and_then(|()| stream.read(&mut bytes))
                    .unwrap_or_default();
                if carries(bytes.get(..read).unwrap_or_default(), token) {
                    seen.push(format!("a TCP connection from {peer} arrived at the host"));
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(_) => return seen,
        }
    }
}

fn datagrams(socket: &UdpSocket, token: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut bytes = [0; LOOKED_AT];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((read, peer)) => {
                if carries(bytes.get(..read).unwrap_or_default(), token) {
                    seen.push(format!("a UDP datagram from {peer} arrived at the host"));
                }
            }
            // Somebody's earlier datagram was answered by ICMP; there may be more behind it.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => return seen,
        }
    }
}

fn vsock() -> nix::Result<(OwnedFd, u32)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
    bind(listener.as_raw_fd(), &VsockAddr::new(VSOCK_ANY, VSOCK_ANY))?;
    listen(&listener, Backlog::new(8)?)?;
    let bound: VsockAddr = getsockname(listener.as_raw_fd())?;
    Ok((listener, bound.port()))
}

fn is_readable(listener: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(ready) if ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_carries_the_token_is_seen_and_what_does_not_is_not() {
        let listeners = Listeners::open().unwrap();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let tcp = SocketAddr::new(loopback, listeners.tcp_port(loopback).unwrap());
        let udp = SocketAddr::new(loopback, listeners.udp_port(loopback).unwrap());
        let socket = UdpSocket::bind((loopback, 0)).unwrap();
        for sent in ["somebody else", "the token-1234 is here"] {
            let mut stream = std::net::TcpStream::connect(tcp).unwrap();
            stream.write_all(sent.as_bytes()).unwrap();
            socket.send_to(sent.as_bytes(), udp).unwrap();
        }
        let arrived = listeners.arrived("token-1234");
        assert_eq!(arrived.len(), 2, "{arrived:?}");
        assert!(arrived[0].starts_with("a TCP connection from 127.0.0.1:"));
        assert!(arrived[1].starts_with("a UDP datagram from 127.0.0.1:"));
        assert!(listeners.arrived("token-1234").is_empty());
    }
}
