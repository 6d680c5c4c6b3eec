//! Turns what happened to a request into its access event.

use std::time::{Duration, Instant, SystemTime};

use contract::{
    AccessEvent, Decision, DenialReason, EventId, GrantId, Guard, ProposalId, SCHEMA_VERSION, Timestamp,
};
use mitm::{Ended, Outcome, RequestHead, WayIn, denial_reason};

use crate::redact;
use crate::tripwire::Tripwire;
use ::guard::event_log::EventLog;

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
    pub fn of_request(log: &EventLog, head: &RequestHead, tripwire: &Tripwire, generation: u64) -> Self {
        let way_in = if head.websocket {
            "websocket"
        } else {
            way_in(head.way_in)
        };
        let mut draft = Self::new(log, way_in, head.received, generation);
        draft.event.method = Some(redact::method(head.method.as_str(), tripwire));
        draft.event.host = Some(redact::host(&head.authority.host.to_string(), tripwire));
        draft.event.path = Some(redact::path(head.target.as_str().as_bytes(), tripwire));
        draft
    }

    /// For anything else: a CONNECT, or what the core refused.
    pub fn new(log: &EventLog, way_in: &str, received: Instant, generation: u64) -> Self {
        let event = AccessEvent {
            schema_version: SCHEMA_VERSION,
            event_id: log.next_id(),
            time: wall_time(received),
            guard: Guard::Egress,
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

    /// Names the route that decided, and its grant.
    pub fn with_rule(mut self, rule: Option<String>, grant_id: Option<GrantId>) -> Self {
        self.event.rule = rule;
        self.event.grant_id = grant_id;
        self
    }

    /// Names the proposal that it goes back to.
    pub fn with_proposal(mut self, proposal_id: Option<ProposalId>) -> Self {
        self.event.proposal_id = proposal_id;
        self
    }

    /// The event's own identifier: an ask that follows a denial names it.
    pub fn id(&self) -> EventId {
        self.event.event_id.clone()
    }

    /// What was tried, for a request of which no whole head is known.
    pub fn with_target(
        mut self,
        method: Option<&str>,
        host: Option<&str>,
        target: Option<&[u8]>,
        tripwire: &Tripwire,
    ) -> Self {
        self.event.method = method.map(|method| redact::method(method, tripwire));
        self.event.host = host.map(|host| redact::host(host, tripwire));
        self.event.path = target.map(|target| redact::path(target, tripwire));
        self
    }

    /// The event of an answer that egress gave by itself.
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
        Ended::Withdrawn { .. } => Some(cut_for.unwrap_or(DenialReason::HostNotAllowed)),
        Ended::RequestCut { .. } => Some(cut_for.unwrap_or(DenialReason::CredentialInRequest)),
        Ended::ResponseDenied { .. } | Ended::ResponseCut { .. } => {
            Some(cut_for.unwrap_or(DenialReason::CredentialInResponse))
        }
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
    use http::StatusCode;
    use mitm::Reason;

    fn finished(ended: Ended, cut_for: Option<DenialReason>) -> AccessEvent {
        let (log, _) = EventLog::none();
        let outcome = Outcome {
            status: Some(StatusCode::OK),
            bytes_up: 1,
            bytes_down: 2,
            duration: Duration::from_micros(3),
            ended,
        };
        Draft::new(&log, CONNECT, Instant::now(), 4).finished(&outcome, cut_for)
    }

    #[test]
    fn how_a_request_ended_decides_what_its_event_says() {
        let logged = String::new;
        for (ended, cut_for, decision, reason) in [
            (Ended::Complete, None, Decision::Allowed, None),
            (Ended::AgentGone, None, Decision::Allowed, None),
            (
                Ended::RequestCut { logged: logged() },
                Some(DenialReason::UseGitGate),
                Decision::Denied,
                Some(DenialReason::UseGitGate),
            ),
            (
                Ended::ResponseCut { logged: logged() },
                None,
                Decision::Failed,
                Some(DenialReason::CredentialInResponse),
            ),
            (
                Ended::ResponseDenied { logged: logged() },
                Some(DenialReason::ContentEncoding),
                Decision::Failed,
                Some(DenialReason::ContentEncoding),
            ),
            (
                Ended::Refused(Reason::UpstreamTls),
                None,
                Decision::Failed,
                Some(DenialReason::UpstreamUnreachable),
            ),
            (Ended::Drained, None, Decision::Allowed, None),
            (Ended::Idle, None, Decision::Failed, Some(DenialReason::TimedOut)),
        ] {
            let event = finished(ended.clone(), cut_for);
            assert_eq!((event.decision, event.reason), (decision, reason), "{ended:?}");
            assert_eq!(
                (
                    event.request_bytes,
                    event.response_bytes,
                    event.microseconds,
                    event.generation
                ),
                (1, 2, 3, 4)
            );
        }
    }
}
