//! One file per command: its arguments, and what it does with the library.

pub mod approve;
pub mod attach;
pub mod audit;
pub mod check;
pub mod cleanup;
pub mod completions;
pub mod doctor;
pub mod git;
pub mod images;
pub mod info;
pub mod init;
pub mod list;
pub mod logs;
pub mod pipelock;
pub mod proposals;
pub mod reject;
pub mod revoke;
pub mod routes;
pub mod start;
pub mod stop;
mod which;
