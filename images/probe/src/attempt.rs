//! Every way out, tried at once and given one deadline together.

use crate::arguments::{Arguments, Target};
use crate::{Attempt, Outcome};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, SockaddrStorage, VsockAddr,
    connect, getsockopt, recv, send, sendto, setsockopt, socket, sockopt,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// How long all attempts together may take. In a namespace without a network every one is refused at once.
pub const DEADLINE: Duration = Duration::from_millis(300);

/// A question for the name `a.` of type A: the smallest that any resolver answers.
const QUESTION: &[u8] = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";

/// send(2)'s flag "do not use a gateway", which nix has no name for.
const DONTROUTE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_DONTROUTE);

/// An attempt whose end is not known yet.
struct Pending {
    socket: OwnedFd,
    /// Its place in the report.
    index: usize,
    waits_for: WaitsFor,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Connection,
    Answer,
}

struct Attempts<'a> {
    token: &'a str,
    done: Vec<Attempt>,
    pending: Vec<Pending>,
}

/// Tries everything.
pub fn all(arguments: &Arguments) -> Vec<Attempt> {
    let mut attempts = Attempts {
        token: &arguments.token,
        done: Vec::new(),
        pending: Vec::new(),
    };
    for target in &arguments.targets {
        match *target {
            Target::Tcp(address) => attempts.connect("tcp", address),
            Target::Udp(address) => attempts.datagrams(address),
            Target::Vsock(cid, port) => attempts.vsock(cid, port),
        }
    }
    attempts.multicast();
    // The host (2) and any other context (the wildcard is not one; 1 is this machine's own loopback).
    attempts.vsock(2, 1);
    attempts.vsock(1, 1);
    let resolvers = arguments.resolvers.iter().copied().chain(configured_resolvers());
    for resolver in resolvers {
        attempts.resolver(SocketAddr::new(resolver, 53));
    }
    attempts.forbidden_sockets();
    attempts.wait();
    attempts.done
}

fn configured_resolvers() -> Vec<IpAddr> {
    let text = std::fs::File::open("/etc/resolv.conf")
        .and_then(std::io::read_to_string)
        .unwrap_or_default();
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers
        .filter_map(|address| address.trim().split('%').next()?.parse().ok())
        .collect()
}

fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn open(family: AddressFamily, kind: SockType) -> Result<OwnedFd, Errno> {
    socket(
        family,
        kind,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        None,
    )
}

fn outcome(errno: Errno) -> Outcome {
    match errno {
        Errno::EPERM | Errno::EACCES => Outcome::Denied,
        Errno::ECONNREFUSED | Errno::ECONNRESET => Outcome::Refused,
        Errno::ETIMEDOUT => Outcome::TimedOut,
        _ => Outcome::Unreachable,
    }
}

