//! One proxy under a scriptable policy, scripted origins, and agents that can say anything.

mod agent;
mod authority;
mod origin;
mod policy;

pub(crate) use agent::{Agent, Answer, get, h2_client, read_answer, read_head};
pub(crate) use authority::TestAuthority;
pub(crate) use origin::{Io, Origin, Seen, serve_raw, text};
pub(crate) use policy::{Event, Loopback, Script, TestPermit, denial};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mitm::{CertificateAuthority, Changes, Limits, ListenAddress, Listener, Proxy};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A running proxy.
pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) authority: TestAuthority,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) changes: Changes,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: tokio::task::JoinHandle<()>,
}

/// Nothing in a test takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl Bench {
    pub(crate) async fn start(script: Script) -> Self {
        Self::with_limits(script, Limits::default()).await
    }

    /// One that lets everything through to this origin, which it trusts.
    pub(crate) async fn before(origin: &Origin) -> Self {
        Self::start(Script::direct(origin.trust())).await
    }

    pub(crate) async fn with_limits(script: Script, limits: Limits) -> Self {
        let listener = Listener::bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
        Self::run(script, limits, listener)
    }

    pub(crate) async fn on(script: Script, listener: Listener) -> Self {
        Self::run(script, Limits::default(), listener)
    }

    fn run(script: Script, limits: Limits, listener: Listener) -> Self {
        let authority = TestAuthority::new("test agent CA");
        let (policy, events) = script.build();
        let ca = CertificateAuthority::from_pem(&authority.certificate_pem(), &authority.key_pem()).unwrap();
        let proxy = Proxy::new(Arc::new(policy), ca, limits);
        let address = listener.local_addr().unwrap_or(([127, 0, 0, 1], 0).into());
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let changes = proxy.changes();
        let serving = tokio::spawn(async move { proxy.serve(listener, token).await });
        Self {
            address,
            authority,
            events,
            changes,
            shutdown,
            serving,
        }
    }

    /// The next thing that the policy was told.
    pub(crate) async fn event(&mut self) -> Event {
        within(self.events.recv()).await.expect("the proxy is alive")
    }

    /// Nothing more was told to the policy. Everything that could tell is over when this is called.
    pub(crate) fn no_event(&mut self) {
        if let Ok(event) = self.events.try_recv() {
            panic!("unexpected {event:?}");
        }
    }

    pub(crate) async fn agent(&self) -> Agent {
        Agent::dial(self.address).await
    }

    /// An agent in a tunnel that is to speak HTTP/2.
    pub(crate) async fn tunnel_http2(&self, authority: &str) -> Agent {
        let agent = self.agent().await;
        agent.tunnel(authority, &self.authority, &[b"h2"]).await
    }

    /// An agent in a tunnel, speaking HTTP/1.1.
    pub(crate) async fn tunnel(&self, authority: &str) -> Agent {
        let agent = self.agent().await;
        agent.tunnel(authority, &self.authority, &[b"http/1.1"]).await
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("done long ago")
}
