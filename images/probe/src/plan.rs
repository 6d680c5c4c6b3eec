//! Everything that is tried: each address by each protocol, and the ways that need no address.

use crate::arguments::{Settings, Target};
use crate::interfaces::Interface;
use crate::report::Kind;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The host of a virtual machine (vsock(7)).
const VSOCK_HOST: u32 = 2;
/// Where no port is given: one that a listener without privilege may have.
const ANY_VSOCK_PORT: u32 = 1024;
/// Where no port is given: the discard service.
const ANY_UDP_PORT: u16 = 9;
/// All nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All hosts of the link.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// One attempt to come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Planned {
    pub(crate) kind: Kind,
    pub(crate) to: To,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    /// By the routing table.
    Port(SocketAddr),
    /// Past the routing table, out of one interface.
    By {
        address: SocketAddr,
        interface: String,
    },
    /// No port at that layer.
    Host(IpAddr),
    Vsock {
        cid: u32,
        port: u32,
    },
    /// The socket itself is what is tried.
    Nowhere,
}

/// Each attempt once.
pub(crate) fn everything(
    settings: &Settings,
    interfaces: &[Interface],
    resolvers: &[SocketAddr],
) -> Vec<Planned> {
    let mut plan = BTreeSet::new();
    let mut add = |kind, to| {
        plan.insert(Planned { kind, to });
    };
    let mut ports = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    let mut vsock_ports = BTreeSet::new();
    for target in &settings.targets {
        match *target {
            Target::Tcp(address) => {
                add(by_family(address, Kind::Tcp4, Kind::Tcp6), To::Port(address));
                hosts.insert(address.ip());
            }
            Target::Udp(address) => {
                add(by_family(address, Kind::Udp4, Kind::Udp6), To::Port(address));
                add(
                    by_family(address, Kind::Udp4Direct, Kind::Udp6Direct),
                    To::Port(address),
                );
                ports.insert(address.port());
                hosts.insert(address.ip());
            }
            Target::Vsock { cid, port } => {
                add(Kind::Vsock, To::Vsock { cid, port });
                vsock_ports.insert(port);
            }
        }
    }
    for host in hosts {
        let kinds = match host {
            IpAddr::V4(_) => [Kind::Ping4, Kind::Icmp4, Kind::Raw4],
            IpAddr::V6(_) => [Kind::Ping6, Kind::Icmp6, Kind::Raw6],
        };
        for kind in kinds {
            add(kind, To::Host(host));
        }
    }
    if ports.is_empty() {
        ports.insert(ANY_UDP_PORT);
    }
    for port in ports {
        to_everyone(port, interfaces, &mut add);
    }
    add(Kind::Packet, To::Nowhere);
    if vsock_ports.is_empty() {
        vsock_ports.insert(ANY_VSOCK_PORT);
    }
    for port in vsock_ports {
        add(
            Kind::Vsock,
            To::Vsock {
                cid: VSOCK_HOST,
                port,
            },
        );
    }
    for resolver in settings.resolvers.iter().chain(resolvers) {
        add(Kind::DnsUdp, To::Port(*resolver));
        add(Kind::DnsTcp, To::Port(*resolver));
    }
    plan.into_iter().collect()
}

fn by_family(address: SocketAddr, four: Kind, six: Kind) -> Kind {
    if address.is_ipv4() { four } else { six }
}

/// Broadcast and multicast: by the routing table, and out of each interface past it.
fn to_everyone(port: u16, interfaces: &[Interface], add: &mut impl FnMut(Kind, To)) {
    let broadcast = SocketAddr::from((Ipv4Addr::BROADCAST, port));
    let all_hosts = SocketAddr::from((ALL_HOSTS, port));
    let all_nodes = |scope| SocketAddr::from(SocketAddrV6::new(ALL_NODES, port, 0, scope));
    add(Kind::Udp4Broadcast, To::Port(broadcast));
    add(Kind::Udp4Multicast, To::Port(all_hosts));
    add(Kind::Udp6Multicast, To::Port(all_nodes(0)));
    for interface in interfaces.iter().filter(|interface| interface.up) {
        let by = |address| To::By {
            address,
            interface: interface.name.clone(),
        };
        add(Kind::Udp4Broadcast, by(broadcast));
        add(Kind::Udp4Multicast, by(all_hosts));
        let scope = nix::net::if_::if_nametoindex(interface.name.as_str()).unwrap_or(0);
        add(Kind::Udp6Multicast, by(all_nodes(scope)));
        for address in &interface.broadcasts {
            add(Kind::Udp4Broadcast, To::Port((*address, port).into()));
        }
    }
}

impl To {
    /// For the report.
    pub(crate) fn spelled(&self) -> String {
        match self {
            Self::Port(address) => address.to_string(),
            Self::By { address, interface } => format!("{address} by {interface}"),
            Self::Host(address) => address.to_string(),
            Self::Vsock { cid, port } => format!("cid {cid} port {port}"),
            Self::Nowhere => "the link".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};

    fn planned(line: &str, interfaces: &[Interface]) -> Vec<String> {
        let Ok(Command::Run(settings)) = parse(line.split_whitespace().map(Into::into)) else {
            panic!("`{line}` was refused")
        };
        everything(&settings, interfaces, &["192.0.2.53:53".parse().unwrap()])
            .into_iter()
            .map(|planned| format!("{} {}", planned.kind, planned.to.spelled()))
            .collect()
    }

    #[test]
    fn every_address_is_tried_by_every_protocol() {
        let plan = planned(
            "--token t --target tcp:192.0.2.1:80 --target udp:[2001:db8::1]:7 --target vsock:3:9 --dns 192.0.2.54",
            &[],
        );
        insta::assert_snapshot!(plan.join("\n"), @r"
        tcp4 192.0.2.1:80
        udp6 [2001:db8::1]:7
        udp6_direct [2001:db8::1]:7
        udp4_broadcast 255.255.255.255:7
        udp4_multicast 224.0.0.1:7
        udp6_multicast [ff02::1]:7
        ping4 192.0.2.1
        ping6 2001:db8::1
        icmp4 192.0.2.1
        icmp6 2001:db8::1
        raw4 192.0.2.1
        raw6 2001:db8::1
        packet the link
        vsock cid 2 port 9
        vsock cid 3 port 9
        dns_udp 192.0.2.53:53
        dns_udp 192.0.2.54:53
        dns_tcp 192.0.2.53:53
        dns_tcp 192.0.2.54:53
        ");
    }

    #[test]
    fn an_interface_that_is_up_is_tried_past_the_routes() {
        let interface = |name: &str, up| Interface {
            name: name.to_owned(),
            up,
            broadcasts: vec![Ipv4Addr::new(192, 0, 2, 255)],
        };
        let plan = planned(
            "--token t",
            &[interface("no-such0", true), interface("no-such1", false)],
        );
        for expected in [
            "udp4_broadcast 255.255.255.255:9 by no-such0",
            "udp4_broadcast 192.0.2.255:9",
            "udp4_multicast 224.0.0.1:9 by no-such0",
            "udp6_multicast [ff02::1]:9 by no-such0",
            "vsock cid 2 port 1024",
        ] {
            assert!(
                plan.iter().any(|line| line == expected),
                "{expected} is not in {plan:?}"
            );
        }
        assert!(!plan.iter().any(|line| line.contains("no-such1")));
    }
}
