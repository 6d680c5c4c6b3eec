//! The signals that a guard listens to, and the mark of its launch.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use contract::LaunchNonce;
use contract::name::NameError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::look::LookHandle;

/// SIGTERM, SIGINT and SIGHUP, caught.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them; call it before the door opens, inside a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// SIGHUP has the config read; SIGTERM, SIGINT and a log that cannot be written (`unlogged`) end the service.
    pub async fn follow(
        mut self,
        reload: Option<LookHandle>,
        shutdown: CancellationToken,
        unlogged: CancellationToken,
    ) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => {
                    if let Some(reload) = &reload {
                        reload.reload();
                    }
                }
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                () = unlogged.cancelled() => break,
            }
        }
        shutdown.cancel();
    }
}

/// For a guard without a launcher: nobody waits for this one, it only has to differ from the last.
pub fn fresh_nonce() -> Result<LaunchNonce, NameError> {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    format!("n-{millis:016x}").parse()
}
