//! Numbered places at which a test kills the process: before and after every step that makes a file durable.
//!
//! They exist in this crate's own unit tests alone; in any other build, and so in every program, [`reach`] is nothing.

/// One step in the life of a proposal's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Point {
    /// The temporary of a proposal is there, and empty.
    ProposalTemporary = 1,
    /// It is written, not yet on disk.
    ProposalWritten = 2,
    /// It is on disk under its temporary name.
    ProposalSynced = 3,
    /// It has its own name, too.
    ProposalLinked = 4,
    /// The temporary name is gone.
    ProposalUnlinked = 5,
    /// The directory is on disk: durable, and nobody was told.
    ProposalDurable = 6,
    /// The same for a withdrawal.
    WithdrawalTemporary = 7,
    /// Written.
    WithdrawalWritten = 8,
    /// On disk under its temporary name.
    WithdrawalSynced = 9,
    /// Has its own name, too.
    WithdrawalLinked = 10,
    /// The temporary name is gone.
    WithdrawalUnlinked = 11,
    /// Durable, and nobody was told.
    WithdrawalDurable = 12,
}

/// The six steps by which one file is made.
pub(crate) type Steps = [Point; 6];

/// How a proposal is made.
pub(crate) const PROPOSAL: Steps = [
    Point::ProposalTemporary,
    Point::ProposalWritten,
    Point::ProposalSynced,
    Point::ProposalLinked,
    Point::ProposalUnlinked,
    Point::ProposalDurable,
];

/// How a withdrawal is made.
pub(crate) const WITHDRAWAL: Steps = [
    Point::WithdrawalTemporary,
    Point::WithdrawalWritten,
    Point::WithdrawalSynced,
    Point::WithdrawalLinked,
    Point::WithdrawalUnlinked,
    Point::WithdrawalDurable,
];

/// The process has come to this point.
#[cfg(not(test))]
pub(crate) fn reach(_: Point) {}

/// The variable that names the point at which a test's process is to die.
#[cfg(test)]
pub(crate) const DIE_AT: &str = "SUPERVISE_TEST_DIE_AT";

/// Dies by SIGKILL at the point that the test asked for.
#[cfg(test)]
pub(crate) fn reach(point: Point) {
    let asked = std::env::var(DIE_AT)
        .ok()
        .and_then(|number| number.parse::<u8>().ok());
    if asked == Some(point as u8) {
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}

#[cfg(test)]
mod tests;
