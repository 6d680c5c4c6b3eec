//! The front: smart HTTP (gitprotocol-http(5)) for the repositories of the table, and nothing else.
//!
//! Three requests are known: the advertisement of refs, a fetch, a push. Each runs git on the one bare repository that the
//! table names; what the client sends reaches git as standard input and never as an argument.

mod answer;
mod body;
mod child;
mod request;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use contract::DenialReason;
use guard::listen::Listener;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::Events;
use crate::git::{Git, SESSION_VARIABLE, SOCKET_VARIABLE};
use crate::push::session::Pushes;
use crate::repository::FRESH;
use crate::table::{Remote, Table};
use answer::Answer;
use request::{Asked, Service};

/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(15);

/// How long requests under way may take once the gate is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Connections at a time.
const CONNECTIONS: usize = 128;

/// Fetches and pushes at a time; each is one or two processes.
const AT_ONCE: usize = 16;

/// What a fetch may send: wants and haves.
const FETCH_BYTES: u64 = 64 << 20;

/// The front and what it hands requests to.
pub struct Front {
    /// Runs git.
    pub git: Arc<Git>,
    /// What is in force.
    pub table: Arc<ArcSwap<Table>>,
    /// Pushes under way.
    pub pushes: Arc<Pushes>,
    /// What was decided.
    pub events: Events,
    /// Bounds the processes.
    places: Arc<Semaphore>,
}

/// The route of a request that is one of ours, for the fuzz target.
pub(crate) fn route_of(method: &http::Method, uri: &http::Uri, headers: &http::HeaderMap) -> Option<String> {
    match request::read(method, uri, headers).ok()? {
        Asked::Health => None,
        asked => Some(asked.route().to_owned()),
    }
}

// === impl Front ===

impl Front {
    /// Ready to serve.
    pub fn new(git: Arc<Git>, table: Arc<ArcSwap<Table>>, pushes: Arc<Pushes>, events: Events) -> Self {
        Self {
            git,
            table,
            pushes,
            events,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Serves until `shutdown`, then lets what is under way finish, for a bounded time.
    pub async fn serve(self, listener: Listener, shutdown: CancellationToken) {
        let front = Arc::new(self);
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let tasks = TaskTracker::new();
        loop {
            let Ok(place) = Arc::clone(&connections).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::error!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (front, shutdown) = (Arc::clone(&front), shutdown.clone());
            tasks.spawn(async move {
                front.connection(TokioIo::new(stream), shutdown).await;
                drop(place);
            });
        }
        drop(listener);
        tasks.close();
        let _ = tokio::time::timeout(GRACE, tasks.wait()).await;
    }

    async fn connection(self: Arc<Self>, io: TokioIo<guard::stream::Stream>, shutdown: CancellationToken) {
        let service = service_fn(move |request: Request<Incoming>| {
            let front = Arc::clone(&self);
            async move { Ok::<_, Infallible>(front.request(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(io, service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!("a connection ended early: {error}");
        }
    }

    async fn request(&self, request: Request<Incoming>) -> Response<Answer> {
        let asked = match request::read(request.method(), request.uri(), request.headers()) {
            Ok(asked) => asked,
            Err(refused) => {
                self.events.denied(
                    refused.reason,
                    request.method().as_str(),
                    request.uri().path(),
                    refused.status.as_u16(),
                );
                return answer::refused(refused.status, &refused.told);
            }
        };
        if let Asked::Health = asked {
            return answer::health(self.table.load().generation);
        }
        let Some(remote) = self.table.load().remote(asked.route()).cloned() else {
            self.events.denied(
                DenialReason::RepositoryNotAllowed,
                request.method().as_str(),
                request.uri().path(),
                404,
            );
            let told = format!(
                "git-gate: {} is not among this bottle's git.remotes; whoever runs the bottle can add it",
                asked.route()
            );
            return answer::refused(http::StatusCode::NOT_FOUND, &told);
        };
        match asked {
            Asked::Health => answer::health(0),
            Asked::Refs {
                service, protocol, ..
            } => self.advertise(&remote, service, protocol.as_deref()).await,
            Asked::Exchange {
                service,
                protocol,
                gzip,
                ..
            } => {
                let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                    return answer::refused(
                        http::StatusCode::SERVICE_UNAVAILABLE,
                        "git-gate: the gate is stopping",
                    );
                };
                self.exchange(
                    &remote,
                    service,
                    protocol.as_deref(),
                    gzip,
                    request.into_body(),
                    place,
                )
            }
        }
    }

    async fn advertise(
        &self,
        remote: &Arc<Remote>,
        service: Service,
        protocol: Option<&str>,
    ) -> Response<Answer> {
        let refuse =
            |message: &str| answer::advertisement(service, crate::pkt::refusal(service.name(), message));
        if service == Service::UploadPack && !self.events.fetching(remote, service.name()).await {
            return refuse("git-gate: nothing can be logged, so nothing begins");
        }
        if let Err(why) = remote
            .repository
            .refresh(&self.git, &remote.settings, FRESH)
            .await
        {
            self.events.unreachable(remote, service.name());
            return refuse(&format!("git-gate: {} cannot be reached: {why}", remote.route));
        }
        // Only now: whoever waits for an upstream that hangs takes no place from another upstream's readers.
        let Ok(_place) = self.places.acquire().await else {
            return refuse("git-gate: the gate is stopping");
        };
        let mut command = child::command(&self.git, remote, service, protocol);
        command.arg("--http-backend-info-refs").arg(".");
        match child::whole(command).await {
            Ok(refs) => answer::advertisement(service, answer::with_service(service, &refs)),
            Err(error) => {
                tracing::error!("the refs of {} cannot be told: {error}", remote.route);
                refuse("git-gate: the gate's own copy cannot be read")
            }
        }
    }

    fn exchange(
        &self,
        remote: &Arc<Remote>,
        service: Service,
        protocol: Option<&str>,
        gzip: bool,
        body: Incoming,
        place: tokio::sync::OwnedSemaphorePermit,
    ) -> Response<Answer> {
        let mut command = child::command(&self.git, remote, service, protocol);
        let caps = &remote.settings.policy.caps;
        let (limit, session) = match service {
            Service::UploadPack => (FETCH_BYTES, None),
            Service::ReceivePack => {
                let session = self.pushes.open(Arc::clone(remote));
                command
                    .env(SESSION_VARIABLE, &session.name)
                    .env(SOCKET_VARIABLE, self.git.socket());
                // git's own count ends first, and says so in its report.
                (caps.push_bytes.saturating_add(16 << 20), Some(session))
            }
        };
        command.arg(".");
        match child::exchange(command, body, gzip, limit, (session, place)) {
            Ok(answer) => answer::result(service, answer),
            Err(error) => {
                tracing::error!("git cannot be run: {error}");
                answer::refused(
                    http::StatusCode::INTERNAL_SERVER_ERROR,
                    "git-gate: the gate cannot run git",
                )
            }
        }
    }
}
