//! `egress run`: the guard itself.

use std::path::PathBuf;

use ::guard::program::Frame;
use mitm::Limits;
use tokio::runtime::Builder;

use super::Failure;
use crate::address::Address;
use crate::config;
use crate::credential::CredentialStore;
use crate::service::{Options, Service};
use crate::upstream::WayOut;

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
    /// Say in denials that the tool egress-block asks for what was refused
    #[arg(long)]
    supervise: bool,
    /// Reach hosts through this proxy alone: unix:PATH or HOST:PORT
    #[arg(long, value_name = "ADDRESS", requires = "upstream_proxy_ca")]
    upstream_proxy: Option<Address>,
    /// The CA by which that proxy signs for the hosts it looks into, PEM
    #[arg(long, value_name = "FILE", requires = "upstream_proxy")]
    upstream_proxy_ca: Option<PathBuf>,
    #[command(flatten)]
    frame: Frame,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.frame.seal()?;
    arguments.frame.speak();
    let credentials = CredentialStore::from_variables(std::env::vars_os());
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(WORKERS);
    arguments.frame.block_on(runtime, guard(arguments, credentials))
}

async fn guard(arguments: &Arguments, credentials: CredentialStore) -> Result<(), Failure> {
    let session = arguments.frame.begin("egress")?;
    let service = Service::open(options(arguments)?, credentials, session.log())?;
    tracing::info!("listening on {}", arguments.listen);

    let (reload, shutdown) = (service.reload_handle(), session.shutdown());
    Ok(session.serve(Some(reload), service.serve(shutdown)).await?)
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
        launch_nonce: arguments.frame.launch_nonce()?,
        supervise: arguments.supervise,
        way_out,
        limits: Limits::of_process()?,
    })
}
