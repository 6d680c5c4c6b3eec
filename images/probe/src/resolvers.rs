//! The resolvers that a C library of this container would ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Those of `/etc/resolv.conf`; without one, the C library's own default, which is loopback (resolv.conf(5)).
pub(crate) fn configured() -> Vec<SocketAddr> {
    let text = fs_err::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let found = named_in(&text);
    if found.is_empty() {
        vec![(Ipv4Addr::LOCALHOST, 53).into()]
    } else {
        found
    }
}

fn named_in(text: &str) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| address(rest.split_whitespace().next()?))
        .collect();
    found.dedup();
    found
}

/// An address, of IPv6 perhaps with the interface that it is on (`fe80::1%eth0`).
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, 53).into());
    }
    let (address, interface) = text.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = nix::net::if_::if_nametoindex(interface)
        .ok()
        .or_else(|| interface.parse().ok())?;
    Some(SocketAddrV6::new(address, 53, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_nameserver_line_counts_and_no_other() {
        let text = "# nameserver 9.9.9.9\nnameserver 10.0.0.2\n  nameserver\tfd00::2 # ours\nnameservers 1.2.3.4\n\
                    nameserver fe80::1%lo\nnameserver nonsense\noptions edns0\nnameserver";
        let found: Vec<String> = named_in(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.2:53", "[fd00::2]:53", "[fe80::1%1]:53"]);
    }

    proptest! {
        #[test]
        fn no_file_is_a_panic(text in "(nameserver[ \\t]+[0-9a-f:.%]{0,20}\n|.{0,20}\n){0,5}") {
            let _ = named_in(&text);
        }
    }
}
