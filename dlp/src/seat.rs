//! The seat as the core sees it: the [`mitm::Policy`] that decides, answers and logs.
//!
//! Every request takes one path, whatever its way in: host and port → the host's name → URL → headers → (its body, as it
//! comes) → forward. What is decided anew per request obeys a reload at once, also on a connection that was there before.

use std::sync::Arc;

use ::guard::event_log::{EventLog, Place as LogPlace};
use ::guard::held::{Budget, HELD_IN_ALL};
use ::guard::shown;
use arc_swap::ArcSwap;
use contract::{DenialReason, Guard};
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use mitm::{
    Authority, ConnectPlan, ConnectRequest, Denial, Draft, Forward, Host, LocalResponse, Policy, Refusal,
    RequestHead, Teller, Verdict, WayIn,
};
use pipelock_config::ResponseScanning;

use crate::answer;
use crate::body::{Kind, Room};
use crate::encoding::Windows;
use crate::examiner::Examiner;
use crate::head;
use crate::health;
use crate::permit::{Admitted, Allowed, Verdicts};
use crate::policy::{CompiledPolicy, Parts};
use crate::refused::Refused;

/// What a response may be compressed with, where it is looked at.
const UNDERSTOOD: http::HeaderValue = http::HeaderValue::from_static("gzip, deflate, br, zstd");

/// The guard.
#[derive(Debug)]
pub struct SeatGuard {
    policy: Arc<ArcSwap<CompiledPolicy>>,
    parts: Arc<Parts>,
    log: EventLog,
    room: Room,
    /// The bottle has supervise: denials name the tool that asks.
    supervise: bool,
}

/// What the seat calls a cut.
const TELLER: Teller = Teller {
    guard: Guard::Pipelock,
    request_cut: DenialReason::SecretFound,
    response_cut: DenialReason::ResponseSuspicious,
};

// === impl SeatGuard ===

impl SeatGuard {
    /// A guard that decides by whatever `policy` holds at the time of each request.
    pub fn new(
        policy: Arc<ArcSwap<CompiledPolicy>>,
        parts: Arc<Parts>,
        log: EventLog,
        supervise: bool,
    ) -> Self {
        Self {
            policy,
            parts,
            log,
            room: Room {
                held: Budget::new(HELD_IN_ALL),
                windows: Windows::default(),
            },
            supervise,
        }
    }

    fn allowed(&self, examiner: Examiner, kind: Kind) -> Allowed {
        Allowed {
            verdicts: Verdicts::new(&examiner, self.supervise),
            examiner,
            kind,
        }
    }

    fn denied(&self, head: &RequestHead, examiner: &Examiner, refused: &Refused, place: LogPlace) -> Denial {
        let draft = self.draft(head, examiner.policy()).with_rule(refused.rule());
        let verdicts = Verdicts::new(examiner, self.supervise).logged_as(&draft, &self.log);
        let denial = verdicts.denial(refused);
        self.log
            .write(place, draft.answered(Some(refused.reason()), &denial.told_agent));
        denial
    }

    fn draft(&self, head: &RequestHead, policy: &CompiledPolicy) -> Draft {
        Draft::of_request(TELLER, &self.log, head, policy, policy.generation())
    }

    /// Without a place in the log there is no event; it is counted in the next one that has.
    fn log_too_slow(&self, head: &RequestHead) -> Denial {
        self.log.count_lost();
        let examiner = Examiner::new(self.policy.load_full(), &head.authority.host.to_string());
        Verdicts::new(&examiner, self.supervise).denial(&Refused::LogTooSlow)
    }
}

/// Where a request may go: a host by name, on the port of its scheme, that the lists let through.
fn judge_authority(examiner: &Examiner, authority: &Authority, tunnel: bool) -> Result<(), Refused> {
    let Host::Dns(name) = &authority.host else {
        return Err(Refused::IpLiteral);
    };
    if authority.port != if tunnel { 443 } else { 80 } {
        return Err(Refused::Port(authority.port));
    }
    if names_inside(name.as_str()) {
        return Err(Refused::InsideName);
    }
    if !examiner.policy().seat().admits(name.as_str()) {
        return Err(Refused::Host);
    }
    Ok(())
}

/// Names that mean this machine or its cloud's metadata service, and names of which anybody chooses the address. What they
/// resolve to is checked as well; a list that admits one by mistake does not open them.
fn names_inside(name: &str) -> bool {
    const INSIDE: [&str; 9] = [
        "localhost",
        "ip6-localhost",
        "ip6-loopback",
        "localhost.localdomain",
        "metadata",
        "instance-data",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data.ec2.internal",
    ];
    const UNDER: [&str; 8] = [
        ".localhost",
        ".nip.io",
        ".sslip.io",
        ".xip.io",
        ".localtest.me",
        ".lvh.me",
        ".rbndr.us",
        ".vcap.me",
    ];
    INSIDE.contains(&name)
        || UNDER
            .iter()
            .any(|suffix| name.ends_with(suffix) || suffix.strip_prefix('.') == Some(name))
}

fn judge_head(examiner: &Examiner, head: &RequestHead, headers: &HeaderMap) -> Result<Kind, Refused> {
    judge_authority(examiner, &head.authority, head.way_in != WayIn::AbsoluteForm)?;
    head::host(examiner)?;
    head::method(examiner, &head.method)?;
    head::url(examiner, head.target.as_str().as_bytes())?;
    if examiner.policy().seat().scan_headers {
        head::headers(examiner, headers)?;
    }
    Kind::of(headers)
}

