//! How a host is dialled and whom to trust there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use rustls::ClientConfig;

use crate::authority::Authority;

/// One way of dialling and trusting. Connections are pooled per value.
#[derive(Debug)]
pub struct Upstream {
    /// Distinguishes this value in the pool's key.
    pub(crate) id: u64,
    pub(crate) dialer: Dialer,
    /// Used on `https`; its ALPN list says which protocols are offered.
    pub(crate) tls: Arc<ClientConfig>,
}

/// The way to an upstream.
#[derive(Clone, Debug)]
pub enum Dialer {
    /// Straight there, to checked addresses only.
    Direct(AddressRules),
    /// By CONNECT through another proxy (plain HTTP: in absolute form), which resolves the name.
    ThroughProxy(ProxyAddress),
}

/// Where an upstream proxy listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAddress {
    Unix(PathBuf),
    Tcp(Authority),
}

/// What an address must be like before it is dialled. Without rules, only public unicast addresses are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Networks that this upstream may be in although they are not public.
    pub permitted: Vec<IpNet>,
    /// Networks that nothing permits (the guard's own).
    pub never: Vec<IpNet>,
}

impl Upstream {
    pub fn new(dialer: Dialer, tls: Arc<ClientConfig>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            dialer,
            tls,
        })
    }
}
