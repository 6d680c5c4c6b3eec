//! How a host is dialled and whom to trust there: values that the policy makes once and names per request.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ClientConfig;

use crate::address::AddressRules;
use crate::authority::{Authority, DnsName};

/// One way of dialling and trusting. Connections are pooled per value, so make one per way and keep it, also
/// across reloads; one that is dropped lets its pooled connections run out.
#[derive(Debug)]
pub struct Upstream {
    /// Distinguishes this value in the pool's key.
    pub(crate) id: u64,
    pub(crate) dialer: Dialer,
    /// Used on `https`; its ALPN list says which protocols are offered.
    tls: Arc<ClientConfig>,
    /// The same, offering HTTP/1.1 alone.
    http1: Arc<ClientConfig>,
    /// Whoever TLS is spoken with is the proxy itself, which looks into what passes.
    neighbour: bool,
}

/// The way to an upstream.
#[derive(Clone, Debug)]
pub enum Dialer {
    /// Straight there, to checked addresses only.
    Direct {
        rules: AddressRules,
        resolver: Arc<dyn Resolve>,
    },
    /// By CONNECT through another proxy (plain HTTP: in absolute form), which resolves the name.
    ThroughProxy(ProxyAddress),
}

/// Where an upstream proxy listens. It is the operator's choice, so no address rules apply to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAddress {
    Unix(PathBuf),
    Tcp(Authority),
}

/// What [`Resolve::resolve`] returns.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of a name. Asked once per new connection; what it says is checked and then dialled,
/// and not asked again, so an answer that changes in between changes nothing.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> Resolving<'a>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> Resolving<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

// === impl Upstream ===

impl Upstream {
    pub fn new(dialer: Dialer, tls: Arc<ClientConfig>) -> Arc<Self> {
        let neighbour = matches!(dialer, Dialer::ThroughProxy(_));
        Self::make(dialer, tls, neighbour)
    }

    fn make(dialer: Dialer, tls: Arc<ClientConfig>, neighbour: bool) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut http1 = ClientConfig::clone(&tls);
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            dialer,
            tls,
            http1: Arc::new(http1),
            neighbour,
        })
    }

    /// Whether HTTP/2 is offered for a request, by whether the agent speaks it.
    ///
    /// To the host itself it always is, straight or through a proxy's tunnel: one connection then does for all, and some
    /// hosts speak nothing else. An upstream proxy that looks into what passes
    /// is a neighbour, to which a connection costs next to nothing and HTTP/2's frames cost more CPU than the whole rest
    /// of a small request; it is spoken there for what came by it, which may need it (gRPC).
    pub(crate) fn offers_http2(&self, agent_speaks_it: bool) -> bool {
        agent_speaks_it || !self.neighbour
    }

    /// What to offer and whom to trust.
    pub(crate) fn tls(&self, http2: bool) -> Arc<ClientConfig> {
        Arc::clone(if http2 { &self.tls } else { &self.http1 })
    }

    /// Straight to the host, by the system's resolver.
    pub fn direct(rules: AddressRules, tls: Arc<ClientConfig>) -> Arc<Self> {
        Self::new(
            Dialer::Direct {
                rules,
                resolver: Arc::new(SystemResolver),
            },
            tls,
        )
    }

    /// Through another proxy, which lets through what passes between us and the host itself.
    pub fn past_proxy(proxy: ProxyAddress, tls: Arc<ClientConfig>) -> Arc<Self> {
        Self::make(Dialer::ThroughProxy(proxy), tls, false)
    }

    /// Through another proxy, which looks into what passes.
    pub fn through_proxy(proxy: ProxyAddress, tls: Arc<ClientConfig>) -> Arc<Self> {
        Self::new(Dialer::ThroughProxy(proxy), tls)
    }
}
