//! Which addresses may be dialled: the rules against server-side request forgery.
//!
//! A name that the policy allows can resolve to anything its owner likes: to the host's own services, to a
//! cloud's metadata, to another bottle. Only public unicast addresses are dialled, and those that an operator
//! permitted for that host. An IPv6 address that carries an IPv4 address inside is refused as a whole: every
//! such form has been used to get around a list of IPv4 networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What an address must be like before it is dialled. Without rules, only public unicast addresses are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Networks that this upstream may be in although they are not public.
    pub permitted: Vec<IpNet>,
    /// Networks that nothing permits (the guard's own).
    pub never: Vec<IpNet>,
}

/// An address that must not be dialled, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what}")]
pub struct ForbiddenAddress {
    pub address: IpAddr,
    pub what: &'static str,
}

impl AddressRules {
    /// Checks one address.
    pub fn check(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        if self.never.iter().any(|network| network.contains(&address)) {
            return Err(ForbiddenAddress {
                address,
                what: "in a network of the guard itself",
            });
        }
        match what_is(address) {
            // Whoever permits a wide private network does not mean the service that hands out the machine's credentials.
            Some(what @ METADATA) => Err(ForbiddenAddress { address, what }),
            Some(what) if !self.permitted.iter().any(|network| network.contains(&address)) => {
                Err(ForbiddenAddress { address, what })
            }
            _ => Ok(()),
        }
    }
}

/// What holds the credentials of a cloud's machines; never dialled, whatever is permitted.
const METADATA: &str = "a cloud's metadata service";

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(high: [u16; 4], low: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(
        Ipv6Addr::new(high[0], high[1], high[2], high[3], 0, 0, 0, low),
        prefix,
    )
}

/// IANA's special-purpose IPv4 registry (not globally reachable), multicast, and two addresses of clouds. The
/// first match names the address, so the narrow ones come first.
const FORBIDDEN_V4: &[(Ipv4Net, &str)] = &[
    (v4(169, 254, 169, 254, 32), METADATA),
    (v4(168, 63, 129, 16, 32), METADATA),
    (v4(100, 100, 100, 200, 32), METADATA),
    (v4(0, 0, 0, 0, 8), "unspecified (this network)"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared (carrier-grade NAT)"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved for protocols"),
    (v4(192, 0, 2, 0, 24), "for documentation"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "for benchmarks"),
    (v4(198, 51, 100, 0, 24), "for documentation"),
    (v4(203, 0, 113, 0, 24), "for documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved or broadcast"),
];

/// IANA's special-purpose IPv6 registry; what is left outside 2000::/3 is refused without a name of its own.
const FORBIDDEN_V6: &[(Ipv6Net, &str)] = &[
    (v6([0xfd00, 0x0ec2, 0, 0], 0, 32), METADATA),
    (v6([0xfd20, 0x00ce, 0, 0], 0, 32), METADATA),
    (v6([0, 0, 0, 0], 0, 128), "unspecified"),
    (v6([0, 0, 0, 0], 1, 128), "loopback"),
    // ::/96 and ::ffff:0:0/96 (and the translated ::ffff:0:0:0/96) lie in ::/64.
    (
        v6([0, 0, 0, 0], 0, 64),
        "an IPv4-mapped or IPv4-compatible address",
    ),
    (v6([0x0064, 0xff9b, 0, 0], 0, 96), "a NAT64 address"),
    (v6([0x0064, 0xff9b, 1, 0], 0, 48), "a local-use NAT64 address"),
    (v6([0x0100, 0, 0, 0], 0, 64), "discard-only"),
    (v6([0x2001, 0, 0, 0], 0, 32), "a Teredo address"),
    (v6([0x2001, 0x0db8, 0, 0], 0, 32), "for documentation"),
    (v6([0x2001, 0, 0, 0], 0, 23), "reserved for protocols"),
    (v6([0x2002, 0, 0, 0], 0, 16), "a 6to4 address"),
    (v6([0x3fff, 0, 0, 0], 0, 20), "for documentation"),
    (v6([0x5f00, 0, 0, 0], 0, 16), "a segment-routing identifier"),
    (v6([0xfc00, 0, 0, 0], 0, 7), "private (unique local)"),
    (v6([0xfe80, 0, 0, 0], 0, 10), "link-local"),
    (v6([0xfec0, 0, 0, 0], 0, 10), "private (site-local)"),
    (v6([0xff00, 0, 0, 0], 0, 8), "multicast"),
];

