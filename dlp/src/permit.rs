//! One admitted request, from admission to its end: what looks at its bodies, and the event it leaves.

use std::sync::{Arc, OnceLock};

use ::guard::event_log::{EventLog, Place as LogPlace};
use ::guard::shown;
use arc_swap::ArcSwap;
use contract::denial::DENIED_BY_HEADER;
use contract::{DenialReason, EventId, HostName};
use http::{HeaderMap, StatusCode};
use mitm::{
    BodyLength, CloseReason, Cut, Denial, Draft, Inspector, MessageInspector, MessageInspectors, Outcome,
    Permit, RequestHead, WayIn,
};
use pipelock_config::ResponseScanning;

use crate::answer;
use crate::body::{Kind, RequestBody, Room};
use crate::examiner::Examiner;
use crate::messages::Messages;
use crate::policy::CompiledPolicy;
use crate::refused::{Refused, Telling};
use crate::response::{self, ResponseBody};

/// The permit of one request.
pub struct Admitted {
    examiner: Examiner,
    verdicts: Verdicts,
    kind: Kind,
    length: BodyLength,
    is_head: bool,
    /// Whether the tunnel is looked into; none for plain HTTP, which always is.
    tunnel: Option<Tunnel>,
    /// What is in force by now.
    live: Arc<ArcSwap<CompiledPolicy>>,
    room: Room,
    event: Option<(EventLog, LogPlace, Draft)>,
}

/// What becomes of a host's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    Intercepted,
    PassedThrough,
}

/// What is known of a request or tunnel when the policy has allowed it.
pub struct Allowed {
    /// What looks at it.
    pub examiner: Examiner,
    /// What its body is said to be.
    pub kind: Kind,
    /// What makes its refusals.
    pub verdicts: Verdicts,
}

/// Makes the refusals of this request's inspectors, and remembers the first for the event.
#[derive(Debug, Clone)]
pub struct Verdicts {
    examiner: Examiner,
    supervise: bool,
    /// The event that tells of the request, if one does.
    event: Option<EventId>,
    first: Arc<OnceLock<(DenialReason, Option<String>)>>,
}

// === impl Admitted ===

impl Admitted {
    /// For a request that the policy allowed; `live` holds the policy that is in force later.
    pub fn new(head: &RequestHead, allowed: Allowed, live: Arc<ArcSwap<CompiledPolicy>>, room: Room) -> Self {
        Self {
            length: head.body,
            is_head: head.method == http::Method::HEAD,
            tunnel: (head.way_in != WayIn::AbsoluteForm).then_some(Tunnel::Intercepted),
            ..Self::tunnel(allowed, live, room)
        }
    }

    /// For a tunnel that is not looked into.
    pub fn tunnel(allowed: Allowed, live: Arc<ArcSwap<CompiledPolicy>>, room: Room) -> Self {
        Self {
            examiner: allowed.examiner,
            verdicts: allowed.verdicts,
            kind: allowed.kind,
            length: BodyLength::None,
            is_head: false,
            tunnel: Some(Tunnel::PassedThrough),
            live,
            room,
            event: None,
        }
    }

    /// Whether the policy that is in force now would let it through as the one before did.
    fn stands(&self) -> Result<(), Refused> {
        let live = self.live.load();
        let host = self.examiner.host();
        let now = match live.seat().passes_through(host) {
            true => Tunnel::PassedThrough,
            false => Tunnel::Intercepted,
        };
        let as_before = live.seat().admits(host) && self.tunnel.is_none_or(|before| before == now);
        if as_before { Ok(()) } else { Err(Refused::Host) }
    }

    /// Adds the event that is written when the request is over, and its place.
    pub fn with_event(mut self, log: EventLog, place: LogPlace, draft: Draft) -> Self {
        self.verdicts = self.verdicts.logged_as(&draft, &log);
        self.event = Some((log, place, draft));
        self
    }

    fn scans_bodies(&self) -> bool {
        self.examiner.policy().seat().scan_bodies
    }
}

