//! `dlp run`: the guard itself.

use std::path::PathBuf;
use std::sync::Arc;

use ::guard::program::Frame;
use mitm::{Limits, ListenAddress, SystemResolver};
use tokio::runtime::Builder;

use super::Failure;
use crate::environment::{self, EnvironmentSecrets};
use crate::service::{Options, Service};
use crate::upstream;

/// Requests are mostly waiting; on the two-core machine of the measurements a third worker gained nothing.
const WORKERS: usize = 2;

/// What `--help` says after the arguments.
const SECRETS: &str = "\
The values of the agent's own secrets come by environment name, in slots: BOTTLE_ENV_SECRET_0, BOTTLE_ENV_SECRET_1, …. They are \
read once, at start; from 12 bytes on they are findings, as they stand and encoded (dlp.scan_env). Whoever may ask the container \
engine about this container (docker inspect) can read them there.

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
    /// Say in denials that the tool pipelock-block asks for what was refused
    #[arg(long)]
    supervise: bool,
    #[command(flatten)]
    frame: Frame,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.frame.seal()?;
    arguments.frame.speak();
    let secrets = environment::read(std::env::vars_os());
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(WORKERS);
    arguments.frame.block_on(runtime, guard(arguments, secrets))
}

async fn guard(arguments: &Arguments, secrets: EnvironmentSecrets) -> Result<(), Failure> {
    let session = arguments.frame.begin("dlp")?;
    let service = Service::open(options(arguments)?, secrets, session.log())?;
    tracing::info!("listening on {}", arguments.listen);

    let (reload, shutdown) = (service.reload_handle(), session.shutdown());
    Ok(session.serve(Some(reload), service.serve(shutdown)).await?)
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    Ok(Options {
        config: arguments.config.clone(),
        run: arguments.run.clone(),
        listen: arguments.listen.clone(),
        launch_nonce: arguments.frame.launch_nonce()?,
        supervise: arguments.supervise,
        resolver: Arc::new(SystemResolver),
        own_networks: upstream::own_networks().map_err(Failure::system("the network interfaces"))?,
        limits: Limits::of_process()?,
    })
}
