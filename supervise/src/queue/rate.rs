//! How fast new proposals are taken: a bucket of [`BURST`] that fills at [`PER_MINUTE`].

use std::time::{Duration, Instant};

/// New proposals a minute.
pub const PER_MINUTE: u64 = 30;

/// New proposals at once, after a quiet time. As many as may be pending: the cap on those is the stricter one.
pub const BURST: u64 = 100;

/// The bucket, as the time at which it would be full.
#[derive(Debug)]
pub(super) struct Rate {
    full_at: Instant,
}

// === impl Rate ===

impl Rate {
    pub(super) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one; otherwise says in how many seconds there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), u64> {
        let one = Duration::from_secs(60) / u32::try_from(PER_MINUTE).unwrap_or(u32::MAX);
        let capacity = one * u32::try_from(BURST).unwrap_or(u32::MAX);
        let full_at = self.full_at.max(now) + one;
        let owed = full_at.duration_since(now);
        if owed > capacity {
            return Err((owed - capacity).as_secs() + 1);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_one_at_a_time() {
        let start = Instant::now();
        let mut rate = Rate::full(start);
        for _ in 0..BURST {
            rate.take(start).unwrap();
        }
        assert_eq!(rate.take(start), Err(3));
        let next = start + Duration::from_secs(2);
        assert_eq!(rate.take(next), Ok(()));
        assert!(rate.take(next).is_err());
        let much_later = start + Duration::from_secs(3600);
        for _ in 0..BURST {
            rate.take(much_later).unwrap();
        }
        assert!(rate.take(much_later).is_err(), "no more than a bucket");
    }
}
