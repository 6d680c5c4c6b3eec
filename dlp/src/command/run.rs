//! `dlp run`: the guard itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::guard::event_log::EventLog;
use ::guard::hardening;
use ::guard::signals::{Signals, fresh_nonce};
use clap::ValueEnum;
use contract::LaunchNonce;
use mitm::{Limits, ListenAddress, SystemResolver};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::Failure;
use crate::environment::{self, EnvironmentSecrets};
use crate::service::{Options, Service};
use crate::upstream;

/// How long the last access events may take to be read after the last request is over.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Requests are mostly waiting; on the two-core machine of the measurements a third worker gained nothing.
const WORKERS: usize = 2;

/// What `--help` says after the arguments.
const SECRETS: &str = "\
The values of the agent's own secrets come by environment name, in slots: BOTTLE_ENV_SECRET_0, BOTTLE_ENV_SECRET_1, …. They are \
read once, at start, and are findings in any encoding (dlp.scan_env). Whoever may ask the container engine about this container \
(docker inspect) can read them there.

SIGHUP has the config read at once; SIGTERM lets requests under way finish, for at most 10 s, and ends with exit code 0.";

#[derive(Debug, clap::Args)]
#[command(after_help = SECRETS)]
pub(super) struct Arguments {
    /// The config directory: pipelock.yaml, dlp.yaml (both followed while running), ca.pem, ca-key.pem, extra-ca.pem
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// The run directory: applied.json is written there
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where to listen: unix:PATH or IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: ListenAddress,
    /// This launch's mark, put into applied.json; a new one when absent
    #[arg(long, env = "BOTTLE_LAUNCH_NONCE", value_name = "n-…")]
    launch_nonce: Option<LaunchNonce>,
    /// Say in denials that the tool pipelock-block asks for what was refused
    #[arg(long)]
    supervise: bool,
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
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(arguments.log_level)
        .with_target(false)
        .with_ansi(false)
        .init();
    let secrets = environment::read(std::env::vars_os());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(Failure::system("the runtime"))?;
    let served = runtime.block_on(guard(arguments, secrets));
    // A reader of standard output that is stuck must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn guard(arguments: &Arguments, secrets: EnvironmentSecrets) -> Result<(), Failure> {
    let signals = Signals::catch().map_err(Failure::system("signals cannot be caught"))?;
    let unlogged = CancellationToken::new();
    let (log, writer) = match arguments.event_log {
        EventsTo::Stdout => {
            EventLog::to(std::io::stdout(), unlogged.clone()).map_err(Failure::system("the access log"))?
        }
        EventsTo::None => EventLog::none(),
    };
    let service = Service::open(options(arguments)?, secrets, log)?;
    tracing::info!("listening on {}", arguments.listen);

    let shutdown = CancellationToken::new();
    let following =
        tokio::spawn(signals.follow(Some(service.reload_handle()), shutdown.clone(), unlogged.clone()));
    service.serve(shutdown).await;
    following.abort();
    writer.finish(LAST_EVENTS).await;
    if unlogged.is_cancelled() {
        let gone = "standard output is gone, so nothing could be logged. Start dlp again with its output read, or with \
                    --event-log none";
        return Err(Failure::Refused(gone.to_owned()));
    }
    tracing::info!("stopped");
    Ok(())
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    Ok(Options {
        config: arguments.config.clone(),
        run: arguments.run.clone(),
        listen: arguments.listen.clone(),
        launch_nonce: arguments
            .launch_nonce
            .clone()
            .map_or_else(fresh_nonce, Ok)
            .map_err(|error| Failure::Refused(error.to_string()))?,
        supervise: arguments.supervise,
        resolver: Arc::new(SystemResolver),
        own_networks: upstream::own_networks().map_err(Failure::system("the network interfaces"))?,
        limits: limits()?,
    })
}

/// As many connections as there are descriptors for.
fn limits() -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    let files = hardening::raise_file_limit().map_err(Failure::system("the limit on open files"))?;
    let connections = hardening::connections_within(files, limits.connections);
    if connections == 0 {
        let few = format!(
            "{files} open files are too few to serve a connection. Start dlp with a higher `ulimit -n`"
        );
        return Err(Failure::Refused(few));
    }
    if connections < limits.connections {
        tracing::warn!(
            "{files} open files are enough for {connections} connections at a time only; raise `ulimit -n`"
        );
    }
    limits.connections = connections;
    Ok(limits)
}
