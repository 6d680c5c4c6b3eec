//! The program over its socket, as clients of both revisions meet it.

mod bad_input;
mod delivery;
mod lives;
mod served;
