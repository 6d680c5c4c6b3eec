//! `git-gate run`: the guard itself.

use std::path::PathBuf;

use guard::hardening;
use guard::listen::ListenAddress;
use guard::program::Frame;
use tokio::runtime::Builder;

use super::Failure;
use crate::service::{Options, Service};

/// Copying bytes between git and clients; scanning has threads of its own.
const WORKERS: usize = 2;

/// What `--help` says after the arguments.
const NEEDS: &str = "\
Needs git 2.47 or later and ssh in PATH. Keys are files or variables that gate.json names, or the socket of an ssh-agent; \
only this process needs to read them. The values of the agent's own secrets come in BOTTLE_ENV_SECRET_0, BOTTLE_ENV_SECRET_1, …: \
a push that holds one of 12 bytes or more, as it stands or encoded, is refused. TMPDIR holds the gate's own configuration of git \
and ssh while it runs.

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
    /// Where to listen: unix:PATH or IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: ListenAddress,
    #[command(flatten)]
    frame: Frame,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.frame.seal()?;
    hardening::raise_file_limit().map_err(Failure::system("the limit on open files"))?;
    arguments.frame.speak();
    // Every object is read once and never asked for again.
    git2::opts::enable_caching(false);
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(WORKERS);
    arguments.frame.block_on(runtime, guard(arguments))
}

async fn guard(arguments: &Arguments) -> Result<(), Failure> {
    let session = arguments.frame.begin("git-gate")?;
    let service = Service::open(options(arguments)?, session.log())?;
    match service.local_addr() {
        Some(address) => tracing::info!("listening on {address}"),
        None => tracing::info!("listening on {}", arguments.listen),
    }

    let (reload, shutdown) = (service.reload_handle(), session.shutdown());
    Ok(session.serve(Some(reload), service.serve(shutdown)).await?)
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    // git changes its directory, and is given what we name.
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Failure::system("a directory"));
    Ok(Options {
        config: absolute(&arguments.config)?,
        run: absolute(&arguments.run)?,
        repositories: absolute(&arguments.repos)?,
        listen: arguments.listen.clone(),
        launch_nonce: arguments.frame.launch_nonce()?,
        program: std::env::current_exe().map_err(Failure::system("the path of this program"))?,
    })
}
