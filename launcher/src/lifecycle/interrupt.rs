//! The signals by which an operator, a closing terminal or the system end this program.
//!
//! From here on they end nothing by themselves: whoever waits for them takes down in order what was brought up.

use crate::error::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM, SIGHUP and SIGQUIT, in our hands.
pub struct Interrupts {
    signals: [(&'static str, Signal); 4],
}

impl Interrupts {
    /// Takes them over, for the rest of the program.
    pub fn listen() -> Result<Self> {
        Ok(Self {
            signals: [
                ("Ctrl-C", signal(SignalKind::interrupt())?),
                ("SIGTERM", signal(SignalKind::terminate())?),
                ("SIGHUP", signal(SignalKind::hangup())?),
                ("SIGQUIT", signal(SignalKind::quit())?),
            ],
        })
    }

    /// Waits for one, and says which.
    pub async fn next(&mut self) -> &'static str {
        let waits = self.signals.iter_mut().map(|(name, signal)| {
            Box::pin(async move {
                signal.recv().await;
                *name
            })
        });
        futures_util::future::select_all(waits).await.0
    }

    /// Does the work, unless a signal comes first; then the work is dropped where it stands.
    pub async fn unless<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            signal = self.next() => Err(interrupted(signal)),
        }
    }

    /// Does blocking work in a thread of its own. A signal is heeded, but only after the work has ended: it may be writing what
    /// is about to be removed.
    pub async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut work = tokio::task::spawn_blocking(work);
        let (done, signal) = tokio::select! {
            done = &mut work => (done, None),
            signal = self.next() => (work.await, Some(signal)),
        };
        let done = done.map_err(|error| Error::failed("a part of this program broke").because(error))?;
        match signal {
            Some(signal) => Err(interrupted(signal)),
            None => done,
        }
    }
}

fn interrupted(signal: &str) -> Error {
    Error::failed(format!("interrupted by {signal}"))
}
