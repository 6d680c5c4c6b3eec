//! The guard put together: queue opened, doors open, serving until told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::guard::ack::{AckWriter, InForce};
use ::guard::event_log::EventLog;
use ::guard::listen::{ListenAddress, Listener};
use ::guard::look::LookHandle;
use ::guard::stream::Stream;
use axum::Router;
use axum::routing::get;
use contract::{LaunchNonce, Sha256Hex};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calls::Calls;
use crate::command::Failure;
use crate::front;
use crate::queue::{Poller, Queue};
use crate::server::{Parts, Supervise};

/// Where MCP is served.
pub const MCP_PATH: &str = "/mcp";

/// Where a health check asks.
pub const HEALTH_PATH: &str = "/health";

/// Connections at a time: every waiting call holds one.
pub const MAX_CONNECTIONS: usize = 512;

/// How long a client may take to send a request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// How long answers under way may take to be sent when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The most of a request's head, and of what is read ahead, in bytes. Small, for there are many connections that only wait.
const READ_AHEAD: usize = 16 * 1024;

/// What a server is told at its start.
#[derive(Debug)]
pub struct Options {
    /// The queue's own directory.
    pub proposals: PathBuf,
    /// The launcher's.
    pub responses: PathBuf,
    /// The run directory: the lock on the queue, and the acknowledgement.
    pub run: PathBuf,
    /// The socket of egress' front door.
    pub egress: PathBuf,
    /// The front doors.
    pub listen: Vec<ListenAddress>,
    /// This launch's mark.
    pub launch_nonce: LaunchNonce,
    /// How often a waiting client hears that its call goes on.
    pub progress_every: Duration,
}

/// A server whose doors are open.
pub struct Service {
    listeners: Vec<Listener>,
    router: Router,
    shutdown: CancellationToken,
    looking: LookHandle,
}

// === impl Service ===

impl Service {
    /// Opens the queue and then the doors. `shutdown` ends the service. Call it inside a tokio runtime.
    pub fn open(options: Options, log: EventLog, shutdown: CancellationToken) -> Result<Self, Failure> {
        let queue = Queue::open(options.proposals, options.responses, &options.run)?;
        let undecided = queue.undecided();
        if undecided > 0 {
            tracing::info!("{undecided} proposals are undecided from before");
        }
        let looking = LookHandle::spawn(Poller(queue.clone()))
            .map_err(Failure::system("a thread that looks for answers"))?;
        let calls = Calls::default();
        let server = Supervise::new(Parts {
            queue,
            egress: options.egress,
            calls: calls.clone(),
            log,
            shutdown: shutdown.clone(),
            progress_every: options.progress_every,
        });
        let listeners: Result<Vec<_>, _> = options.listen.iter().map(Listener::bind).collect();
        let listeners = listeners?;
        // There is no configuration to have in force: what it says is that the doors are open.
        let none = Sha256Hex::of(b"");
        let in_force = InForce {
            effective_sha256: none.clone(),
            generation: 0,
        };
        AckWriter::new(options.run, options.launch_nonce)
            .write(&none, &in_force, None)
            .map_err(Failure::system("the acknowledgement"))?;
        Ok(Self {
            listeners,
            router: router(server, calls, shutdown.clone()),
            shutdown,
            looking,
        })
    }

    /// The ports' addresses, without Unix sockets.
    pub fn local_addrs(&self) -> Vec<std::net::SocketAddr> {
        self.listeners.iter().filter_map(Listener::local_addr).collect()
    }

    /// Serves until told to stop. Calls that wait are broken off then; their proposals stay.
    pub async fn serve(self) {
        let Self {
            listeners,
            router,
            shutdown,
            looking,
        } = self;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        let doors = TaskTracker::new();
        for listener in listeners {
            let door = Door {
                router: router.clone(),
                places: places.clone(),
                connections: connections.clone(),
                shutdown: shutdown.clone(),
            };
            doors.spawn(door.accept(listener));
        }
        doors.close();
        doors.wait().await;
        connections.close();
        let _ = tokio::time::timeout(LAST_ANSWERS, connections.wait()).await;
        drop(looking);
    }
}

fn router(server: Supervise, calls: Calls, shutdown: CancellationToken) -> Router {
    let port = contract::place::container::SUPERVISE_PORT;
    let hosts = ["supervise".to_owned(), format!("supervise:{port}")];
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    // A page that the agent's own container serves; any other is somebody else's.
    let origins = ["localhost", "127.0.0.1", "[::1]", "supervise"].map(|host| format!("http://{host}:*"));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_allowed_hosts(hosts.into_iter().chain(loopback))
        .with_allowed_origins(origins)
        .enforce_origin_validation()
        .with_max_request_body_bytes(front::MAX_REQUEST)
        .with_cancellation_token(shutdown);
    let mcp = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new()
        .route_service(MCP_PATH, mcp)
        .layer(axum::middleware::from_fn_with_state(calls, front::pass))
        .route(HEALTH_PATH, get(async || "serving\n"))
}

/// One front door.
struct Door {
    router: Router,
    places: Arc<Semaphore>,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

// === impl Door ===

impl Door {
    async fn accept(self, listener: Listener) {
        loop {
            let Some(Ok(place)) = self.or_stop(self.places.clone().acquire_owned()).await else {
                return;
            };
            match self.or_stop(listener.accept()).await {
                None => return,
                Some(Ok(stream)) => {
                    let serving = serve(stream, self.router.clone(), self.shutdown.clone());
                    self.connections.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Some(Err(error)) => {
                    tracing::warn!("a connection could not be taken: {error}");
                    // Out of descriptors, most likely: some are given back when calls end.
                    if self
                        .or_stop(tokio::time::sleep(Duration::from_millis(100)))
                        .await
                        .is_none()
                    {
                        return;
                    }
                }
            }
        }
    }

    async fn or_stop<T>(&self, something: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.shutdown.cancelled() => None,
            happened = something => Some(happened),
        }
    }
}

async fn serve(stream: Stream, router: Router, shutdown: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("a connection ended: {error}");
    }
}
