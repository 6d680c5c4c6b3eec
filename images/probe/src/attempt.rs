//! Making the attempts: all of them at once, none of them waiting, and one poll for those that the kernel decides later.

use crate::packets;
use crate::plan::{Planned, To};
use crate::report::{Attempt, Kind, Outcome};
use crate::wide;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, SockaddrLike,
    VsockAddr, sockopt,
};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// Where one attempt stands.
enum State {
    Done(Outcome, Option<Errno>),
    /// A connection under way: writable once it is decided.
    Connecting(OwnedFd),
    /// A question that was sent: readable once it is answered, or refused.
    Asked(OwnedFd),
}

/// Makes all of them; what is undecided at the deadline is a timeout.
pub(crate) fn all(planned: &[Planned], token: &str, deadline: Instant) -> Vec<Attempt> {
    let mut states: Vec<State> = planned.iter().map(|planned| begin(planned, token)).collect();
    while settle(planned, &mut states, token, deadline) {}
    planned
        .iter()
        .zip(states)
        .map(|(planned, state)| {
            let (outcome, errno) = match state {
                State::Done(outcome, errno) => (outcome, errno),
                State::Connecting(_) => (Outcome::Timeout, None),
                // It went out, and nobody answered.
                State::Asked(_) => (Outcome::Sent, None),
            };
            Attempt {
                kind: planned.kind,
                target: planned.to.spelled(),
                outcome,
                errno: errno.map(|errno| errno as i32),
            }
        })
        .collect()
}

/// Waits for one event among the undecided; false when none is left, or no time.
fn settle(planned: &[Planned], states: &mut [State], token: &str, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut failure = None;
    let ready: Vec<bool> = {
        let mut waiting: Vec<PollFd<'_>> = states
            .iter()
            .filter_map(|state| match state {
                State::Done(..) => None,
                State::Connecting(socket) => Some(PollFd::new(socket.as_fd(), PollFlags::POLLOUT)),
                State::Asked(socket) => Some(PollFd::new(socket.as_fd(), PollFlags::POLLIN)),
            })
            .collect();
        if waiting.is_empty() || left.is_zero() {
            return false;
        }
        // Rounded up, so that the last wait is not a turn for nothing.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut waiting, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Whatever is undecided was not really tried.
            Err(errno) => failure = Some(errno),
        }
        waiting
            .iter()
            .map(|waiting| waiting.any().unwrap_or(true))
            .collect()
    };
    let undecided = planned
        .iter()
        .zip(states)
        .filter(|(_, state)| !matches!(state, State::Done(..)));
    for ((planned, state), ready) in undecided.zip(ready) {
        if failure.is_some() {
            *state = State::Done(Outcome::Untried, failure);
        } else if ready {
            let before = std::mem::replace(state, State::Done(Outcome::Untried, None));
            *state = decide(planned.kind, before, token);
        }
    }
    true
}

fn decide(kind: Kind, state: State, token: &str) -> State {
    match state {
        State::Done(..) => state,
        State::Connecting(socket) => match socket::getsockopt(&socket, sockopt::SocketError) {
            Ok(0) => connected(kind, &socket, token),
            Ok(errno) => failed(Errno::from_raw(errno)),
            Err(errno) => failed(errno),
        },
        State::Asked(socket) => match socket::recv(socket.as_raw_fd(), &mut [0; 512], MsgFlags::empty()) {
            Ok(_) => State::Done(Outcome::Answered, None),
            // Woken for a datagram that turned out damaged.
            Err(Errno::EAGAIN | Errno::EINTR) => State::Asked(socket),
            Err(errno) => failed(errno),
        },
    }
}

/// Says who we are: the listener is the oracle.
fn connected(kind: Kind, socket: &OwnedFd, token: &str) -> State {
    let bytes = match kind {
        Kind::DnsTcp => packets::dns_question_on_a_stream(token),
        _ => packets::text(token),
    };
    let _ = socket::send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL);
    State::Done(Outcome::Connected, None)
}

fn begin(planned: &Planned, token: &str) -> State {
    match attempt(planned, token) {
        Ok(state) => state,
        Err(errno) => failed(errno),
    }
}

fn failed(errno: Errno) -> State {
    State::Done(meaning(errno), Some(errno))
}

