//! The two clocks by which a grant ends.

use std::time::SystemTime;

use contract::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// One look at both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, which can be set.
    pub wall: Timestamp,
    /// Milliseconds since boot, suspended time too (`CLOCK_BOOTTIME`), which cannot.
    pub boot_millis: u64,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        // A kernel without CLOCK_BOOTTIME (before 2.6.39) is none that this runs on; the end of time ends every grant.
        let boot_millis = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(u64::MAX, |time| {
            let millis = time.tv_sec().saturating_mul(1000) + time.tv_nsec() / 1_000_000;
            u64::try_from(millis).unwrap_or(u64::MAX)
        });
        Self {
            wall: SystemTime::now().into(),
            boot_millis,
        }
    }
}

/// Names the boot that [`Now::boot_millis`] counts from; none where the kernel does not say.
pub fn boot_id() -> Option<String> {
    let text = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_does_not_go_backwards() {
        let first = Now::read();
        assert!(first.boot_millis > 0 && first.boot_millis < u64::MAX);
        assert!(Now::read().boot_millis >= first.boot_millis);
    }
}
