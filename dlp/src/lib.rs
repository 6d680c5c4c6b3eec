//! Our engine for the pipelock seat: looks at everything that leaves, and lets no secret through.
//!
//! Egress decides *where* the agent may talk; this guard decides *what* may leave. It reads pipelock's own YAML, and every
//! request takes one path: host and its name → URL → header values → body (or the messages of a WebSocket) → forward.
//!
//! * [`policy`] is what a config directory says, compiled; [`reload`] keeps it up to date; [`config`] reads the files.
//! * [`examiner`] looks at one request's parts and judges what the scanner finds there; [`head`] puts the parts of a head to
//!   it, [`body`] the parts of a body, whole or as they stream, [`messages`] those of a WebSocket.
//! * [`response`] looks at what comes back, where that is switched on.
//! * [`seat`] joins all of it to the core; [`permit`] is one admitted request; [`refused`] what the agent is told.
//!
//! What this crate refuses to do: pass on what it has not looked at (but for hosts that the operator listed for that), show
//! or keep a secret's value, and dial an address that the core's rules forbid.

pub mod answer;
pub mod body;
#[cfg(test)]
mod carriers;
pub mod command;
pub mod config;
pub mod encoding;
pub mod environment;
pub mod examiner;
#[doc(hidden)]
pub mod fuzzing;
pub mod head;
pub mod health;
pub mod hidden;
pub mod instructions;
pub mod joined;
pub mod messages;
pub mod permit;
pub mod policy;
pub mod refused;
pub mod reload;
pub mod response;
pub mod seat;
pub mod service;
pub mod upstream;