fn attempt(planned: &Planned, token: &str) -> nix::Result<State> {
    use AddressFamily::{Inet, Inet6};
    use SockType::{Datagram, Raw, Stream};
    let text = packets::text(token);
    match (planned.kind, &planned.to) {
        (Kind::Vsock, To::Vsock { cid, port }) => {
            let socket =
                open(AddressFamily::Vsock, Stream, None).or_else(|errno| wide::vsock().ok_or(errno))?;
            connect(Kind::Vsock, socket, &VsockAddr::new(*cid, *port), token)
        }
        (Kind::Packet, _) => open(AddressFamily::Packet, Raw, None)
            .or_else(|_| open(AddressFamily::Packet, Datagram, None))
            .or_else(|errno| wide::packet().ok_or(errno))
            .map(|_| State::Done(Outcome::Opened, None)),
        (kind @ (Kind::Tcp4 | Kind::Tcp6 | Kind::DnsTcp), To::Port(address)) => {
            let socket = open(family(*address), Stream, None)?;
            connect(kind, socket, &*sockaddr(*address), token)
        }
        (Kind::DnsUdp, To::Port(address)) => {
            let socket = open(family(*address), Datagram, None)?;
            // Connected, so that a refusal comes back to it.
            socket::connect(socket.as_raw_fd(), &*sockaddr(*address))?;
            socket::send(
                socket.as_raw_fd(),
                &packets::dns_question(token),
                MsgFlags::MSG_NOSIGNAL,
            )?;
            Ok(State::Asked(socket))
        }
        (Kind::Ping4, To::Host(host)) => {
            let socket = open(Inet, Datagram, Some(SockProtocol::Icmp))?;
            send(&socket, (*host, 0).into(), &packets::echo_request_4(token))
        }
        (Kind::Ping6, To::Host(host)) => {
            let socket = open(Inet6, Datagram, Some(SockProtocol::IcmpV6))?;
            send(&socket, (*host, 0).into(), &packets::echo_request_6(token))
        }
        (Kind::Icmp4, To::Host(host)) => {
            let socket = open(Inet, Raw, Some(SockProtocol::Icmp))?;
            send(&socket, (*host, 0).into(), &packets::echo_request_4(token))
        }
        (Kind::Icmp6, To::Host(host)) => {
            let socket = open(Inet6, Raw, Some(SockProtocol::IcmpV6))?;
            send(&socket, (*host, 0).into(), &packets::echo_request_6(token))
        }
        (Kind::Raw4, To::Host(IpAddr::V4(host))) => {
            let socket = open(Inet, Raw, Some(SockProtocol::Raw))?;
            send(&socket, (*host, 0).into(), &packets::ipv4(*host, token))
        }
        (Kind::Raw6, To::Host(IpAddr::V6(host))) => {
            let socket = open(Inet6, Raw, Some(SockProtocol::Raw))?;
            send(&socket, (*host, 0).into(), &packets::ipv6(*host, token))
        }
        (kind, To::Port(address)) => {
            let socket = datagram(*address)?;
            if matches!(kind, Kind::Udp4Direct | Kind::Udp6Direct) {
                socket::setsockopt(&socket, sockopt::DontRoute, &true)?;
            }
            send(&socket, *address, &text)
        }
        (_, To::By { address, interface }) => {
            let socket = datagram(*address)?;
            socket::setsockopt(&socket, sockopt::BindToDevice, &OsString::from(interface))?;
            send(&socket, *address, &text)
        }
        // The plan pairs no other kind and place.
        _ => Ok(State::Done(Outcome::Untried, None)),
    }
}

fn open(family: AddressFamily, kind: SockType, protocol: Option<SockProtocol>) -> nix::Result<OwnedFd> {
    socket::socket(
        family,
        kind,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        protocol,
    )
}

/// A UDP socket that may broadcast.
fn datagram(to: SocketAddr) -> nix::Result<OwnedFd> {
    let socket = open(family(to), SockType::Datagram, None)?;
    socket::setsockopt(&socket, sockopt::Broadcast, &true)?;
    Ok(socket)
}

fn connect(kind: Kind, socket: OwnedFd, to: &dyn SockaddrLike, token: &str) -> nix::Result<State> {
    match socket::connect(socket.as_raw_fd(), to) {
        Ok(()) => Ok(connected(kind, &socket, token)),
        Err(Errno::EINPROGRESS) => Ok(State::Connecting(socket)),
        Err(errno) => Err(errno),
    }
}

