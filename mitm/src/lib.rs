//! The TLS-intercepting forward proxy core that the guards share.
//!
//! A [`Policy`] decides and hands out a permit; the core moves bytes. It terminates TLS with leaf
//! certificates minted per host, insists that CONNECT, SNI and `Host` name the same place, and tunnels
//! nothing that it has not understood. HTTP/1.1 and HTTP/2 are spoken on both legs, each chosen by
//! itself; every way in ends in one request path. The one exception is a host that the policy's plan for a CONNECT
//! passes through ([`ConnectPlan::Passthrough`]).
//!
//! How a request goes: the *gate* judges its raw head → *request* compares every name of the host →
//! [`Policy::admit`] → *forward* takes a pooled connection or *dials* → the response's head is put to the
//! [`Permit`] → both bodies *flow* frame by frame past their [`Inspector`]s → [`Permit::finished`]. After a 101 it is
//! the messages of a *websocket* that go past their [`MessageInspector`]s.
//!
//! ```no_run
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use http::{HeaderMap, Response};
//! use mitm::*;
//!
//! struct OneHost { upstream: Arc<Upstream> }
//! struct Leave;
//!
//! fn no(status: u16, text: &str) -> Denial {
//!     let mut told_agent = Response::new(Bytes::from(text.to_owned()));
//!     *told_agent.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
//!     Denial { told_agent, logged: text.to_owned() }
//! }
//!
//! impl Policy for OneHost {
//!     type Permit = Leave;
//!
//!     fn connect(&self, request: &ConnectRequest<'_>) -> Result<ConnectPlan, Denial> {
//!         match request.authority.to_string().as_str() {
//!             "docs.rs:443" => Ok(ConnectPlan::Intercept { http2: true }),
//!             other => Err(no(403, &format!("{other} is not on the list"))),
//!         }
//!     }
//!
//!     async fn admit(&self, head: &RequestHead, _headers: &mut HeaderMap) -> Verdict<Leave> {
//!         if head.path().starts_with(b"/crate/") {
//!             Verdict::Forward(Forward { permit: Leave, upstream: Arc::clone(&self.upstream) })
//!         } else {
//!             Verdict::Deny(no(403, "this path is not on the list"))
//!         }
//!     }
//!
//!     fn refused(&self, refusal: &Refusal<'_>) -> LocalResponse {
//!         no(refusal.reason.status().as_u16(), refusal.detail).told_agent
//!     }
//! }
//!
//! impl Permit for Leave {
//!     fn finished(self, outcome: Outcome) {
//!         tracing::info!(?outcome, "done");
//!     }
//! }
//!
//! # async fn run(ca: &str, key: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::direct(AddressRules::default(), trust::public_roots("")?);
//! let authority = CertificateAuthority::from_pem(ca, key)?;
//! let proxy = Proxy::new(Arc::new(OneHost { upstream }), authority, Limits::default());
//! let address = ListenAddress::Unix { path: "/run/guard.sock".into(), mode: 0o600 };
//! let listener = Listener::bind(&address)?;
//! let warm = proxy.clone();
//! tokio::spawn(async move { warm.warm_up().await });
//! proxy.serve(listener, tokio_util::sync::CancellationToken::new()).await;
//! # Ok(())
//! # }
//! ```

#![allow(
    clippy::result_large_err,
    reason = "a Denial carries a whole answer; it is made once per refused request and moved by pointer until then"
)]

mod activity;
pub mod address;
mod again;
mod agent;
mod ahead;
mod answer;
pub mod authority;
mod body;
pub mod certificates;
pub mod changes;
mod chunk;
mod connect;
mod core;
mod denial_reason;
mod detect;
mod dial;
mod ending;
pub mod event;
mod exchange;
mod flow;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod head;
mod headers;
pub mod inspect;
pub mod limits;
mod passthrough;
pub mod policy;
mod pool;
mod proxy;
pub mod refusal;
mod request;
mod stream;
mod target;
pub mod trust;
mod tunnel;
pub mod upstream;
mod websocket;

pub use address::{AddressRules, ForbiddenAddress, interface_networks};
pub use authority::{Authority, AuthorityError, DnsName, Host};
pub use certificates::{CertificateAuthority, CertificateError};
pub use changes::Changes;
pub use denial_reason::denial_reason;
pub use event::{Draft, Teller};
pub use guard::listen::{ListenAddress, ListenError, Listener};
pub use inspect::{CloseReason, Cut, Inspector, MessageInspector, MessageInspectors, Released};
pub use limits::{Limits, Timeouts};
pub use policy::{
    BodyLength, ConnectPlan, ConnectRequest, ConnectionId, Denial, Ended, Forward, LocalResponse, Outcome,
    Permit, Policy, RequestHead, Verdict, WayIn,
};
pub use proxy::Proxy;
pub use refusal::{Reason, Refusal};
pub use trust::TrustError;
pub use upstream::{Dialer, ProxyAddress, Resolve, Resolving, SystemResolver, Upstream};
