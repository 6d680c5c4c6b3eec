//! Every fsync, link and rename of a decision's life is a point at which a test may kill the program, or let the disk be full.
//!
//! Outside of this crate's own tests [`reached`] is nothing.

/// A point was reached. In a test that asked for it, the process is killed here, or the disk is full.
#[cfg(not(test))]
#[inline]
pub(crate) fn reached(_point: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use injected::{failing, reached};

#[cfg(test)]
pub(crate) mod injected {
    use std::cell::RefCell;

    thread_local! {
        static FULL: RefCell<Option<&'static str>> = const { RefCell::new(None) };
        static COUNTED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    /// The variable that says before which point, counted from 1, this process is killed.
    pub(crate) const KILL_AT: &str = "BOTTLE_TEST_KILL_AT";

    pub(crate) fn reached(point: &'static str) -> std::io::Result<()> {
        let count = COUNTED.with_borrow_mut(|counted| {
            counted.push(point);
            counted.len()
        });
        let at = std::env::var(KILL_AT)
            .ok()
            .and_then(|at| at.parse::<usize>().ok());
        if at == Some(count) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
        if FULL.with_borrow(|full| *full == Some(point)) {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Every point that this thread has passed.
    pub(crate) fn passed() -> Vec<&'static str> {
        COUNTED.with_borrow(Clone::clone)
    }

    /// Does it with a disk that is full at this point.
    pub(crate) fn failing<T>(point: &'static str, doing: impl FnOnce() -> T) -> T {
        FULL.set(Some(point));
        let done = doing();
        FULL.set(None);
        done
    }
}
