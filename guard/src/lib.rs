//! What every guard process does alike, whatever it guards.
//!
//! [`listen`] opens the front door; [`file`] reads a config file and notices that it changed; [`look`] does so every 50 ms and at
//! SIGHUP; [`ack`] says what is in force; [`event_log`] writes one line per decision; [`hardening`] keeps the process's memory to
//! itself; [`program`] is what happens around every service; [`agent_secrets`] reads the values that must not leave; [`durable`]
//! writes files that are there whole or not at all; [`shown`] keeps secrets out of what is told; [`held`] bounds what bodies take together that must be whole before a byte of
//! them leaves.
//!
//! What this crate refuses to do: decide anything, and know what a policy is.

pub mod ack;
pub mod agent_secrets;
pub mod clock;
pub mod durable;
pub mod event_log;
pub mod file;
pub mod hardening;
pub mod held;
pub mod listen;
pub mod look;
pub mod program;
pub mod shown;
pub mod signals;
pub mod stream;
