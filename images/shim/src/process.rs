//! What a process 1 owes its container: it ends when told to, and it reaps whoever nobody else will.
//!
//! A process 1 gets no default action for a signal; blocked signals are kept for it, and are read here as events.

use crate::Error;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::os::fd::{AsFd, BorrowedFd};

/// The three signals that mean something here.
pub(crate) struct Signals(SignalFd);

/// Whether to go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    End,
}

impl Signals {
    /// Turns SIGTERM, SIGINT and SIGCHLD into events, and adopts orphans where the kernel does not bring them anyway.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn block() -> Result<Self, Error> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block().map_err(Error::kernel("blocking signals"))?;
        if getpid() != Pid::from_raw(1) {
            // Under another init (`docker run --init`): orphans of our children still come to us.
            prctl::set_child_subreaper(true).map_err(Error::kernel("becoming a subreaper"))?;
        }
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(Error::kernel("signalfd"))?;
        // Children from before the exec may have ended already, with nobody listening.
        reap();
        Ok(Self(signals))
    }

    /// Takes what has arrived. The kernel folds several SIGCHLD into one, so each reaps all that have ended.
    pub(crate) fn take(&self) -> Next {
        while let Ok(Some(signal)) = self.0.read_signal() {
            if signal.ssi_signo == Signal::SIGCHLD as u32 {
                reap();
            } else {
                return Next::End;
            }
        }
        Next::GoOn
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn reap() {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return,
            Ok(_) | Err(Errno::EINTR) => {}
            // No child at all.
            Err(_) => return,
        }
    }
}
