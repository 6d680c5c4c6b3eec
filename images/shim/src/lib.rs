//! The shim: process 1 of the agent container.
//!
//! It reaps orphans, and copies bytes between loopback ports and the guards' sockets (or, beside a program that speaks
//! TCP only, between a socket and a port). That is all: it looks at no byte, knows no protocol, and enforces nothing.
//! What may leave the container is decided behind the sockets, by the guards; an agent that ends the shim ends its own
//! container and gains nothing.
//!
//! One thread, one epoll. A read goes into one buffer that all connections share, and straight on to the other side;
//! only what the other side did not take is kept, so that an idle connection costs two descriptors and no buffer.

pub mod arguments;
mod connection;
pub mod endpoint;
mod event_loop;
mod flow;
mod listener;
mod process;
mod stream;

use std::io::Write as _;

/// Why the shim could not begin, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listening side could not be bound.
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    /// The kernel refused something that the event loop cannot do without.
    #[error("{doing} failed: {reason}")]
    Kernel {
        /// What was asked of the kernel.
        doing: &'static str,
        /// Its answer.
        reason: std::io::Error,
    },
}

impl Error {
    pub(crate) fn kernel(doing: &'static str) -> impl Fn(nix::Error) -> Self {
        move |reason| Self::Kernel {
            doing,
            reason: reason.into(),
        }
    }
}

/// Binds every listening side, says so (one line each on standard error), and copies until SIGTERM or SIGINT.
///
/// # Errors
/// When a side cannot be bound, before any connection is taken; or when the kernel refuses epoll or signalfd.
pub fn run(settings: &arguments::Settings) -> Result<(), Error> {
    // First, so that no child ends and no signal arrives unseen.
    let signals = process::Signals::block()?;
    let mut ready = event_loop::EventLoop::bind(settings, signals)?;
    ready.run()
}

/// One line for the operator, on standard error; nobody reading it is no reason to end.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "shim: {line}");
}
