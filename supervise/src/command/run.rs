//! `supervise run`: the server itself.

use std::path::PathBuf;

use ::guard::hardening;
use ::guard::listen::ListenAddress;
use ::guard::program::Frame;
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Failure;
use crate::server::PROGRESS_EVERY;
use crate::service::{Options, Service};

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
    /// Where to listen: unix:PATH or IP:PORT; may be given more than once
    #[arg(long, value_name = "ADDRESS", required = true)]
    listen: Vec<ListenAddress>,
    #[command(flatten)]
    frame: Frame,
}

fn unix_socket(text: &str) -> Result<PathBuf, String> {
    match text.parse() {
        Ok(ListenAddress::Unix { path, .. }) => Ok(path),
        _ => Err("write unix:PATH, such as unix:/run/bottle/doors/egress/door.sock".to_owned()),
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    arguments.frame.seal()?;
    hardening::raise_file_limit().map_err(Failure::system("the limit on open files"))?;
    // The library tells of every message at `info`; what it warns of is wanted.
    let levels = Targets::new()
        .with_default(arguments.frame.log_level().min(LevelFilter::WARN))
        // It tells of every client that has gone as an error.
        .with_target("rmcp::service", LevelFilter::OFF)
        .with_target("supervise", arguments.frame.log_level());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    tracing_subscriber::registry().with(lines).with(levels).init();
    // Everything here waits; one thread does, and one more waits for the disk: writers take turns.
    let mut runtime = Builder::new_current_thread();
    runtime.max_blocking_threads(1);
    let frame = arguments.frame.clone();
    frame.block_on(runtime, guard(arguments))
}

async fn guard(arguments: Arguments) -> Result<(), Failure> {
    let session = arguments.frame.begin("supervise")?;
    let listening: Vec<String> = arguments.listen.iter().map(ToString::to_string).collect();
    let options = Options {
        proposals: arguments.proposals,
        responses: arguments.responses,
        run: arguments.run,
        egress: arguments.egress,
        listen: arguments.listen,
        launch_nonce: arguments.frame.launch_nonce()?,
        progress_every: PROGRESS_EVERY,
    };
    let service = Service::open(options, session.log(), session.shutdown())?;
    tracing::info!("listening on {}", listening.join(", "));

    Ok(session.serve(None, service.serve()).await?)
}
