//! `egress run`: the guard itself.

use std::path::PathBuf;
use std::time::Duration;

use ::guard::event_log::EventLog;
use ::guard::hardening;
use ::guard::signals::{Signals, fresh_nonce};
use clap::ValueEnum;
use contract::LaunchNonce;
use mitm::Limits;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::Failure;
use crate::address::Address;
use crate::config;
use crate::credential::CredentialStore;
use crate::service::{Options, Service};
use crate::upstream::WayOut;

/// How long the last access events may take to be read after the last request is over.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Requests are mostly waiting; on the two-core machine of the measurements a third worker gained nothing.
const WORKERS: usize = 2;

/// What `--help` says after the arguments.
const CREDENTIALS: &str = "\
Credentials come by environment name: routes.yaml names the slots (EGRESS_TOKEN_0, EGRESS_TOKEN_1, …), and each slot that it \
names must hold a value (for the scheme Basic, user:password). They are read once, at start. Whoever may ask the container \
engine about this container (docker inspect) can read them there.

SIGHUP has routes.yaml read at once; SIGTERM lets requests under way finish, for at most 10 s, and ends with exit code 0.";

#[derive(Debug, clap::Args)]
#[command(after_help = CREDENTIALS)]
pub(super) struct Arguments {
    /// The config directory: routes.yaml (followed while running), ca.pem, ca-key.pem, extra-ca.pem
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// The run directory: applied.json and grants.json are written there
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where to listen: unix:PATH or ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: Address,
    /// This launch's mark, put into applied.json; a new one when absent
    #[arg(long, env = "BOTTLE_LAUNCH_NONCE", value_name = "n-…")]
    launch_nonce: Option<LaunchNonce>,
    /// Say in denials that the tool egress-block asks for what was refused
    #[arg(long)]
    supervise: bool,
    /// Reach hosts through this proxy alone: unix:PATH or HOST:PORT
    #[arg(long, value_name = "ADDRESS", requires = "upstream_proxy_ca")]
    upstream_proxy: Option<Address>,
    /// The CA by which that proxy signs for the hosts it looks into, PEM
    #[arg(long, value_name = "FILE", requires = "upstream_proxy")]
    upstream_proxy_ca: Option<PathBuf>,
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
    let credentials = CredentialStore::from_variables(std::env::vars_os());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(Failure::system("the runtime"))?;
    let served = runtime.block_on(guard(arguments, credentials));
    // A reader of standard output that is stuck must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn guard(arguments: &Arguments, credentials: CredentialStore) -> Result<(), Failure> {
    let signals = Signals::catch().map_err(Failure::system("signals cannot be caught"))?;
    let unlogged = CancellationToken::new();
    let (log, writer) = match arguments.event_log {
        EventsTo::Stdout => {
            EventLog::to(std::io::stdout(), unlogged.clone()).map_err(Failure::system("the access log"))?
        }
        EventsTo::None => EventLog::none(),
    };
    let service = Service::open(options(arguments)?, credentials, log)?;
    tracing::info!("listening on {}", arguments.listen);

    let shutdown = CancellationToken::new();
    let following =
        tokio::spawn(signals.follow(Some(service.reload_handle()), shutdown.clone(), unlogged.clone()));
    service.serve(shutdown).await;
    following.abort();
    writer.finish(LAST_EVENTS).await;
    if unlogged.is_cancelled() {
        let gone = "standard output is gone, so nothing could be logged. Start egress again with its output read, or with \
                    --event-log none";
        return Err(Failure::Refused(gone.to_owned()));
    }
    tracing::info!("stopped");
    Ok(())
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    let listen = arguments.listen.to_listen().map_err(|why| Failure::Address {
        argument: "--listen",
        why,
    })?;
    let way_out = match (&arguments.upstream_proxy, &arguments.upstream_proxy_ca) {
        (Some(address), Some(file)) => WayOut::Seat {
            address: address.to_proxy(),
            authorities: config::text(
                file,
                "the upstream proxy signs with it for the hosts it looks into",
            )?,
        },
        _ => WayOut::Direct {
            own_networks: mitm::interface_networks().map_err(Failure::system("the network interfaces"))?,
        },
    };
    Ok(Options {
        config: arguments.config.clone(),
        run: arguments.run.clone(),
        listen,
        launch_nonce: arguments
            .launch_nonce
            .clone()
            .map_or_else(fresh_nonce, Ok)
            .map_err(|error| Failure::Refused(error.to_string()))?,
        supervise: arguments.supervise,
        way_out,
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
            "{files} open files are too few to serve a connection. Start egress with a higher `ulimit -n`"
        );
        return Err(Failure::Refused(few));
    }
    if connections < limits.connections {
        tracing::warn!(
            "{files} open files are enough for {connections} connections at a time only; raise `ulimit -n`"
        );
    }
    limits.connections = connections;
    // A connection counts as four: itself, two upstream, and one for what is open only while a name is resolved and its
    // addresses are tried.
    limits.upstream_connections = limits.upstream_connections.min(2 * connections);
    Ok(limits)
}
