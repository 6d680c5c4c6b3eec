//! The TLS-intercepting forward proxy core that the guards share.
//!
//! A [`Policy`] decides and hands out a permit; the core moves bytes. It terminates TLS with leaf
//! certificates minted per host, insists that CONNECT, SNI and `Host` name the same place, and has no code
//! that tunnels bytes it has not understood.

#![allow(
    clippy::result_large_err,
    reason = "a Denial carries a whole answer; it is made once per refused request and moved by pointer until then"
)]

mod activity;
pub mod address;
mod agent;
mod answer;
pub mod authority;
mod body;
pub mod certificates;
mod chunk;
mod connect;
mod core;
mod detect;
mod dial;
mod exchange;
mod flow;
mod forward;
mod gate;
mod head;
mod headers;
pub mod inspect;
pub mod limits;
pub mod listen;
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

pub use address::{AddressRules, ForbiddenAddress, interface_networks};
pub use authority::{Authority, AuthorityError, DnsName, Host};
pub use certificates::{CertificateAuthority, CertificateError};
pub use inspect::{Cut, Inspector, Released};
pub use limits::{Limits, Timeouts};
pub use listen::{ListenAddress, ListenError, Listener};
pub use policy::{
    BodyLength, ConnectPlan, ConnectRequest, ConnectionId, Denial, Ended, Forward, LocalResponse, Outcome,
    Permit, Policy, RequestHead, Verdict, WayIn,
};
pub use proxy::Proxy;
pub use refusal::{Reason, Refusal};
pub use trust::TrustError;
pub use upstream::{Dialer, ProxyAddress, Resolve, Resolving, SystemResolver, Upstream};
