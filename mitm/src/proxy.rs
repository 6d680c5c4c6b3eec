//! The proxy: accepts, counts, serves, and goes down gently.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::again::again_at_once;
use crate::agent;
use crate::ahead;
use crate::answer;
use crate::authority::DnsName;
use crate::certificates::{CertificateAuthority, CertificateError, Certificates};
use crate::changes::Changes;
use crate::core::Core;
use crate::ending::Endings;
use crate::limits::Limits;
use crate::policy::{ConnectionId, LocalResponse, Policy};
use crate::pool::Pool;
use crate::refusal::{Reason, Refusal};
use guard::listen::Listener;

/// How often pooled connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);
/// How long accepting pauses after it failed (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections at one time that are told at leisure that there are too many; with more the answer is written in one go, and not
/// waited for.
const TURNED_AWAY: usize = 64;

/// A TLS-intercepting forward proxy under one policy. Cheap to clone.
pub struct Proxy<P> {
    core: Arc<Core<P>>,
    connections: Arc<AtomicU64>,
}

impl<P> Clone for Proxy<P> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            connections: Arc::clone(&self.connections),
        }
    }
}

impl<P: Policy> Proxy<P> {
    /// `authority` is what the agent trusts.
    pub fn new(policy: Arc<P>, authority: CertificateAuthority, limits: Limits) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let core = Core {
            policy,
            certificates: Certificates::new(authority, provider, limits.leaves),
            pool: Pool::new(limits.idle_per_host, limits.timeouts.pool_idle),
            changes: Changes::default(),
            upstream_slots: Arc::new(Semaphore::new(limits.upstream_connections)),
            limits,
            ahead: ahead::slots(),
        };
        Self {
            core: Arc::new(core),
            connections: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Where to say that another policy is in force.
    pub fn changes(&self) -> Changes {
        self.core.changes.clone()
    }

    /// Seeds the random number generator and makes the leaf key: some 30 ms of CPU on a thread of their own.
    /// Bind first, then let this run beside [`Proxy::serve`].
    pub async fn warm_up(&self) -> Result<(), CertificateError> {
        self.core.certificates.warm_up().await
    }

    /// Mints leaves for hosts that are going to be asked for, as a plan that offers HTTP/2 presents them.
    pub async fn pre_mint(&self, hosts: impl IntoIterator<Item = DnsName>) -> Result<(), CertificateError> {
        for host in hosts {
            self.core.certificates.config(&host.into(), true).await?;
        }
        Ok(())
    }

    /// Serves until `shutdown`, then lets what is under way finish for as long as the drain time-out says, and
    /// breaks off the rest.
    pub async fn serve(&self, listener: Listener, shutdown: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.core.limits.connections));
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
        let tracker = TaskTracker::new();
        let endings = Arc::new(Endings::default());
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            let stream = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = sweep.tick() => {
                    self.core.pool.sweep();
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1);
            if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
                let ending = endings.begin(connection);
                let endings = Arc::clone(&endings);
                let core = Arc::clone(&self.core);
                let served = again_at_once(agent::serve(core, stream, connection, Arc::clone(&ending)));
                tracker.spawn(async move {
                    ending.or_abort(served).await;
                    endings.over(connection);
                    drop(slot);
                });
            } else if let Ok(slot) = Arc::clone(&turned_away).try_acquire_owned() {
                let answer = self.too_many(connection);
                tracker.spawn(async move {
                    let mut stream = stream;
                    answer::answer_and_close(&mut stream, &answer).await;
                    drop(slot);
                });
            } else {
                answer::answer_at_once(stream, &self.too_many(connection)).await;
            }
        }
        drop(listener);
        endings.drain();
        tracker.close();
        if tokio::time::timeout(self.core.limits.timeouts.drain, tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = tracker.len(),
                "drain time is over: breaking off what is left"
            );
            endings.abort();
            tracker.wait().await;
        }
    }

    /// What a connection too many is answered.
    fn too_many(&self, connection: ConnectionId) -> LocalResponse {
        let all = self.core.limits.connections;
        self.core.refuse(&Refusal {
            reason: Reason::TooManyConnections,
            detail: &format!("all {all} connections of this proxy are in use"),
            connection,
            way_in: None,
            authority: None,
            method: None,
            target: None,
            admitted: false,
            answerable: true,
        })
    }
}
