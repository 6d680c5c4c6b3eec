//! The egress guard: a forward proxy that lets an agent reach what its routes name, and nothing else.
//!
//! Every request, whatever its way in, takes one path: parse (in the core) → host → method → path → agent credentials →
//! tripwire → injection → forward. [`decision`] is that path; [`guard`] joins it to the core, the log and the grants;
//! [`reload`] keeps the policy up to date with its file; [`command`] is the program.
//!
//! What this crate refuses to do: reach anything but an upstream that a route admits, show a credential's value to anyone but
//! that upstream, and let a request through that it cannot log.

pub mod address;
pub mod agent_credentials;
pub mod answer;
pub mod ask_guard;
pub mod command;
pub mod config;
pub mod credential;
pub mod decision;
pub mod encoded;
pub mod forms;
pub mod git_push;
pub mod grants;
pub mod guard;
pub use ::guard::held;
pub mod introspection;
pub mod messages;
pub mod overrides;
pub mod permit;
pub mod policy;
pub mod refused;
pub mod reload;
pub mod service;
pub mod standing;
pub mod tripwire;
pub mod upstream;
