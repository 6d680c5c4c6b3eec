//! What the whole-system tests and the demo share: a Docker engine, an installed `bottle`, a home of its own, a
//! fixture "internet", and listeners on the host that say what reached them.
//!
//! Everything that is made here carries a name of its own and is removed when the value is dropped.

pub mod asking;
pub mod authority;
pub mod bench;
pub mod claude;
pub mod client_image;
pub mod demo;
pub mod docker;
pub mod git_upstream;
pub mod home;
pub mod internet;
pub mod listener;
pub mod pipelock;
pub mod prefix;
pub mod rows;
pub mod upstream;
