//! The seat as egress sees it: a real process, real sockets, real TLS on both legs, and an upstream that says what it saw.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not take a test's helpers for tests"
)]

mod client;
mod corpus;
mod false_alarms;
mod namespace;
mod program;
#[path = "../../../secrets/tests/registry/mod.rs"]
mod registry;
mod requests;
mod seat;
mod upstream;
