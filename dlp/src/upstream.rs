//! How hosts are dialled: straight, to public addresses and to the private networks that the files permit for that host.

use std::sync::Arc;

use ipnet::IpNet;
use mitm::{AddressRules, Resolve, Upstream};
use parking_lot::Mutex;
use rustls::ClientConfig;

/// Hands out one [`Upstream`] per set of address rules, the same across reloads, so that pooled connections outlive a reload.
#[derive(Debug)]
pub struct Upstreams {
    tls: Arc<ClientConfig>,
    resolver: Arc<dyn Resolve>,
    own_networks: Vec<IpNet>,
    made: Mutex<Vec<(AddressRules, Arc<Upstream>)>>,
}

/// Policies in force at once are few; what older ones left behind is let go from this many on.
const KEPT: usize = 64;

// === impl Upstreams ===

impl Upstreams {
    /// `tls` says whom to trust; in `own_networks` no host may resolve.
    pub fn new(tls: Arc<ClientConfig>, resolver: Arc<dyn Resolve>, own_networks: Vec<IpNet>) -> Self {
        Self {
            tls,
            resolver,
            own_networks,
            made: Mutex::default(),
        }
    }

    /// The upstream of a host that may resolve in `permitted`, and never in `refused`.
    pub fn of(&self, mut permitted: Vec<IpNet>, refused: &[IpNet]) -> Arc<Upstream> {
        permitted.sort_unstable();
        permitted.dedup();
        let rules = AddressRules {
            permitted,
            never: self.own_networks.iter().chain(refused).copied().collect(),
        };
        let mut made = self.made.lock();
        if let Some((_, upstream)) = made.iter().find(|(other, _)| *other == rules) {
            return upstream.clone();
        }
        if made.len() >= KEPT {
            made.clear();
        }
        let dialer = mitm::Dialer::Direct {
            rules: rules.clone(),
            resolver: self.resolver.clone(),
        };
        let upstream = Upstream::new(dialer, self.tls.clone());
        made.push((rules, upstream.clone()));
        upstream
    }
}

/// The networks of this machine's interfaces, in which no host may resolve. Loopback is not among them: it is refused anyway,
/// unless the operator's own file permits it.
pub fn own_networks() -> std::io::Result<Vec<IpNet>> {
    let mut networks = mitm::interface_networks()?;
    networks.retain(|network| !network.addr().is_loopback());
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_share_an_upstream_exactly_when_they_may_resolve_alike() {
        let tls = mitm::trust::public_roots("").unwrap();
        let upstreams = Upstreams::new(tls, Arc::new(mitm::SystemResolver), vec![]);
        let network: IpNet = "10.1.2.0/24".parse().unwrap();
        let bare = upstreams.of(vec![], &[]);
        assert!(Arc::ptr_eq(&bare, &upstreams.of(vec![], &[])));
        let private = upstreams.of(vec![network], &[]);
        assert!(!Arc::ptr_eq(&bare, &private));
        assert!(Arc::ptr_eq(&private, &upstreams.of(vec![network, network], &[])));
        assert!(!Arc::ptr_eq(&bare, &upstreams.of(vec![], &[network])));
    }
}