impl Attempts<'_> {
    fn add(&mut self, kind: &str, target: &str, outcome: Outcome, error: Option<Errno>) -> usize {
        let error = error.map(|errno| format!("{errno:?}"));
        self.done.push(Attempt {
            kind: kind.to_owned(),
            target: target.to_owned(),
            outcome,
            error,
        });
        self.done.len() - 1
    }

    fn failed(&mut self, kind: &str, target: &str, errno: Errno) {
        self.add(kind, target, outcome(errno), Some(errno));
    }

    fn waiting(&mut self, kind: &str, target: &str, socket: OwnedFd, waits_for: WaitsFor) {
        let index = self.add(kind, target, Outcome::TimedOut, None);
        self.pending.push(Pending {
            socket,
            index,
            waits_for,
        });
    }

    fn connect(&mut self, kind: &str, address: SocketAddr) {
        let to = SockaddrStorage::from(address);
        self.stream(kind, &address.to_string(), family(&address), &to);
    }

    fn vsock(&mut self, cid: u32, port: u32) {
        self.stream(
            "vsock",
            &format!("{cid}:{port}"),
            AddressFamily::Vsock,
            &VsockAddr::new(cid, port),
        );
    }

    fn stream(&mut self, kind: &str, target: &str, family: AddressFamily, to: &dyn SockaddrLike) {
        let tried = open(family, SockType::Stream).and_then(|socket| match connect(socket.as_raw_fd(), to) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
            Err(errno) => Err(errno),
        });
        match tried {
            Ok(socket) => self.waiting(kind, target, socket, WaitsFor::Connection),
            Err(errno) => self.failed(kind, target, errno),
        }
    }

    /// Plain, as a broadcast, and past the routing table.
    fn datagrams(&mut self, address: SocketAddr) {
        self.datagram("udp", address, MsgFlags::empty());
        self.datagram("udp-dontroute", address, DONTROUTE);
        if address.is_ipv4() {
            let everybody = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), address.port());
            self.datagram("udp-broadcast", everybody, MsgFlags::empty());
            self.datagram("udp-broadcast", everybody, DONTROUTE);
        }
    }

    fn multicast(&mut self) {
        self.datagram(
            "multicast",
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)), 9),
            MsgFlags::empty(),
        );
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        self.datagram(
            "multicast",
            SocketAddr::new(IpAddr::V6(all_nodes), 9),
            MsgFlags::empty(),
        );
    }

    fn datagram(&mut self, kind: &str, address: SocketAddr, flags: MsgFlags) {
        let sent = open(family(&address), SockType::Datagram).and_then(|socket| {
            if address.is_ipv4() {
                setsockopt(&socket, sockopt::Broadcast, &true)?;
            }
            sendto(
                socket.as_raw_fd(),
                self.token.as_bytes(),
                &SockaddrStorage::from(address),
                flags,
            )
        });
        match sent {
            Ok(_) => drop(self.add(kind, &address.to_string(), Outcome::Sent, None)),
            Err(errno) => self.failed(kind, &address.to_string(), errno),
        }
    }

    /// A resolver that answers is a way out, whatever it answers.
    fn resolver(&mut self, address: SocketAddr) {
        let asked = open(family(&address), SockType::Datagram).and_then(|socket| {
            connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
            send(socket.as_raw_fd(), QUESTION, MsgFlags::empty())?;
            Ok(socket)
        });
        match asked {
            Ok(socket) => self.waiting("dns-udp", &address.to_string(), socket, WaitsFor::Answer),
            Err(errno) => self.failed("dns-udp", &address.to_string(), errno),
        }
        self.connect("dns-tcp", address);
    }

    /// Sockets that see or make packets below TCP and UDP: opening one is a fault already.
    fn forbidden_sockets(&mut self) {
        for (kind, family, socket_kind, protocol) in [
            (
                "raw-icmp",
                AddressFamily::Inet,
                SockType::Raw,
                Some(SockProtocol::Icmp),
            ),
            (
                "raw-icmp",
                AddressFamily::Inet6,
                SockType::Raw,
                Some(SockProtocol::IcmpV6),
            ),
            (
                "raw-ip",
                AddressFamily::Inet,
                SockType::Raw,
                Some(SockProtocol::Raw),
            ),
            ("packet", AddressFamily::Packet, SockType::Raw, None),
            ("packet", AddressFamily::Packet, SockType::Datagram, None),
        ] {
            match socket(family, socket_kind, SockFlag::SOCK_CLOEXEC, protocol) {
                Ok(_) => drop(self.add(kind, "", Outcome::Open, None)),
                Err(errno) => self.failed(kind, "", errno),
            }
        }
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while !self.pending.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(timeout) = PollTimeout::try_from(left) else {
                return;
            };
            let mut polled: Vec<PollFd<'_>> = self
                .pending
                .iter()
                .map(|one| PollFd::new(one.socket.as_fd(), flags(one.waits_for)))
                .collect();
            match poll(&mut polled, timeout) {
                Ok(0) => return,
                Err(Errno::EINTR) | Ok(_) => {}
                Err(_) => return,
            }
            let ready: Vec<bool> = polled.iter().map(|one| one.any().unwrap_or(true)).collect();
            let mut ready = ready.into_iter();
            let (ended, waiting) = std::mem::take(&mut self.pending)
                .into_iter()
                .partition(|_| ready.next() == Some(true));
            self.pending = waiting;
            for one in ended {
                self.settle(&one);
            }
        }
    }

    fn settle(&mut self, one: &Pending) {
        let errno = getsockopt(&one.socket, sockopt::SocketError).map_or_else(|errno| errno, Errno::from_raw);
        let (outcome, error) = match (one.waits_for, errno) {
            (WaitsFor::Connection, Errno::UnknownErrno) => {
                // The listener learns whose connection this is.
                let _ = send(
                    one.socket.as_raw_fd(),
                    self.token.as_bytes(),
                    MsgFlags::MSG_NOSIGNAL,
                );
                (Outcome::Open, None)
            }
            (WaitsFor::Answer, Errno::UnknownErrno) => {
                match recv(one.socket.as_raw_fd(), &mut [0; 512], MsgFlags::empty()) {
                    Ok(_) => (Outcome::Open, None),
                    Err(errno) => (outcome(errno), Some(errno)),
                }
            }
            (_, errno) => (outcome(errno), Some(errno)),
        };
        if let Some(attempt) = self.done.get_mut(one.index) {
            attempt.outcome = outcome;
            attempt.error = error.map(|errno| format!("{errno:?}"));
        }
    }
}

fn flags(waits_for: WaitsFor) -> PollFlags {
    match waits_for {
        WaitsFor::Connection => PollFlags::POLLOUT,
        WaitsFor::Answer => PollFlags::POLLIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{TcpListener, UdpSocket};

    fn attempt(target: Target) -> Vec<Attempt> {
        let mut attempts = Attempts {
            token: "the-token",
            done: Vec::new(),
            pending: Vec::new(),
        };
        match target {
            Target::Tcp(address) => attempts.connect("tcp", address),
            Target::Udp(address) => attempts.datagrams(address),
            Target::Vsock(cid, port) => attempts.vsock(cid, port),
        }
        attempts.wait();
        attempts.done
    }

    #[test]
    fn a_listener_that_can_be_reached_is_a_way_out_and_sees_the_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let done = attempt(Target::Tcp(listener.local_addr().unwrap()));
        assert_eq!(done[0].outcome, Outcome::Open);
        let mut said = String::new();
        listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
        assert_eq!(said, "the-token");
    }

    #[test]
    fn a_port_nobody_listens_on_refuses() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(attempt(Target::Tcp(free))[0].outcome, Outcome::Refused);
    }

    #[test]
    fn datagrams_carry_the_token() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let done = attempt(Target::Udp(socket.local_addr().unwrap()));
        assert_eq!((done[0].kind.as_str(), done[0].outcome), ("udp", Outcome::Sent));
        let mut bytes = [0; 64];
        let read = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..read], b"the-token");
    }

    #[test]
    fn a_resolver_that_answers_is_a_way_out() {
        let resolver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = resolver.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut bytes = [0; 64];
            let (read, peer) = resolver.recv_from(&mut bytes).unwrap();
            assert_eq!(&bytes[..read], QUESTION);
            resolver.send_to(b"any answer", peer).unwrap();
        });
        let mut attempts = Attempts {
            token: "t",
            done: Vec::new(),
            pending: Vec::new(),
        };
        attempts.resolver(address);
        attempts.wait();
        server.join().unwrap();
        assert_eq!(
            (attempts.done[0].kind.as_str(), attempts.done[0].outcome),
            ("dns-udp", Outcome::Open)
        );
    }
}
