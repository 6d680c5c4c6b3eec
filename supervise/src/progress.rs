//! Progress notifications of a call that waits.

use std::time::{Duration, Instant};

use contract::ProposalId;
use rmcp::RoleServer;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;

use crate::answer;
use crate::queue::Standing;

/// Tells a waiting client that its call goes on: at once, at each change, and every while.
pub(crate) struct Progress<'a> {
    context: &'a RequestContext<RoleServer>,
    every: Duration,
    began: Instant,
    told: f64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(context: &'a RequestContext<RoleServer>, every: Duration) -> Self {
        Self {
            context,
            every,
            began: Instant::now(),
            told: 0.0,
        }
    }

    /// Says how the proposal stands, if the client wants to hear.
    pub(crate) async fn tell(&mut self, id: &ProposalId, standing: &Standing) {
        let Some(token) = self.context.meta.get_progress_token() else {
            return;
        };
        self.told += 1.0;
        let statement = answer::statement(id, standing);
        let message = format!("{statement} {} s so far.", self.began.elapsed().as_secs());
        let progress = ProgressNotificationParam::new(token, self.told).with_message(message);
        // A client that is gone is noticed by its closed stream.
        let _ = self.context.peer.notify_progress(progress).await;
    }

    /// Resolves when it should hear again.
    pub(crate) async fn due(&self) {
        tokio::time::sleep(self.every).await;
    }
}