/// All of today's global unicast IPv6 space (RFC 4291 §2.4 and the IANA allocation).
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 0, 3);

/// Why an address is not public unicast; none when it is.
fn what_is(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => FORBIDDEN_V4
            .iter()
            .find(|(network, _)| network.contains(&address))
            .map(|(_, what)| *what),
        IpAddr::V6(address) => {
            let named = FORBIDDEN_V6
                .iter()
                .find(|(network, _)| network.contains(&address));
            named
                .map(|(_, what)| *what)
                .or_else(|| (!GLOBAL_V6.contains(&address)).then_some("not public"))
        }
    }
}

/// The networks that this machine's interfaces are in, for [`AddressRules::never`].
pub fn interface_networks() -> std::io::Result<Vec<IpNet>> {
    let mut networks = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let (Some(address), Some(mask)) = (
            interface.address.as_ref().and_then(ip_of),
            interface.netmask.as_ref().and_then(ip_of),
        ) else {
            continue;
        };
        if let Ok(network) = IpNet::with_netmask(address, mask) {
            networks.push(network.trunc());
        }
    }
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}

fn ip_of(storage: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(rules: &AddressRules, address: &str) -> Result<(), &'static str> {
        rules
            .check(address.parse().unwrap())
            .map_err(|forbidden| forbidden.what)
    }

    #[test]
    fn a_metadata_service_is_never_dialled_whatever_is_permitted() {
        let rules = AddressRules {
            permitted: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            ..AddressRules::default()
        };
        for address in [
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd20:ce::254",
        ] {
            assert_eq!(check(&rules, address), Err(METADATA), "{address}");
        }
        assert_eq!(check(&rules, "10.1.2.3"), Ok(()));
    }

    #[test]
    fn public_addresses_may_be_dialled() {
        for address in [
            "1.1.1.1",
            "140.82.121.4",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2001:200::1",
            "2003::1",
        ] {
            assert_eq!(check(&AddressRules::default(), address), Ok(()), "{address}");
        }
    }

    #[test]
    fn every_address_that_leads_inside_is_refused() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.1.1",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "64:ff9b:1:ffff::1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "2001:2::1",
            "2001:10::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "1::1",
            "4000::1",
            "e000::1",
        ] {
            assert!(check(&AddressRules::default(), address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_permitted_network_opens_itself_and_nothing_beside_it() {
        let rules = AddressRules {
            permitted: vec!["10.1.2.0/24".parse().unwrap()],
            never: Vec::new(),
        };
        assert_eq!(check(&rules, "10.1.2.7"), Ok(()));
        assert_eq!(check(&rules, "10.1.3.7"), Err("private"));
        assert!(check(&rules, "::ffff:10.1.2.7").is_err());
        assert!(check(&rules, "64:ff9b::a01:207").is_err());
    }

    #[test]
    fn the_guards_own_networks_are_refused_even_when_permitted_or_public() {
        let rules = AddressRules {
            permitted: vec!["172.16.0.0/12".parse().unwrap()],
            never: vec![
                "172.20.0.0/16".parse().unwrap(),
                "198.200.0.0/24".parse().unwrap(),
            ],
        };
        assert_eq!(check(&rules, "172.21.0.1"), Ok(()));
        assert_eq!(
            check(&rules, "172.20.0.1"),
            Err("in a network of the guard itself")
        );
        assert_eq!(
            check(&rules, "198.200.0.1"),
            Err("in a network of the guard itself")
        );
    }

    #[test]
    fn the_loopback_network_is_among_the_interfaces() {
        let networks = interface_networks().unwrap();
        assert!(
            networks
                .iter()
                .any(|network| network.contains(&IpAddr::from([127, 0, 0, 1]))),
            "{networks:?}"
        );
    }

    proptest! {
        #[test]
        fn no_ipv6_form_of_an_ipv4_address_is_dialled(v4: u32) {
            let (high, low) = ((v4 >> 16) as u16, v4 as u16);
            for v6 in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 1),
            ] {
                prop_assert!(AddressRules::default().check(IpAddr::V6(v6)).is_err(), "{}", v6);
            }
        }
    }
}
