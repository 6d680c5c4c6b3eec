//! A guard put together: config read, door open, acknowledgement written, serving until told to stop.
//!
//! The order matters. Everything that can be wrong with the configuration is found before the door opens; the
//! acknowledgement is written when it is open, so "applied" is never said of a guard that cannot be reached.

use std::path::PathBuf;
use std::sync::Arc;

use ::guard::ack::{AckWriter, Acknowledgements};
use ::guard::clock;
use ::guard::event_log::EventLog;
use ::guard::look::LookHandle;
use arc_swap::ArcSwap;
use contract::place::config::CA_CERTIFICATE;
use contract::{HostName, LaunchNonce};
use mitm::{CertificateAuthority, DnsName, Limits, ListenAddress, Listener, Proxy};
use tokio_util::sync::CancellationToken;

use crate::command::Failure;
use crate::config::{self, ConfigError};
use crate::credential::CredentialStore;
use crate::grants::Grants;
use crate::guard::Egress;
use crate::reload::{Parts, Reloader, in_force};
use crate::upstream::{Upstreams, WayOut};

/// What a guard is told at its start.
#[derive(Debug)]
pub struct Options {
    /// The config directory.
    pub config: PathBuf,
    /// The run directory: acknowledgement and ledger.
    pub run: PathBuf,
    /// The front door.
    pub listen: ListenAddress,
    /// This launch's mark.
    pub launch_nonce: LaunchNonce,
    /// The bottle has supervise.
    pub supervise: bool,
    /// The way out.
    pub way_out: WayOut,
    /// Sizes and time-outs of the core.
    pub limits: Limits,
}

/// A guard whose door is open.
pub struct Service {
    listener: Listener,
    proxy: Proxy<Egress>,
    hosts: Vec<HostName>,
    reload: LookHandle,
}

// === impl Service ===

impl Service {
    /// Reads the configuration, opens the door and acknowledges. Call it inside a tokio runtime.
    pub fn open(options: Options, credentials: CredentialStore, log: EventLog) -> Result<Self, Failure> {
        let extra = config::extra_authorities(&options.config)?;
        let parts = Parts {
            credentials,
            upstreams: Upstreams::new(options.way_out, &extra)?,
            grants: Arc::new(Grants::open(&options.run, clock::boot_id())?),
        };
        let file = config::routes(&options.config)?;
        let policy = parts.compile(file.table.map_err(ConfigError::from)?)?;
        let hosts = policy
            .table()
            .routes()
            .iter()
            .map(|route| route.host.clone())
            .collect();
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let authority = authority(&options.config)?;
        let grants = parts.grants.clone();
        let guard = Egress::new(policy.clone(), grants, log, options.supervise);

        let listener = Listener::bind(&options.listen)?;
        let ack = AckWriter::new(options.run, options.launch_nonce);
        let acknowledgements = Acknowledgements::begin(ack, file.sha256, &in_force(&policy.load()))
            .map_err(Failure::system("the acknowledgement"))?;
        let proxy = Proxy::new(Arc::new(guard), authority, options.limits);
        let reloader = Reloader::new(options.config, parts, policy, proxy.changes(), acknowledgements);
        Ok(Self {
            listener,
            proxy,
            hosts,
            reload: LookHandle::spawn(reloader).map_err(Failure::system("a thread for reloading"))?,
        })
    }

    /// The port's address; none for a Unix socket.
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// For SIGHUP.
    pub fn reload_handle(&self) -> LookHandle {
        self.reload.clone()
    }

    /// Serves until `shutdown`, then lets what is under way finish, for a bounded time.
    pub async fn serve(self, shutdown: CancellationToken) {
        let Self {
            listener,
            proxy,
            hosts,
            reload,
        } = self;
        // The key and the first leaves cost some 30 ms; whoever comes earlier waits for just its own.
        let warming = tokio::spawn({
            let proxy = proxy.clone();
            async move {
                let names = hosts
                    .iter()
                    .filter_map(|host| DnsName::parse(host.as_str().as_bytes()).ok());
                if let Err(error) = proxy.pre_mint(names.collect::<Vec<_>>()).await {
                    tracing::error!("{error}; no tunnel can be opened");
                }
            }
        });
        proxy.serve(listener, shutdown).await;
        warming.abort();
        drop(reload);
    }
}

fn authority(directory: &std::path::Path) -> Result<CertificateAuthority, Failure> {
    let pem = config::authority(directory)?;
    CertificateAuthority::from_pem(&pem.certificate, &pem.key).map_err(|why| Failure::Authority {
        file: directory.join(CA_CERTIFICATE),
        why,
    })
}
