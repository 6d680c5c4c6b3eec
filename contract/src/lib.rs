//! The files and messages that the launcher and the guards exchange.
//!
//! Everything here is a value: it is parsed whole, checked while it is parsed, and cannot hold
//! something invalid afterwards. The route matcher lives here too, so that `bottle explain` runs the
//! very code that decides in the guard.
//!
//! What this crate refuses to do: open a socket, touch the file system, read the environment or the
//! clock, run anything asynchronous.

pub mod ack;
pub mod ask;
pub mod audit;
pub mod auth;
pub mod denial;
pub mod digest;
pub mod event;
pub mod gate;
pub mod grants;
pub mod host;
pub mod introspection;
pub mod matcher;
pub mod merge;
pub mod metadata;
pub mod method;
pub mod name;
pub mod path;
pub mod place;
pub mod proposal;
pub mod reading;
pub mod response;
pub mod route;
pub mod table;
pub mod time;

#[cfg(test)]
mod testing;
pub mod text;

pub use ack::Applied;
pub use ask::{Ask, CapabilityAsk, JustifiedAsk, PipelockAsk};
pub use audit::{AuditEntry, AuditEvent};
pub use auth::{AuthScheme, HeaderName, RouteAuth, TokenSlot};
pub use denial::{Denial, DenialReason, Guard, Remedy};
pub use digest::Sha256Hex;
pub use event::{AccessEvent, Decision, GitPlace};
pub use grants::{BootDeadline, GrantEnd, GrantEndCause, GrantLedger, GrantRecord};
pub use host::HostName;
pub use introspection::{LiveRoute, LiveTable};
pub use matcher::{Refusal, RequestLine};
pub use merge::{Change, Merged, RouteAsk};
pub use metadata::Metadata;
pub use method::Method;
pub use name::{AgentName, BottleName, EnvName, EventId, GrantId, LaunchNonce, ProposalId, SkillName, Slug};
pub use path::PathPrefix;
pub use proposal::{AskedBy, Proposal, Withdrawal};
pub use response::{Application, ApplyState, OperatorDecision, ProposalStatus, Response};
pub use route::{Addition, AgentCredentials, Grant, Route};
pub use table::{RouteTable, TableError};
pub use time::Timestamp;

/// Version of every JSON and YAML schema in this crate. A reader refuses any other.
pub const SCHEMA_VERSION: u32 = 1;

/// What an agent program is given where it insists on a credential (`ANTHROPIC_API_KEY` and the
/// like). Egress replaces it on a route with auth and accepts nothing else there.
pub const PLACEHOLDER_CREDENTIAL: &str = "bottle-placeholder-not-a-credential";
