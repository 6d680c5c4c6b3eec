//! A gate put together: configuration read, mirrors opened, hooks answered, door open, acknowledgement written.
//!
//! Everything that can be wrong with the configuration is found before the door opens; the acknowledgement is written when it is
//! open, so "applied" is never said of a gate that cannot be reached.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use contract::LaunchNonce;
use guard::ack::{AckWriter, Acknowledgements};
use guard::event_log::EventLog;
use guard::listen::{ListenAddress, Listener};
use guard::look::LookHandle;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::command::Failure;
use crate::config::{self, ConfigError};
use crate::environment::AgentSecrets;
use crate::events::Events;
use crate::front::Front;
use crate::git::Git;
use crate::push::scan::Scans;
use crate::push::session::Pushes;
use crate::reload::{Reloader, in_force};
use crate::table::Table;

/// What a gate is told at its start.
#[derive(Debug)]
pub struct Options {
    /// The config directory.
    pub config: PathBuf,
    /// The run directory: the acknowledgement.
    pub run: PathBuf,
    /// Where the mirrors lie.
    pub repositories: PathBuf,
    /// The front door.
    pub listen: ListenAddress,
    /// This launch's mark.
    pub launch_nonce: LaunchNonce,
    /// This program, which git runs as its hooks.
    pub program: PathBuf,
}

/// A gate whose door is open.
pub struct Service {
    listener: Listener,
    hooks: UnixListener,
    front: Front,
    pushes: Arc<Pushes>,
    reload: LookHandle,
}

// === impl Service ===

impl Service {
    /// Reads the configuration, opens the door and acknowledges. Call it inside a tokio runtime.
    pub fn open(options: Options, log: EventLog) -> Result<Self, Failure> {
        let file = config::read(&options.config)?;
        let config = file.config.map_err(ConfigError::from)?;
        let table =
            Table::open(config, &options.repositories, None).map_err(Failure::system("the mirrors"))?;
        let table = Arc::new(ArcSwap::from_pointee(table));
        let git = Arc::new(Git::new(&options.program).map_err(Failure::system("the scratch directory"))?);
        let agent = AgentSecrets::read(std::env::vars_os()).map_err(Failure::system("the scanner"))?;
        for warning in &agent.too_short {
            tracing::warn!("{warning}");
        }
        let values = agent.values.clone();
        let scans = Arc::new(Scans::new(agent).map_err(Failure::system("the scanner"))?);
        let hooks = UnixListener::bind(git.socket()).map_err(Failure::system("the socket of the hooks"))?;
        let events = Events::new(log, Arc::clone(&table), values);
        let pushes = Pushes::new(Arc::clone(&git), Arc::clone(&table), scans, events.clone());

        let listener = Listener::bind(&options.listen)?;
        let ack = AckWriter::new(options.run, options.launch_nonce);
        let acknowledgements = Acknowledgements::begin(ack, file.sha256, &in_force(&table.load()))
            .map_err(Failure::system("the acknowledgement"))?;
        let reloader = Reloader::new(
            options.config,
            options.repositories,
            Arc::clone(&table),
            acknowledgements,
        );
        Ok(Self {
            listener,
            hooks,
            front: Front::new(git, table, Arc::clone(&pushes), events),
            pushes,
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
        let hooks = tokio::spawn(Arc::clone(&self.pushes).answer_hooks(self.hooks));
        self.front.serve(self.listener, shutdown).await;
        hooks.abort();
        drop(self.reload);
    }
}
