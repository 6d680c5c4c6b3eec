//! The proxy as a process: how soon it listens, how much memory it holds.

use super::{Round, micros};
use crate::bench::figure::Figure;
use crate::bench::peer::Kind;

/// Just started.
pub const IDLE: Figure = Figure::new("RSS idle MiB", Kind::Hudsucker);
/// The highest, the large bodies over.
pub const PEAK: Figure = Figure::new("RSS peak MiB", Kind::Hudsucker);
/// From the start of the process to the first connection that it takes.
pub const START: Figure = Figure::new("start to listening ms", Kind::Hudsucker);

pub const FIGURES: &[Figure] = &[IDLE, PEAK, START];

pub fn at_rest(round: &mut Round<'_>) {
    if round.peer.address.is_some() {
        round.record(START, micros(round.peer.start) / 1e3);
        round.record(IDLE, mib(round.peer.memory().0));
    }
}

pub fn in_the_end(round: &mut Round<'_>) {
    if round.peer.address.is_some() {
        round.record(PEAK, mib(round.peer.memory().1));
    }
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes of memory")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
