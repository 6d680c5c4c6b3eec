//! `supervise run`: the server itself.

use std::path::PathBuf;
use std::time::Duration;

use ::guard::event_log::EventLog;
use ::guard::hardening;
use ::guard::listen::ListenAddress;
use ::guard::signals::{Signals, fresh_nonce};
use clap::ValueEnum;
use contract::LaunchNonce;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Failure;
use crate::server::PROGRESS_EVERY;
use crate::service::{Options, Service};

/// How long the last access events may take to be read after the last call is over.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// What `--help` says after the arguments.
const STATE: &str = "\
The queue outlives the server: stop it, or kill it, and start it again with the same directories. SIGTERM breaks off calls that \
wait (their proposals stay) and ends with exit code 0.";

#[derive(Debug, clap::Args)]
#[command(after_help = STATE)]
pub(super) struct Arguments {
    /// Where proposals are written
    #[arg(long, value_name = "DIR")]
    proposals: PathBuf,
    /// Where the operator's answers appear; only read
    #[arg(long, value_name = "DIR")]
    responses: PathBuf,
    /// The run directory: applied.json says that the doors are open, and a lock that the queue is served
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The socket at which egress listens: unix:PATH
    #[arg(long, value_name = "ADDRESS", value_parser = unix_socket)]
    egress: PathBuf,
    /// Where to listen: unix:PATH or ADDRESS:PORT; may be given more than once
    #[arg(long, value_name = "ADDRESS", required = true)]
    listen: Vec<ListenAddress>,
    /// This launch's mark, put into applied.json; a new one when absent
    #[arg(long, env = "BOTTLE_LAUNCH_NONCE", value_name = "n-…")]
    launch_nonce: Option<LaunchNonce>,
    /// Where access events go, one JSON line per call
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

fn unix_socket(text: &str) -> Result<PathBuf, String> {
    match text.parse() {
        Ok(ListenAddress::Unix { path, .. }) => Ok(path),
        _ => Err("write unix:PATH, such as unix:/run/bottle/doors/egress/door.sock".to_owned()),
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    hardening::seal_memory().map_err(Failure::system("core dumps cannot be switched off"))?;
    hardening::raise_file_limit().map_err(Failure::system("the limit on open files"))?;
    // The library tells of every message at `info`; what it warns of is wanted.
    let levels = Targets::new()
        .with_default(arguments.log_level.min(LevelFilter::WARN))
        // It tells of every client that has gone as an error.
        .with_target("rmcp::service", LevelFilter::OFF)
        .with_target("supervise", arguments.log_level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    tracing_subscriber::registry().with(lines).with(levels).init();
    // Everything here waits; one thread does, and one more waits for the disk: writers take turns.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .map_err(Failure::system("the runtime"))?;
    let served = runtime.block_on(guard(arguments));
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn guard(arguments: Arguments) -> Result<(), Failure> {
    let signals = Signals::catch().map_err(Failure::system("signals cannot be caught"))?;
    let unlogged = CancellationToken::new();
    let (log, writer) = match arguments.event_log {
        EventsTo::Stdout => {
            EventLog::to(std::io::stdout(), unlogged.clone()).map_err(Failure::system("the access log"))?
        }
        EventsTo::None => EventLog::none(),
    };
    let shutdown = CancellationToken::new();
    let listening: Vec<String> = arguments.listen.iter().map(ToString::to_string).collect();
    let options = Options {
        proposals: arguments.proposals,
        responses: arguments.responses,
        run: arguments.run,
        egress: arguments.egress,
        listen: arguments.listen,
        launch_nonce: arguments
            .launch_nonce
            .map_or_else(fresh_nonce, Ok)
            .map_err(|error| Failure::Refused(error.to_string()))?,
        progress_every: PROGRESS_EVERY,
    };
    let service = Service::open(options, log, shutdown.clone())?;
    tracing::info!("listening on {}", listening.join(", "));

    let following = tokio::spawn(signals.follow(None, shutdown, unlogged.clone()));
    service.serve().await;
    following.abort();
    writer.finish(LAST_EVENTS).await;
    if unlogged.is_cancelled() {
        let gone = "standard output is gone, so nothing could be logged. Start supervise again with its output read, or with \
                    --event-log none";
        return Err(Failure::Refused(gone.to_owned()));
    }
    tracing::info!("stopped");
    Ok(())
}