impl Permit for Admitted {
    fn request_inspector(&mut self) -> Option<Box<dyn Inspector>> {
        if self.length == BodyLength::None || !self.scans_bodies() {
            return None;
        }
        let inspector = RequestBody::new(
            self.examiner.clone(),
            self.verdicts.clone(),
            self.kind.clone(),
            self.length,
            &self.room,
        );
        Some(Box::new(inspector))
    }

    fn still_admitted(&mut self, _headers: &HeaderMap) -> Result<(), Denial> {
        self.stands().map_err(|refused| self.verdicts.denial(&refused))
    }

    fn still_stands(&mut self) -> Result<(), Denial> {
        self.stands().map_err(|refused| self.verdicts.denial(&refused))
    }

    fn response(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<Option<Box<dyn Inspector>>, Denial> {
        // Only the seat itself may say that it refused.
        headers.remove(DENIED_BY_HEADER);
        if self.examiner.policy().response_scanning() == ResponseScanning::Off {
            return Ok(None);
        }
        let without_body =
            self.is_head || status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT;
        let looked_at = response::head(&self.examiner, headers, without_body, &self.room.windows);
        let body = looked_at.map_err(|refused| self.verdicts.denial(&refused))?;
        let verdicts = self.verdicts.clone();
        Ok(body.map(|body| Box::new(ResponseBody::new(body, verdicts)) as Box<dyn Inspector>))
    }

    fn websocket_inspectors(&mut self) -> MessageInspectors {
        let up = self.scans_bodies().then(|| {
            let messages = Messages::new(self.examiner.clone(), self.verdicts.clone(), &self.room.held);
            Box::new(messages) as Box<dyn MessageInspector>
        });
        let looks_back = self.examiner.policy().response_scanning() != ResponseScanning::Off;
        let down = looks_back.then(|| {
            let messages = ResponseBody::messages(self.examiner.clone(), self.verdicts.clone());
            Box::new(messages) as Box<dyn MessageInspector>
        });
        MessageInspectors { up, down }
    }

    fn finished(self, outcome: Outcome) {
        let Some((log, place, draft)) = self.event else {
            return;
        };
        let (reason, rule) = match self.verdicts.first.get() {
            Some((reason, rule)) => (Some(*reason), rule.clone()),
            None => (None, self.examiner.warned().map(|found| found.rule.to_string())),
        };
        log.write(place, draft.with_rule(rule).finished(&outcome, reason));
    }
}

// === impl Verdicts ===

impl Verdicts {
    /// For a request to this host.
    pub fn new(examiner: &Examiner, supervise: bool) -> Self {
        Self {
            examiner: examiner.clone(),
            supervise,
            event: None,
            first: Arc::default(),
        }
    }

    /// The refusal will be told of by this event; a remedy names it.
    pub fn logged_as(mut self, draft: &Draft, log: &EventLog) -> Self {
        self.event = log.is_wanted().then(|| draft.event_id().clone());
        self
    }

    /// The answer to the agent.
    pub fn denial(&self, refused: &Refused) -> Denial {
        let reason = refused.reason();
        let _ = self.first.set((reason, refused.rule().map(str::to_owned)));
        let host: Option<HostName> = self.examiner.host().parse().ok();
        let telling = Telling {
            host: host.as_ref(),
            supervise: self.supervise,
        };
        let remedy = refused.remedy(telling);
        let mut told_agent = answer::denial(
            refused.status(),
            reason,
            Some(shown::host(self.examiner.host(), self.examiner.policy())),
            refused.message(telling),
            match &self.event {
                Some(event) => remedy.map(|remedy| remedy.after_denial(event.clone())),
                None => remedy,
            },
        );
        let close = match refused.rule() {
            Some(rule) => format!("pipelock: {reason} ({rule})"),
            None => format!("pipelock: {reason}"),
        };
        told_agent.extensions_mut().insert(CloseReason(close));
        Denial {
            told_agent,
            logged: reason.to_string(),
        }
    }

    /// The end of a stream.
    pub fn cut(&self, refused: &Refused) -> Cut {
        Cut {
            denial: self.denial(refused),
        }
    }
}
