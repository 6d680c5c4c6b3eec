//! What happens around every guard's service, from its first line to its last: memory sealed, messages to standard error, signals
//! caught before the door opens, access events written until the last request is over.

use std::ffi::OsString;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use contract::LaunchNonce;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use crate::event_log::{EventLog, Writer};
use crate::hardening;
use crate::look::LookHandle;
use crate::signals::{Signals, fresh_nonce};

/// How long the last access events may take to be read after the last request is over.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// A reader of standard output that is stuck must not keep the process.
const LAST_THREADS: Duration = Duration::from_millis(100);

/// Arguments of every guard's `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct Frame {
    /// This launch's mark, put into applied.json; a new one when absent
    #[arg(long, env = "BOTTLE_LAUNCH_NONCE", value_name = "n-…")]
    launch_nonce: Option<LaunchNonce>,
    /// Where access events go, one JSON line per decision
    #[arg(long, value_enum, default_value = "stdout", value_name = "WHERE")]
    event_log: EventsTo,
    /// How much is said on standard error: error, warn, info or debug
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    log_level: LevelFilter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EventsTo {
    /// Standard output
    Stdout,
    /// Nowhere
    None,
}

/// Why a guard did not run, or ended other than it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// anything the operating system refused
    #[error("{what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        why: io::Error,
    },
    /// the other side said no, or nothing
    #[error("{0}")]
    Refused(String),
}

/// A guard's process, ready for its service.
pub struct Session {
    program: &'static str,
    log: EventLog,
    writer: Writer,
    signals: Signals,
    unlogged: CancellationToken,
    shutdown: CancellationToken,
}

// === impl Failure ===

impl Failure {
    /// For `map_err`.
    pub fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::System { what, why }
    }
}

// === impl Frame ===

impl Frame {
    /// First of all: keeps the process's memory to itself.
    pub fn seal(&self) -> Result<(), Failure> {
        hardening::seal_memory().map_err(Failure::system("core dumps cannot be switched off"))
    }

    /// Sends messages to standard error.
    pub fn speak(&self) {
        tracing_subscriber::fmt()
            .with_writer(io::stderr)
            .with_max_level(self.log_level)
            .with_target(false)
            .with_ansi(false)
            .init();
    }

    /// How much is said.
    pub fn log_level(&self) -> LevelFilter {
        self.log_level
    }

    /// This launch's mark.
    pub fn launch_nonce(&self) -> Result<LaunchNonce, Failure> {
        let given = self.launch_nonce.clone();
        given
            .map_or_else(fresh_nonce, Ok)
            .map_err(|error| Failure::Refused(error.to_string()))
    }

    /// Runs `guard` on a runtime of this kind, to its end.
    pub fn block_on<E: From<Failure>>(
        &self,
        mut kind: Builder,
        guard: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let runtime = kind
            .enable_all()
            .build()
            .map_err(Failure::system("the runtime"))?;
        let served = runtime.block_on(guard);
        runtime.shutdown_timeout(LAST_THREADS);
        served
    }

    /// Catches signals and opens the access log. Inside the runtime, before the door opens.
    pub fn begin(&self, program: &'static str) -> Result<Session, Failure> {
        let signals = Signals::catch().map_err(Failure::system("signals cannot be caught"))?;
        let unlogged = CancellationToken::new();
        let (log, writer) = match self.event_log {
            EventsTo::Stdout => {
                EventLog::to(io::stdout(), unlogged.clone()).map_err(Failure::system("the access log"))?
            }
            EventsTo::None => EventLog::none(),
        };
        Ok(Session {
            program,
            log,
            writer,
            signals,
            unlogged,
            shutdown: CancellationToken::new(),
        })
    }
}

// === impl Session ===

impl Session {
    /// Where decisions are written.
    pub fn log(&self) -> EventLog {
        self.log.clone()
    }

    /// Cancelled when the service is to end.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Follows signals (SIGHUP goes to `reload`) until `service` is over, and writes the last events.
    pub async fn serve(
        self,
        reload: Option<LookHandle>,
        service: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let Self {
            program,
            log,
            writer,
            signals,
            unlogged,
            shutdown,
        } = self;
        drop(log);
        let following = tokio::spawn(signals.follow(reload, shutdown, unlogged.clone()));
        service.await;
        following.abort();
        writer.finish(LAST_EVENTS).await;
        if unlogged.is_cancelled() {
            return Err(Failure::Refused(format!(
                "standard output is gone, so nothing could be logged. Start {program} again with its output read, or with \
                 --event-log none"
            )));
        }
        tracing::info!("stopped");
        Ok(())
    }
}

// === the command line ===

/// Reads a program's arguments. `Err`: what it ends with at once, after help, version or a word about what is wrong.
pub fn arguments<A: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<A, ExitCode> {
    A::try_parse_from(arguments).map_err(|error| {
        // Help and version are data; clap prints each where it belongs.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// How a program ends that did what it was asked, or says why it did not. `code`: the exit code of a failure.
pub fn ended<E: Display>(program: &str, done: Result<(), E>, code: impl FnOnce(&E) -> u8) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{program}: {failure}");
            ExitCode::from(code(&failure))
        }
    }
}

/// Writes data for the caller.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::system("standard output"))
}
