//! How hosts are dialled and whom to trust there.
//!
//! Through a seat: for hosts that it looks into, its CA alone; for those it passes through, the public roots and the operator's
//! extra CA alone. A way around the seat, or a seat that looks where it should not, fails TLS. Without a seat the
//! core's own dialler goes straight, to public addresses only and the one private network that a route may name.

use std::collections::HashMap;
use std::sync::Arc;

use contract::Route;
use contract::place::config::EXTRA_CA;
use ipnet::IpNet;
use mitm::{AddressRules, ProxyAddress, Upstream, trust};
use parking_lot::Mutex;
use rustls::ClientConfig;

/// The guard's one way out.
#[derive(Debug, Clone)]
pub enum WayOut {
    /// By CONNECT through the seat.
    Seat {
        /// Where it listens.
        address: ProxyAddress,
        /// Whom it signs as: certificates in PEM.
        authorities: String,
    },
    /// Straight to the host.
    Direct {
        /// The guard's own networks, in which no host may resolve.
        own_networks: Vec<IpNet>,
    },
}

/// Hands out one [`Upstream`] per way of dialling and trusting, the same across reloads, so that pooled connections
/// outlive a reload and nothing else shares them.
#[derive(Debug)]
pub struct Upstreams {
    way_out: WayOut,
    inspected: Arc<ClientConfig>,
    public: Arc<ClientConfig>,
    made: Mutex<HashMap<Kind, Arc<Upstream>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    inspect: bool,
    private: Option<IpNet>,
}

/// Whom to trust cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct UntrustedError {
    /// Which file.
    pub what: &'static str,
    /// What is wrong.
    pub why: trust::TrustError,
}

// === impl Upstreams ===

impl Upstreams {
    /// Sets up trust: the public roots and `extra` (PEM) where hosts are reached by themselves, the seat's authorities where
    /// it looks inside.
    pub fn new(way_out: WayOut, extra: &str) -> Result<Self, UntrustedError> {
        let wrong = |what| move |why| UntrustedError { what, why };
        let public = trust::public_roots(extra).map_err(wrong(EXTRA_CA))?;
        let inspected = match &way_out {
            WayOut::Direct { .. } => public.clone(),
            WayOut::Seat { authorities, .. } => {
                trust::only(authorities).map_err(wrong("the upstream proxy's CA"))?
            }
        };
        Ok(Self {
            way_out,
            inspected,
            public,
            made: Mutex::default(),
        })
    }

    /// Whether the way out is a seat.
    pub fn has_seat(&self) -> bool {
        matches!(self.way_out, WayOut::Seat { .. })
    }

    /// The upstream of a route.
    pub fn of(&self, route: &Route) -> Arc<Upstream> {
        let (inspect, private) = match self.way_out {
            // What resolves where is the seat's to judge.
            WayOut::Seat { .. } => (route.inspect, None),
            WayOut::Direct { .. } => (true, route.private_cidr),
        };
        let mut made = self.made.lock();
        let upstream = made
            .entry(Kind { inspect, private })
            .or_insert_with(|| self.make(inspect, private));
        upstream.clone()
    }

    fn make(&self, inspect: bool, private: Option<IpNet>) -> Arc<Upstream> {
        let tls = if inspect { &self.inspected } else { &self.public };
        match &self.way_out {
            WayOut::Seat { address, .. } if inspect => Upstream::through_proxy(address.clone(), tls.clone()),
            WayOut::Seat { address, .. } => Upstream::past_proxy(address.clone(), tls.clone()),
            WayOut::Direct { own_networks } => {
                let rules = AddressRules {
                    permitted: private.into_iter().collect(),
                    never: own_networks.clone(),
                };
                Upstream::direct(rules, tls.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::HostName;

    fn route(inspect: bool, private: Option<&str>) -> Route {
        let host: HostName = "a.example".parse().unwrap();
        Route {
            inspect,
            private_cidr: private.map(|network| network.parse().unwrap()),
            ..Route::bare(host)
        }
    }

    fn test_authority() -> String {
        rcgen::generate_simple_self_signed(["seat".to_owned()])
            .unwrap()
            .cert
            .pem()
    }

    fn direct() -> Upstreams {
        Upstreams::new(WayOut::Direct { own_networks: vec![] }, "").unwrap()
    }

    #[test]
    fn routes_share_an_upstream_exactly_when_they_dial_and_trust_alike() {
        let upstreams = direct();
        let bare = upstreams.of(&route(true, None));
        assert!(Arc::ptr_eq(&bare, &upstreams.of(&route(true, None))));
        let private = upstreams.of(&route(true, Some("10.1.2.0/24")));
        assert!(!Arc::ptr_eq(&bare, &private));
        assert!(!Arc::ptr_eq(
            &private,
            &upstreams.of(&route(true, Some("10.1.3.0/24")))
        ));
    }

    #[test]
    fn a_host_that_the_seat_passes_through_is_not_trusted_like_one_it_looks_into() {
        let way_out = WayOut::Seat {
            address: ProxyAddress::Unix("/run/seat.sock".into()),
            authorities: test_authority(),
        };
        let upstreams = Upstreams::new(way_out, "").unwrap();
        let inspected = upstreams.of(&route(true, None));
        assert!(!Arc::ptr_eq(&inspected, &upstreams.of(&route(false, None))));
        assert!(!Arc::ptr_eq(&upstreams.inspected, &upstreams.public));
    }

    #[test]
    fn a_seat_without_authorities_is_an_error() {
        let way_out = WayOut::Seat {
            address: ProxyAddress::Unix("/run/seat.sock".into()),
            authorities: String::new(),
        };
        let error = Upstreams::new(way_out, "").unwrap_err().to_string();
        assert!(error.contains("the upstream proxy's CA"), "{error}");
    }
}
