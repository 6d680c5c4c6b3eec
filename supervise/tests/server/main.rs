//! The program over its socket, as clients of both revisions meet it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not take a test's helpers for tests"
)]

mod bad_input;
mod delivery;
mod lives;
mod progress;
mod served;
