//! The gate in front of a real sshd with real git, spoken to by real git over HTTP.

mod evasion;
mod fixture;
mod hostile;
mod pushing;
