//! Turns what happened to a request into its access event.

use std::time::{Duration, Instant, SystemTime};

use ::guard::event_log::EventLog;
use contract::{AccessEvent, Decision, DenialReason, EventId, Guard, SCHEMA_VERSION, Timestamp};
use mitm::{Ended, Outcome, RequestHead, WayIn, denial_reason};

use crate::policy::CompiledPolicy;
use crate::redact;

/// What is known of a request when it is decided.
#[derive(Debug)]
pub struct Draft {
    event: AccessEvent,
    received: Instant,
}

/// The way in of a CONNECT itself.
pub const CONNECT: &str = "connect";

// === impl Draft ===

impl Draft {
    /// For a decided request. The path is redacted here: nothing after this sees it whole.
    pub fn of_request(log: &EventLog, head: &RequestHead, policy: &CompiledPolicy) -> Self {
        let way_in = if head.websocket {
            "websocket"
        } else {
            way_in(head.way_in)
        };
        let host = head.authority.host.to_string();
        Self::new(log, way_in, head.received, policy.generation()).with_target(
            Some(head.method.as_str()),
            Some(&host),
            Some(head.target.as_str().as_bytes()),
            policy,
        )
    }

    /// For anything else: a CONNECT, or what the core refused.
    pub fn new(log: &EventLog, way_in: &str, received: Instant, generation: u64) -> Self {
        let event = AccessEvent {
            schema_version: SCHEMA_VERSION,
            event_id: log.next_id(),
            time: wall_time(received),
            guard: Guard::Pipelock,
            decision: Decision::Allowed,
            reason: None,
            rule: None,
            way_in: way_in.to_owned(),
            method: None,
            host: None,
            path: None,
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            microseconds: 0,
            generation,
            grant_id: None,
            proposal_id: None,
            git: None,
            lost_before: 0,
        };
        Self { event, received }
    }

    /// By which a remedy names it.
    pub fn event_id(&self) -> &EventId {
        &self.event.event_id
    }

    /// Names the rule that decided, or that would have.
    pub fn with_rule(mut self, rule: Option<&str>) -> Self {
        if let Some(rule) = rule {
            self.event.rule = Some(rule.to_owned());
        }
        self
    }

    /// What was tried.
    pub fn with_target(
        mut self,
        method: Option<&str>,
        host: Option<&str>,
        target: Option<&[u8]>,
        policy: &CompiledPolicy,
    ) -> Self {
        self.event.method = method.map(|method| redact::method(method, policy));
        self.event.host = host.map(|host| redact::host(host, policy));
        self.event.path = target.map(|target| redact::path(target, policy));
        self
    }

    /// The event of an answer that the seat gave by itself.
    pub fn answered(self, reason: Option<DenialReason>, answer: &mitm::LocalResponse) -> AccessEvent {
        let mut event = self.event;
        event.decision = if reason.is_some() {
            Decision::Denied
        } else {
            Decision::Allowed
        };
        event.reason = reason;
        event.status = Some(answer.status().as_u16());
        event.response_bytes = u64::try_from(answer.body().len()).unwrap_or(u64::MAX);
        event.microseconds = micros(self.received.elapsed());
        event
    }

    /// The event of a refusal that reached nobody: the connection was closed.
    pub fn closed(self, reason: DenialReason) -> AccessEvent {
        let mut event = self.event;
        event.decision = Decision::Denied;
        event.reason = Some(reason);
        event.microseconds = micros(self.received.elapsed());
        event
    }

    /// The event of a request that was admitted. `cut_for` is why one of our inspectors cut it.
    pub fn finished(self, outcome: &Outcome, cut_for: Option<DenialReason>) -> AccessEvent {
        let mut event = self.event;
        event.reason = why_failed(&outcome.ended, cut_for);
        event.decision = match (&outcome.ended, event.reason) {
            (_, None) => Decision::Allowed,
            // The request never went out whole, and the agent got the refusal.
            (Ended::RequestCut { .. }, _) => Decision::Denied,
            _ => Decision::Failed,
        };
        event.status = outcome.status.map(|status| status.as_u16());
        event.request_bytes = outcome.bytes_up;
        event.response_bytes = outcome.bytes_down;
        event.microseconds = micros(outcome.duration);
        event
    }
}

/// How the request came in, as access events say it.
pub fn way_in(way: WayIn) -> &'static str {
    match way {
        WayIn::AbsoluteForm => "absolute_form",
        WayIn::TunnelHttp1 => "connect_http1",
        WayIn::TunnelHttp2 => "connect_http2",
    }
}

fn why_failed(ended: &Ended, cut_for: Option<DenialReason>) -> Option<DenialReason> {
    match ended {
        // An agent that leaves early has had its answer, as far as it wanted it.
        Ended::Complete | Ended::AgentGone | Ended::Drained => None,
        Ended::RequestCut { .. } => Some(cut_for.unwrap_or(DenialReason::SecretFound)),
        Ended::ResponseDenied { .. } | Ended::ResponseCut { .. } => {
            Some(cut_for.unwrap_or(DenialReason::ResponseSuspicious))
        }
        Ended::Withdrawn { .. } => Some(cut_for.unwrap_or(DenialReason::HostNotAllowed)),
        Ended::Refused(reason) => Some(denial_reason(*reason)),
        Ended::UpstreamBroke => Some(DenialReason::UpstreamUnreachable),
        Ended::Idle => Some(DenialReason::TimedOut),
        _ => Some(DenialReason::InternalError),
    }
}

fn wall_time(received: Instant) -> Timestamp {
    let now = SystemTime::now();
    now.checked_sub(received.elapsed()).unwrap_or(now).into()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_cut_for_a_secret_was_denied_and_a_response_failed() {
        let logged = String::new;
        assert_eq!(
            why_failed(
                &Ended::RequestCut { logged: logged() },
                Some(DenialReason::BodyMalformed)
            ),
            Some(DenialReason::BodyMalformed)
        );
        assert_eq!(
            why_failed(&Ended::ResponseCut { logged: logged() }, None),
            Some(DenialReason::ResponseSuspicious)
        );
        assert_eq!(why_failed(&Ended::Complete, None), None);
    }
}
