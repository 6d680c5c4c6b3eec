//! The proxy on real sockets: a real agent side, a real TLS upstream, everything on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::result_large_err,
    reason = "all of it is test code, also outside the test functions"
)]

mod bodies;
mod faults;
mod harness;
mod headers;
mod inspection;
mod lifecycle;
mod limits;
mod names;
mod outcomes;
mod passthrough;
mod pooling;
mod protocols;
mod reach;
mod smuggling;
mod tunnels;
mod websocket;
mod websocket_ends;
mod websocket_upgrade;
mod withdrawal;
