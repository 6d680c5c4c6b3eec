//! The TLS-intercepting forward proxy core that the guards share.
//!
//! A [`Policy`] decides and hands out a permit; the core moves bytes. It terminates TLS with leaf
//! certificates minted per host, insists that CONNECT, SNI and `Host` name the same place, and has no code
//! that tunnels bytes it has not understood.

pub mod authority;
mod head;
pub mod inspect;
pub mod limits;
pub mod policy;
pub mod refusal;
mod target;
pub mod upstream;

pub use authority::{Authority, AuthorityError, DnsName, Host};
pub use inspect::{Cut, Inspector, Released};
pub use policy::{
    BodyLength, ConnectPlan, ConnectRequest, ConnectionId, Denial, Ended, Forward, LocalResponse, Outcome,
    Permit, Policy, RequestHead, Verdict, WayIn,
};
pub use refusal::{Reason, Refusal};
pub use upstream::{AddressRules, Dialer, ProxyAddress, Upstream};
