//! A seat put together: config read, door open, acknowledgement written, serving until told to stop.
//!
//! The order matters. Everything that can be wrong with the configuration is found before the door opens; the
//! acknowledgement is written when it is open, so "applied" is never said of a seat that cannot be reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::guard::ack::{AckWriter, Acknowledgements};
use ::guard::event_log::EventLog;
use ::guard::look::LookHandle;
use arc_swap::ArcSwap;
use contract::LaunchNonce;
use contract::place::config::{CA_CERTIFICATE, EXTRA_CA};
use ipnet::IpNet;
use mitm::{CertificateAuthority, DnsName, Limits, ListenAddress, Listener, Proxy, Resolve, trust};
use pipelock_config::HostPattern;
use tokio_util::sync::CancellationToken;

use crate::command::Failure;
use crate::config;
use crate::environment::EnvironmentSecrets;
use crate::policy::Parts;
use crate::reload::{Reloader, compile, in_force};
use crate::seat::SeatGuard;
use crate::upstream::Upstreams;

/// What a seat is told at its start.
#[derive(Debug)]
pub struct Options {
    /// The config directory.
    pub config: PathBuf,
    /// The run directory: the acknowledgement.
    pub run: PathBuf,
    /// The front door.
    pub listen: ListenAddress,
    /// This launch's mark.
    pub launch_nonce: LaunchNonce,
    /// The bottle has supervise.
    pub supervise: bool,
    /// How names are resolved.
    pub resolver: Arc<dyn Resolve>,
    /// Networks in which no host may resolve.
    pub own_networks: Vec<IpNet>,
    /// Sizes and time-outs of the core.
    pub limits: Limits,
}

/// A seat whose door is open.
pub struct Service {
    listener: Listener,
    proxy: Proxy<SeatGuard>,
    hosts: Vec<DnsName>,
    reload: LookHandle,
}

// === impl Service ===

impl Service {
    /// Reads the configuration, opens the door and acknowledges. Call it inside a tokio runtime.
    pub fn open(options: Options, environment: EnvironmentSecrets, log: EventLog) -> Result<Self, Failure> {
        for short in &environment.too_short {
            tracing::warn!("{short}");
        }
        let extra = config::extra_authorities(&options.config)?;
        let tls = trust::public_roots(&extra).map_err(|why| Failure::Trust {
            file: options.config.join(EXTRA_CA),
            why,
        })?;
        let parts = Arc::new(Parts {
            environment: environment.values,
            upstreams: Upstreams::new(tls, options.resolver, options.own_networks),
        });
        let files = config::seat(&options.config)?;
        let policy = compile(files.said, &parts)?;
        let hosts = exact_hosts(&policy.seat().allow);
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let authority = authority(&options.config)?;
        let guard = SeatGuard::new(policy.clone(), parts.clone(), log, options.supervise);

        let listener = Listener::bind(&options.listen)?;
        let ack = AckWriter::new(options.run, options.launch_nonce);
        let acknowledgements = Acknowledgements::begin(ack, files.sha256, &in_force(&policy.load()))
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
                if let Err(error) = proxy.pre_mint(hosts).await {
                    tracing::error!("{error}; no tunnel can be opened");
                }
            }
        });
        proxy.serve(listener, shutdown).await;
        warming.abort();
        drop(reload);
    }
}

fn exact_hosts(allow: &[HostPattern]) -> Vec<DnsName> {
    let exact = allow.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(host) => DnsName::parse(host.as_str().as_bytes()).ok(),
        HostPattern::Under(_) => None,
    });
    exact.collect()
}

/// Reads the authority that the seat signs with.
pub fn authority(directory: &Path) -> Result<CertificateAuthority, Failure> {
    let pem = config::authority(directory)?;
    CertificateAuthority::from_pem(&pem.certificate, &pem.key).map_err(|why| Failure::Authority {
        file: directory.join(CA_CERTIFICATE),
        why,
    })
}
