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
    use std::cell::{Cell, RefCell};

    thread_local! {
        static FULL: RefCell<Option<&'static str>> = const { RefCell::new(None) };
        static COUNTED: Cell<usize> = const { Cell::new(0) };
    }

    /// The variable that says before which point, counted from 1, this process is killed.
    pub(crate) const KILL_AT: &str = "BOTTLE_TEST_KILL_AT";

    pub(crate) fn reached(point: &'static str) -> std::io::Result<()> {
        let count = COUNTED.get() + 1;
        COUNTED.set(count);
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

    /// Does it with a disk that is full at this point.
    pub(crate) fn failing<T>(point: &'static str, doing: impl FnOnce() -> T) -> T {
        FULL.set(Some(point));
        let done = doing();
        FULL.set(None);
        done
    }
}