fn send(socket: &OwnedFd, to: SocketAddr, bytes: &[u8]) -> nix::Result<State> {
    socket::sendto(socket.as_raw_fd(), bytes, &*sockaddr(to), MsgFlags::MSG_NOSIGNAL)?;
    Ok(State::Done(Outcome::Sent, None))
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn sockaddr(address: SocketAddr) -> Box<dyn SockaddrLike> {
    match address {
        SocketAddr::V4(address) => Box::new(SockaddrIn::from(address)),
        SocketAddr::V6(address) => Box::new(SockaddrIn6::from(address)),
    }
}

/// What the kernel's answer says about the way out.
fn meaning(errno: Errno) -> Outcome {
    match errno {
        Errno::ECONNREFUSED | Errno::ECONNRESET => Outcome::Refused,
        Errno::ETIMEDOUT => Outcome::Timeout,
        Errno::EPERM
        | Errno::EACCES
        | Errno::EAFNOSUPPORT
        | Errno::EPROTONOSUPPORT
        | Errno::ESOCKTNOSUPPORT
        | Errno::EPFNOSUPPORT
        | Errno::EOPNOTSUPP
        | Errno::ENOPROTOOPT
        | Errno::ENOSYS => Outcome::Denied,
        // EINVAL: an address that means nothing without an interface, as link-local ones do.
        Errno::EINVAL
        | Errno::ENETUNREACH
        | Errno::EHOSTUNREACH
        | Errno::ENETDOWN
        | Errno::EHOSTDOWN
        | Errno::EADDRNOTAVAIL
        | Errno::ENODEV
        | Errno::ENXIO => Outcome::Unreachable,
        // Out of descriptors or memory, or something we do not know: nothing was proved.
        _ => Outcome::Untried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{TcpListener, UdpSocket};

    fn try_it(kind: Kind, to: To, deadline: Duration) -> Attempt {
        all(&[Planned { kind, to }], "t0ken", Instant::now() + deadline).remove(0)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_listener_is_connected_and_sees_the_token() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                assert!(address.starts_with('['), "no IPv4 loopback");
                continue;
            };
            let address = listener.local_addr().unwrap();
            let kind = if address.is_ipv4() { Kind::Tcp4 } else { Kind::Tcp6 };
            assert_eq!(try_it(kind, To::Port(address), LONG).outcome, Outcome::Connected);
            let mut seen = String::new();
            listener.accept().unwrap().0.read_to_string(&mut seen).unwrap();
            assert!(seen.contains("t0ken"), "{seen}");
        }
    }

    #[test]
    fn a_closed_port_refuses() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let attempt = try_it(Kind::Tcp4, To::Port(address), LONG);
        assert_eq!(
            (attempt.outcome, attempt.errno),
            (Outcome::Refused, Some(Errno::ECONNREFUSED as i32))
        );
        assert_eq!(
            try_it(Kind::DnsUdp, To::Port(address), LONG).outcome,
            Outcome::Refused
        );
    }

    #[test]
    fn datagrams_arrive_with_the_token() {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        listener.set_read_timeout(Some(LONG)).unwrap();
        let address = listener.local_addr().unwrap();
        for kind in [Kind::Udp4, Kind::Udp4Direct] {
            assert_eq!(try_it(kind, To::Port(address), LONG).outcome, Outcome::Sent);
            let mut bytes = [0; 512];
            let read = listener.recv(&mut bytes).unwrap();
            assert!(String::from_utf8_lossy(&bytes[..read]).contains("t0ken"));
        }
    }

    #[test]
    fn a_resolver_that_answers_anything_is_a_breach_and_a_silent_one_is_not() {
        let resolver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = resolver.local_addr().unwrap();
        let silent = try_it(Kind::DnsUdp, To::Port(address), Duration::from_millis(20));
        assert_eq!(silent.outcome, Outcome::Sent);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut question = [0; 512];
                // The silent one's question is still there.
                for _ in 0..2 {
                    let (read, from) = resolver.recv_from(&mut question).unwrap();
                    assert!(question[..read].windows(5).any(|window| window == b"t0ken"));
                    resolver.send_to(b"no such name", from).unwrap();
                }
            });
            assert_eq!(
                try_it(Kind::DnsUdp, To::Port(address), LONG).outcome,
                Outcome::Answered
            );
        });
    }

    #[test]
    fn what_never_answers_is_a_timeout_at_the_deadline() {
        // A backlog that is full drops what would connect.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        socket::listen(&listener, socket::Backlog::new(0).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let _filling = std::net::TcpStream::connect(address).unwrap();
        let plan = [
            Planned {
                kind: Kind::Tcp4,
                to: To::Port(address),
            },
            Planned {
                kind: Kind::Udp4,
                to: To::Port(address),
            },
        ];
        let attempts = all(&plan, "t0ken", Instant::now() + Duration::from_millis(20));
        let outcomes: Vec<Outcome> = attempts.into_iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(outcomes, [Outcome::Timeout, Outcome::Sent]);
    }

    #[test]
    fn only_what_is_known_to_be_harmless_is_harmless() {
        for errno in [
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::ENOMEM,
            Errno::ENOBUFS,
            Errno::EBADF,
            Errno::EFAULT,
        ] {
            assert_eq!(meaning(errno), Outcome::Untried, "{errno}");
        }
        assert_eq!(meaning(Errno::EPERM), Outcome::Denied);
        assert_eq!(meaning(Errno::ENETUNREACH), Outcome::Unreachable);
    }
}
