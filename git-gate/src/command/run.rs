//! `git-gate run`: the guard itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use contract::LaunchNonce;
use guard::event_log::EventLog;
use guard::hardening;
use guard::listen::ListenAddress;
use guard::signals::{Signals, fresh_nonce};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::Failure;
use crate::service::{Options, Service};

/// How long the last access events may take to be read after the last request is over.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Copying bytes between git and clients; scanning has threads of its own.
const WORKERS: usize = 2;

/// What `--help` says after the arguments.
const NEEDS: &str = "\
Needs git 2.47 or later and ssh in PATH. Keys are files or variables that gate.json names, or the socket of an ssh-agent; \
only this process needs to read them. The values of the agent's own secrets come in BOTTLE_ENV_SECRET_0, BOTTLE_ENV_SECRET_1, …: \
a push that holds one in any form is refused. TMPDIR holds the gate's own configuration of git and ssh while it runs.

SIGHUP has gate.json read at once; SIGTERM lets requests under way finish, for at most 10 s, and ends with exit code 0.";

#[derive(Debug, clap::Args)]
#[command(after_help = NEEDS)]
pub(super) struct Arguments {
    /// The config directory: gate.json (followed while running)
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// The run directory: applied.json is written there
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where the mirrors of the upstreams lie
    #[arg(long, value_name = "DIR")]
    repos: PathBuf,
    /// Where to listen: unix:PATH or ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: ListenAddress,
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

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    hardening::seal_memory().map_err(Failure::system("core dumps cannot be switched off"))?;
    hardening::raise_file_limit().map_err(Failure::system("the limit on open files"))?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(arguments.log_level)
        .with_target(false)
        .with_ansi(false)
        .init();
    // Every object is read once and never asked for again.
    git2::opts::enable_caching(false);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(Failure::system("the runtime"))?;
    let served = runtime.block_on(guard(arguments));
    // A reader of standard output that is stuck must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn guard(arguments: &Arguments) -> Result<(), Failure> {
    let signals = Signals::catch().map_err(Failure::system("signals cannot be caught"))?;
    let unlogged = CancellationToken::new();
    let (log, writer) = match arguments.event_log {
        EventsTo::Stdout => {
            EventLog::to(std::io::stdout(), unlogged.clone()).map_err(Failure::system("the access log"))?
        }
        EventsTo::None => EventLog::none(),
    };
    let service = Service::open(options(arguments)?, log)?;
    match service.local_addr() {
        Some(address) => tracing::info!("listening on {address}"),
        None => tracing::info!("listening on {}", arguments.listen),
    }

    let shutdown = CancellationToken::new();
    let following =
        tokio::spawn(signals.follow(Some(service.reload_handle()), shutdown.clone(), unlogged.clone()));
    service.serve(shutdown).await;
    following.abort();
    writer.finish(LAST_EVENTS).await;
    if unlogged.is_cancelled() {
        let gone = "standard output is gone, so nothing could be logged. Start git-gate again with its output read, or with \
                    --event-log none";
        return Err(Failure::Refused(gone.to_owned()));
    }
    tracing::info!("stopped");
    Ok(())
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    // git changes its directory, and is given what we name.
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Failure::system("a directory"));
    Ok(Options {
        config: absolute(&arguments.config)?,
        run: absolute(&arguments.run)?,
        repositories: absolute(&arguments.repos)?,
        listen: arguments.listen.clone(),
        launch_nonce: arguments
            .launch_nonce
            .clone()
            .map_or_else(fresh_nonce, Ok)
            .map_err(|error| Failure::Refused(error.to_string()))?,
        program: std::env::current_exe().map_err(Failure::system("the path of this program"))?,
    })
}
