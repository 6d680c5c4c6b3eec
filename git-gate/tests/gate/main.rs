//! The gate in front of a real sshd with real git, spoken to by real git over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not take a test's helpers for tests"
)]

mod agent_secrets;
mod crafted;
mod evasion;
mod fixture;
mod hostile;
mod pushing;
mod upstreams;
