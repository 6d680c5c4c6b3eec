//! What agents ask for, and what operators answer: the queue read, shown and decided.
//!
//! A proposal is a file that supervise wrote, and supervise is no more trusted than the agent that talks to it: files are opened as
//! what a container can write, judged whole, and every text in them is made harmless before it is shown. Nothing here enforces
//! anything; [`crate::apply`] does what was decided.

pub mod decide;
pub mod diff;
pub mod notes;
pub mod notice;
pub mod queue;
pub mod risk;
pub mod settle;
pub mod show;

pub use queue::{Item, Queue};

#[cfg(test)]
mod tests;
