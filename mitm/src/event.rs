//! Turns what happened to a request into its access event.
//!
//! One way for every guard on this core, so that the logs of all are read alike. What must not be shown is hidden here: nothing after
//! it sees a whole path.

use std::time::{Duration, Instant, SystemTime};

use contract::{
    AccessEvent, Decision, DenialReason, EventId, GrantId, Guard, ProposalId, SCHEMA_VERSION, Timestamp,
};
use guard::event_log::EventLog;
use guard::shown::{self, Hides};

use crate::denial_reason::denial_reason;
use crate::policy::{Ended, LocalResponse, Outcome, RequestHead, WayIn};

/// Who tells, and what it calls a cut for which it has no other reason.
#[derive(Clone, Copy, Debug)]
pub struct Teller {
    /// The guard.
    pub guard: Guard,
    /// A request that was cut.
    pub request_cut: DenialReason,
    /// A response that was denied or cut.
    pub response_cut: DenialReason,
}

/// What is known of a request when it is decided.
#[derive(Debug)]
pub struct Draft {
    event: AccessEvent,
    received: Instant,
    teller: Teller,
}

/// The way in of a CONNECT itself.
const CONNECT: &str = "connect";

// === impl Draft ===

impl Draft {
    /// For a decided request.
    pub fn of_request(
        teller: Teller,
        log: &EventLog,
        head: &RequestHead,
        hidden: &impl Hides,
        generation: u64,
    ) -> Self {
        let way_in = if head.websocket {
            "websocket"
        } else {
            way_in(Some(head.way_in))
        };
        let host = head.authority.host.to_string();
        Self::new(teller, log, way_in, head.received, generation).with_target(
            Some(head.method.as_str()),
            Some(&host),
            Some(head.target.as_str().as_bytes()),
            hidden,
        )
    }

    /// For anything else: what the core refused, or with no way in a CONNECT.
    pub fn of_attempt(
        teller: Teller,
        log: &EventLog,
        way: Option<WayIn>,
        received: Instant,
        generation: u64,
    ) -> Self {
        Self::new(teller, log, way_in(way), received, generation)
    }

    fn new(teller: Teller, log: &EventLog, way_in: &str, received: Instant, generation: u64) -> Self {
        let event = AccessEvent {
            schema_version: SCHEMA_VERSION,
            event_id: log.next_id(),
            time: wall_time(received),
            guard: teller.guard,
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
        Self {
            event,
            received,
            teller,
        }
    }

    /// By which a remedy names it, and an ask that follows.
    pub fn event_id(&self) -> &EventId {
        &self.event.event_id
    }

    /// Names the rule that decided, if one did.
    #[must_use]
    pub fn with_rule(mut self, rule: Option<impl Into<String>>) -> Self {
        self.event.rule = rule.map(Into::into).or(self.event.rule);
        self
    }

    /// Names the grant by which it was admitted.
    #[must_use]
    pub fn with_grant(mut self, grant_id: Option<GrantId>) -> Self {
        self.event.grant_id = grant_id;
        self
    }

    /// Names the proposal that it goes back to.
    #[must_use]
    pub fn with_proposal(mut self, proposal_id: Option<ProposalId>) -> Self {
        self.event.proposal_id = proposal_id;
        self
    }

    /// What was tried.
    #[must_use]
    pub fn with_target(
        mut self,
        method: Option<&str>,
        host: Option<&str>,
        target: Option<&[u8]>,
        hidden: &impl Hides,
    ) -> Self {
        self.event.method = method.map(|method| shown::method(method, hidden));
        self.event.host = host.map(|host| shown::host(host, hidden));
        self.event.path = target.map(|target| shown::path(target, hidden));
        self
    }

    /// The event of an answer that the guard gave by itself.
    pub fn answered(self, reason: Option<DenialReason>, answer: &LocalResponse) -> AccessEvent {
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

    /// The event of a request that was admitted. `cut_for` is why one of the guard's inspectors cut it.
    pub fn finished(self, outcome: &Outcome, cut_for: Option<DenialReason>) -> AccessEvent {
        let mut event = self.event;
        event.reason = self.teller.why_failed(&outcome.ended, cut_for);
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

impl Teller {
    fn why_failed(self, ended: &Ended, cut_for: Option<DenialReason>) -> Option<DenialReason> {
        match ended {
            // An agent that leaves early has had its answer, as far as it wanted it.
            Ended::Complete | Ended::AgentGone | Ended::Drained => None,
            Ended::RequestCut { .. } => Some(cut_for.unwrap_or(self.request_cut)),
            Ended::ResponseDenied { .. } | Ended::ResponseCut { .. } => {
                Some(cut_for.unwrap_or(self.response_cut))
            }
            Ended::Withdrawn { .. } => Some(cut_for.unwrap_or(DenialReason::HostNotAllowed)),
            Ended::Refused(reason) => Some(denial_reason(*reason)),
            Ended::UpstreamBroke => Some(DenialReason::UpstreamUnreachable),
            Ended::Idle => Some(DenialReason::TimedOut),
        }
    }
}

/// How a request came in, as access events say it.
fn way_in(way: Option<WayIn>) -> &'static str {
    match way {
        None => CONNECT,
        Some(WayIn::AbsoluteForm) => "absolute_form",
        Some(WayIn::TunnelHttp1) => "connect_http1",
        Some(WayIn::TunnelHttp2) => "connect_http2",
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
    use crate::refusal::Reason;
    use http::StatusCode;

    const TELLER: Teller = Teller {
        guard: Guard::Egress,
        request_cut: DenialReason::CredentialInRequest,
        response_cut: DenialReason::CredentialInResponse,
    };

    fn finished(ended: Ended, cut_for: Option<DenialReason>) -> AccessEvent {
        let (log, _) = EventLog::none();
        let outcome = Outcome {
            status: Some(StatusCode::OK),
            bytes_up: 1,
            bytes_down: 2,
            duration: Duration::from_micros(3),
            ended,
        };
        Draft::of_attempt(TELLER, &log, None, Instant::now(), 4).finished(&outcome, cut_for)
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
