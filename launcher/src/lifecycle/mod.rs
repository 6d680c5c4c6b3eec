//! A bottle's life: made ready, brought up, proven isolated, taken down, settled; and what is done about one whose launcher died.
//!
//! Whatever happens in between, a start ends in one of two ways: a bottle that runs and is proven isolated, or nothing at all.

mod container_logs;
pub mod events;
pub mod folder;
pub mod interrupt;
pub mod lock;
pub mod machine;
pub mod observe;
pub mod phases;
pub mod probed;
pub mod ready;
mod salvage;
pub mod settle;
pub mod start;
pub mod stop;
pub mod teardown;
mod tree;

pub use machine::Machine;
pub use observe::Bottle;
pub use settle::{BottleState, Cause};
pub use stop::{Outcome, tell_set_aside};
pub use teardown::{Settled, Tools};
