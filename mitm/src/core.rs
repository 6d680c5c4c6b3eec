//! What all connections of one proxy share.

use std::sync::Arc;

use crate::certificates::Certificates;
use crate::limits::Limits;
use crate::policy::{LocalResponse, Policy};
use crate::pool::Pool;
use crate::refusal::Refusal;

pub(crate) struct Core<P> {
    pub(crate) policy: Arc<P>,
    pub(crate) certificates: Certificates,
    pub(crate) pool: Arc<Pool>,
    pub(crate) limits: Limits,
}

impl<P: Policy> Core<P> {
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
