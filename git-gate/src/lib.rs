//! The git guard: holds the keys, scans every new object of a push, then forwards it.
//!
//! An agent clones from and pushes to the gate over HTTP ([`front`]); the gate mirrors each upstream into a bare repository
//! ([`repository`]) and speaks to it over SSH ([`ssh`]). A push goes through `git receive-pack`, whose quarantine keeps its objects
//! apart; its two hooks are this same program ([`hook`]), which ask the running gate ([`push`]): first whether what would come in
//! may go out ([`push::judge`]), then to send it on ([`push::forward`]). The upstream's own answer, ref by ref, is what the agent
//! reads.
//!
//! What this crate refuses to do: reach an upstream that its table does not name, or in any way but SSH with a known host key;
//! forward an object that it has not read; take anything that the agent pushes as configuration; call a ref updated that the
//! upstream did not take.

pub mod command;
pub mod config;
pub mod environment;
pub mod events;
pub mod front;
#[doc(hidden)]
pub mod fuzzing;
pub mod git;
pub mod hook;
pub mod pkt;
pub mod push;
pub mod reload;
pub mod repository;
pub mod service;
pub mod ssh;
pub mod table;
