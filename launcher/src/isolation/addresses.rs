//! Every address at which this host could be reached from a container, and the resolvers that it uses.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// A resolver that answers anybody who reaches the internet.
const PUBLIC_RESOLVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(1, 1, 1, 1));
/// As many as glibc reads (resolv.conf(5)).
const MOST_RESOLVERS: usize = 3;

/// Addresses of the host's interfaces. Its loopback is left out: inside of a container those addresses are the container's own.
pub(super) fn of_host() -> std::io::Result<BTreeSet<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(std::io::Error::from)?;
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let four = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        let six = address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip()));
        four.or(six)
    });
    Ok(addresses.filter(|address| !address.is_loopback()).collect())
}

/// The host's resolvers and a public one.
pub(super) fn resolvers() -> BTreeSet<IpAddr> {
    let text = fs_err::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut resolvers = of_resolv_conf(&text);
    resolvers.insert(PUBLIC_RESOLVER);
    resolvers
}

fn of_resolv_conf(text: &str) -> BTreeSet<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
        })
        .take(MOST_RESOLVERS)
        .filter(|address: &IpAddr| !address.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_resolvers_are_read_and_loopback_ones_are_the_containers_own() {
        let text = "# comment\nnameserver 10.0.0.2\nsearch corp.example\nnameserver 127.0.0.53\nnameserver fd00::53 # x\nnameserver 10.0.0.9\n";
        let expected: BTreeSet<IpAddr> = ["10.0.0.2", "fd00::53"].map(|text| text.parse().unwrap()).into();
        assert_eq!(of_resolv_conf(text), expected);
        assert_eq!(of_resolv_conf("nameserver\nnameserver x"), BTreeSet::new());
    }

    #[test]
    fn no_address_of_the_host_is_loopback() {
        assert!(of_host().unwrap().iter().all(|address| !address.is_loopback()));
    }
}
