//! The network interfaces of this namespace, as three sources know them: netlink, sysfs and procfs.
//!
//! An interface that any of them names counts; one whose state nobody tells counts as up.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) up: bool,
    /// Broadcast addresses of its IPv4 networks.
    pub(crate) broadcasts: Vec<Ipv4Addr>,
}

/// All of them, sorted by name.
pub(crate) fn list() -> Vec<Interface> {
    let from_sysfs: Option<Vec<String>> = fs_err::read_dir("/sys/class/net").ok().map(|entries| {
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    });
    let from_procfs = fs_err::read_to_string("/proc/self/net/dev").ok();
    union(
        from_netlink(),
        from_sysfs.as_deref().unwrap_or_default(),
        from_procfs.as_deref(),
        |name| {
            let text = fs_err::read_to_string(format!("/sys/class/net/{name}/flags")).ok()?;
            let bits = i64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()?;
            Some(bits & i64::from(nix::libc::IFF_UP) != 0)
        },
    )
}

/// Where neither netlink nor procfs tells anything, nothing is known: one interface of the name `?` says so.
fn union(
    netlink: Option<BTreeMap<String, Interface>>,
    sysfs: &[String],
    procfs: Option<&str>,
    is_up: impl Fn(&str) -> Option<bool>,
) -> Vec<Interface> {
    let known = netlink.is_some() || procfs.is_some();
    let mut found = netlink.unwrap_or_default();
    // `/sys/class/net` also holds plain files of some drivers (`bonding_masters`), which have no flags.
    let named = procfs.map(names_in_procfs).unwrap_or_default();
    let in_sysfs = sysfs.iter().filter(|name| is_up(name).is_some()).cloned();
    for name in named.into_iter().chain(in_sysfs) {
        let up = is_up(&name).unwrap_or(true);
        found.entry(name.clone()).or_insert(Interface {
            name,
            up,
            broadcasts: Vec::new(),
        });
    }
    if !known {
        let nothing = Interface {
            name: "?".to_owned(),
            up: true,
            broadcasts: Vec::new(),
        };
        found.insert("?".to_owned(), nothing);
    }
    found.into_values().collect()
}

fn from_netlink() -> Option<BTreeMap<String, Interface>> {
    let mut found = BTreeMap::new();
    for address in getifaddrs().ok()? {
        let interface = found
            .entry(address.interface_name.clone())
            .or_insert_with(|| Interface {
                name: address.interface_name.clone(),
                up: false,
                broadcasts: Vec::new(),
            });
        interface.up |= address.flags.contains(InterfaceFlags::IFF_UP);
        let broadcast = address.broadcast.and_then(|it| it.as_sockaddr_in().copied());
        if let Some(broadcast) = broadcast.filter(|_| address.flags.contains(InterfaceFlags::IFF_BROADCAST)) {
            interface.broadcasts.push(*SocketAddrV4::from(broadcast).ip());
        }
    }
    Some(found)
}

/// Two lines of headings, then `  name: counters`.
fn names_in_procfs(text: &str) -> Vec<String> {
    text.lines()
        .skip(2)
        .filter_map(|line| line.rsplit_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCFS: &str = "Inter-|   Receive     |  Transmit\n face |bytes    packets|bytes\n    lo:  100 1\n  sit0: 0 0\neth0.5: 7 1\n";

    fn interface(name: &str, up: bool) -> Interface {
        Interface {
            name: name.to_owned(),
            up,
            broadcasts: Vec::new(),
        }
    }

    fn of_netlink(interfaces: &[Interface]) -> Option<BTreeMap<String, Interface>> {
        Some(
            interfaces
                .iter()
                .map(|it| (it.name.clone(), it.clone()))
                .collect(),
        )
    }

    #[test]
    fn what_one_source_hides_another_tells() {
        let found = union(
            of_netlink(&[interface("lo", true)]),
            &["wg0".to_owned()],
            Some(PROCFS),
            |name| Some(name != "sit0"),
        );
        let names: Vec<(&str, bool)> = found.iter().map(|it| (it.name.as_str(), it.up)).collect();
        assert_eq!(
            names,
            [("eth0.5", true), ("lo", true), ("sit0", false), ("wg0", true)]
        );
    }

    #[test]
    fn an_interface_whose_state_nobody_tells_is_up() {
        let found = union(None, &[], Some(PROCFS), |_| None);
        assert!(found.iter().all(|it| it.up) && found.len() == 3);
    }

    #[test]
    fn a_file_that_is_no_interface_is_none() {
        let found = union(of_netlink(&[]), &["bonding_masters".to_owned()], None, |_| None);
        assert_eq!(found, []);
    }

    #[test]
    fn where_nothing_can_be_read_nothing_is_proved() {
        assert_eq!(union(None, &[], None, |_| None), [interface("?", true)]);
    }

    #[test]
    fn loopback_is_found_here() {
        assert!(list().iter().any(|it| it.name == "lo"));
    }
}
