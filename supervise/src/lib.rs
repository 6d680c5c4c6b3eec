//! The supervise guard: an MCP server by which a stuck agent asks its operator.
//!
//! An agent calls a tool ([`tools`]); the call becomes a durable proposal ([`queue`]), the operator's side of the project
//! answers it in files of its own, and the call returns when the answer is true ([`answer`]). [`server`] joins that to MCP,
//! [`front`] to HTTP, [`service`] puts it together, [`command`] is the program.
//!
//! What this crate refuses to do: decide anything, change anything, or say that something is allowed. It writes questions,
//! and reads answers from a directory that it cannot write.

pub mod answer;
mod caller;
pub mod calls;
pub mod command;
mod failure_point;
pub mod front;
pub mod live_table;
mod progress;
pub mod queue;
pub mod server;
pub mod service;
pub mod tools;