impl Policy for SeatGuard {
    type Permit = Admitted;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<ConnectPlan, Denial> {
        let policy = self.policy.load_full();
        let host = request.authority.host.to_string();
        let examiner = Examiner::new(policy.clone(), &host);
        let judged = judge_authority(&examiner, request.authority, true).and_then(|()| head::host(&examiner));
        let Err(refused) = judged else {
            return Ok(if policy.seat().passes_through(&host) {
                ConnectPlan::Passthrough
            } else {
                ConnectPlan::Intercept { http2: true }
            });
        };
        let received = std::time::Instant::now();
        let draft = Draft::of_attempt(TELLER, &self.log, None, received, policy.generation())
            .with_target(Some("CONNECT"), Some(&host), None, &policy)
            .with_rule(refused.rule());
        let verdicts = Verdicts::new(&examiner, self.supervise).logged_as(&draft, &self.log);
        let denial = verdicts.denial(&refused);
        self.log
            .write_or_count(draft.answered(Some(refused.reason()), &denial.told_agent));
        Err(denial)
    }

    async fn admit_tunnel(&self, request: &ConnectRequest<'_>) -> Result<Forward<Admitted>, Denial> {
        let received = std::time::Instant::now();
        let host = request.authority.host.to_string();
        let Some(place) = self.log.reserve().await else {
            self.log.count_lost();
            let examiner = Examiner::new(self.policy.load_full(), &host);
            return Err(Verdicts::new(&examiner, self.supervise).denial(&Refused::LogTooSlow));
        };
        // Only now: the hello and the place in the log may have taken seconds.
        let policy = self.policy.load_full();
        let examiner = Examiner::new(policy.clone(), &host);
        let draft = Draft::of_attempt(TELLER, &self.log, None, received, policy.generation()).with_target(
            Some("CONNECT"),
            Some(&host),
            None,
            &policy,
        );
        let judged = judge_authority(&examiner, request.authority, true).and_then(|()| head::host(&examiner));
        let passes = judged.and_then(|()| match policy.seat().passes_through(&host) {
            true => Ok(()),
            false => Err(Refused::Host),
        });
        if let Err(refused) = passes {
            let denial = Verdicts::new(&examiner, self.supervise).denial(&refused);
            self.log
                .write(place, draft.with_rule(refused.rule()).closed(refused.reason()));
            return Err(denial);
        }
        let upstream = policy.upstream(&host, &self.parts.upstreams);
        let allowed = self.allowed(examiner, Kind::default());
        let permit = Admitted::tunnel(allowed, self.policy.clone(), self.room.clone()).with_event(
            self.log.clone(),
            place,
            draft,
        );
        Ok(Forward { permit, upstream })
    }

    async fn admit(&self, head: &RequestHead, headers: &mut HeaderMap) -> Verdict<Admitted> {
        let Some(place) = self.log.reserve().await else {
            return Verdict::Deny(self.log_too_slow(head));
        };
        // Only now: to get a place may have taken seconds.
        let policy = self.policy.load_full();
        if health::is_asked(head) {
            let answer = health::answer(&policy, head);
            let event = self.draft(head, &policy).answered(None, &answer);
            self.log.write(place, event);
            return Verdict::Answer(answer);
        }
        let host = head.authority.host.to_string();
        let examiner = Examiner::new(policy.clone(), &host);
        let kind = match judge_head(&examiner, head, headers) {
            Ok(kind) => kind,
            Err(refused) => return Verdict::Deny(self.denied(head, &examiner, &refused, place)),
        };
        if policy.response_scanning() == ResponseScanning::Block && headers.contains_key(ACCEPT_ENCODING) {
            headers.insert(ACCEPT_ENCODING, UNDERSTOOD);
        }
        let upstream = policy.upstream(&host, &self.parts.upstreams);
        let draft = self.draft(head, &policy);
        let allowed = self.allowed(examiner, kind);
        let permit = Admitted::new(head, allowed, self.policy.clone(), self.room.clone()).with_event(
            self.log.clone(),
            place,
            draft,
        );
        Verdict::Forward(Forward { permit, upstream })
    }

    fn refused(&self, refusal: &Refusal<'_>) -> LocalResponse {
        let policy = self.policy.load_full();
        let reason = mitm::denial_reason(refusal.reason);
        let host = refusal.authority.map(|authority| authority.host.to_string());
        let answer = answer::denial(
            refusal.reason.status(),
            reason,
            host.as_deref().map(|host| shown::host(host, &policy)),
            format!("pipelock: {}", shown::sentence(refusal.detail, &policy)),
            None,
        );
        if !refusal.admitted {
            let received = std::time::Instant::now();
            let draft = Draft::of_attempt(TELLER, &self.log, refusal.way_in, received, policy.generation())
                .with_target(
                    refusal.method.map(http::Method::as_str),
                    host.as_deref(),
                    refusal.target,
                    &policy,
                );
            self.log.write_or_count(if refusal.answerable {
                draft.answered(Some(reason), &answer)
            } else {
                draft.closed(reason)
            });
        }
        answer
    }
}
