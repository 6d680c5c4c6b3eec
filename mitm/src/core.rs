//! What all connections of one proxy share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::certificates::Certificates;
use crate::changes::Changes;
use crate::dial::DialError;
use crate::limits::Limits;
use crate::policy::{LocalResponse, Policy};
use crate::pool::Pool;
use crate::refusal::{Reason, Refusal};

/// How long a new upstream connection waits for the place of an idle one that is being closed for it.
const MAKING_ROOM: Duration = Duration::from_millis(250);

pub(crate) struct Core<P> {
    pub(crate) policy: Arc<P>,
    pub(crate) certificates: Certificates,
    pub(crate) pool: Arc<Pool>,
    pub(crate) changes: Changes,
    /// One for each upstream connection there may be.
    pub(crate) upstream_slots: Arc<Semaphore>,
    pub(crate) limits: Limits,
    /// For connections that are made before their request.
    pub(crate) ahead: Arc<Semaphore>,
}

impl<P: Policy> Core<P> {
    /// A place for a new upstream connection. When there is none, pooled connections make room.
    pub(crate) async fn upstream_slot(&self) -> Result<OwnedSemaphorePermit, DialError> {
        if let Ok(slot) = Arc::clone(&self.upstream_slots).try_acquire_owned() {
            return Ok(slot);
        }
        self.pool.close_idle();
        let waiting = Arc::clone(&self.upstream_slots).acquire_owned();
        match tokio::time::timeout(MAKING_ROOM, waiting).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => {
                let all = self.limits.upstream_connections;
                let detail = format!("all {all} upstream connections of this proxy are in use");
                Err(DialError::new(Reason::TooManyUpstreams, detail))
            }
        }
    }

    /// Tells the policy what the core refused, and gets the answer for it.
    pub(crate) fn refuse(&self, refusal: &Refusal<'_>) -> LocalResponse {
        tracing::debug!(
            connection = refusal.connection.0,
            reason = refusal.reason.as_str(),
            detail = refusal.detail,
            "refused by the core"
        );
        self.policy.refused(refusal)
    }
}
