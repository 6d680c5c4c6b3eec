//! The guard as its agent sees it: real sockets, real TLS on both legs, every way in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not take a test's helpers for tests"
)]

mod agent;
mod authority;
mod bottle;
mod direct;
mod git;
mod grants;
mod introspection;
mod log;
mod matrix;
mod program;
mod reload;
mod seat;
mod streams;
mod tripwire;
mod websocket;
