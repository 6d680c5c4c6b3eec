//! One admitted request, from admission to its end: what looks at its bodies, and the event it leaves.
//!
//! Responses, and what comes through a WebSocket, are looked into on routes with auth only: to no other host did egress send
//! a credential that could come back, and no request carried one there.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use contract::denial::DENIED_BY_HEADER;
use contract::{DenialReason, Route};
use http::{HeaderMap, Method, StatusCode};
use mitm::{
    BodyLength, CloseReason, Cut, Denial, Draft, Inspector, MessageInspector, MessageInspectors, Outcome,
    Permit, Released, RequestHead,
};

use crate::answer;
use crate::decision::Allowed;
use crate::encoded::{Decoders, EncodedTripwire, Encoding};
use crate::forms::FormMethod;
use crate::git_push::only_downloads;
use crate::held::{Budget, HeldBody};
use crate::messages::MessageTripwire;
use crate::refused::Refused;
use crate::standing::Standing;
use crate::tripwire::{BodyTripwire, Tripped, Tripwire};
use ::guard::event_log::{EventLog, Place};

/// Request bodies up to this many bytes are looked at whole before the first byte leaves.
const HELD_WHOLE: u64 = 64 * 1024;

/// By this name the seat marks its refusals.
const SEAT: &str = "pipelock";

/// An LFS batch call may be this long, bytes: a client asks for 100 objects at a time, of some 120 bytes each.
const LONGEST_LFS_BATCH: usize = 256 * 1024;

/// The permit of one request.
#[derive(Debug)]
pub struct Admitted {
    tripwire: Arc<Tripwire>,
    verdicts: Verdicts,
    lfs_batch: bool,
    /// The route injects a credential, so the response might repeat it.
    injects: bool,
    is_head: bool,
    /// The seat may be the one who answers.
    seat_answers: bool,
    body: BodyLength,
    standing: Standing,
    /// The body is a form that may name another method.
    form: Option<FormMethod>,
    budget: Budget,
    decoders: Decoders,
    event: Option<(EventLog, Place, Draft)>,
}

/// Makes the refusals of this request's inspectors, and remembers the first for the event.
#[derive(Debug, Clone)]
struct Verdicts {
    route: Arc<Route>,
    supervise: bool,
    first: Arc<OnceLock<DenialReason>>,
}

// === impl Admitted ===

impl Admitted {
    /// For a request that policy allowed.
    pub fn new(
        head: &RequestHead,
        allowed: &Allowed<'_>,
        tripwire: Arc<Tripwire>,
        standing: Standing,
        budget: Budget,
        decoders: Decoders,
        supervise: bool,
    ) -> Self {
        Self {
            tripwire,
            verdicts: Verdicts {
                route: allowed.admitting.prepared.route.clone(),
                supervise,
                first: Arc::default(),
            },
            lfs_batch: allowed.lfs_batch,
            injects: allowed.admitting.route.auth.is_some(),
            is_head: head.method == Method::HEAD,
            seat_answers: allowed.admitting.prepared.seat_answers,
            body: head.body,
            standing,
            form: None,
            budget,
            decoders,
            event: None,
        }
    }

    /// Has the method judged that its body may name.
    pub fn with_form(mut self, form: Option<FormMethod>) -> Self {
        self.form = form;
        self
    }

    /// Adds the event that is written when the request is over, and its place.
    pub fn with_event(mut self, log: EventLog, place: Place, draft: Draft) -> Self {
        self.event = Some((log, place, draft));
        self
    }

    /// Nobody but the seat says that a guard refused: an upstream that did could have the agent ask the operator for what it
    /// likes.
    fn strip_denied_by(&self, headers: &mut HeaderMap) {
        let mut by = headers.get_all(DENIED_BY_HEADER).iter();
        let seat_alone = by.next().is_some_and(|by| by == SEAT) && by.next().is_none();
        if !(self.seat_answers && seat_alone) {
            headers.remove(DENIED_BY_HEADER);
        }
    }

    /// How the body is written, if the response may pass.
    fn judge_response(&self, status: StatusCode, headers: &HeaderMap) -> Result<Encoding, Refused> {
        if self.tripwire.finds_in_fields(headers) {
            return Err(Refused::CredentialInResponse);
        }
        let without_body =
            self.is_head || status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT;
        if without_body || self.tripwire.is_empty() {
            return Ok(Encoding::Plain);
        }
        self.decoders.of(headers)
    }
}

impl Permit for Admitted {
    fn request_inspector(&mut self) -> Option<Box<dyn Inspector>> {
        if self.body == BodyLength::None {
            return None;
        }
        let tripwire = self.tripwire.body();
        let form = self.form.take();
        if tripwire.is_none() && form.is_none() && !self.lfs_batch {
            return None;
        }
        let short = matches!(self.body, BodyLength::Exact(length) if length <= HELD_WHOLE);
        Some(Box::new(RequestBody {
            held: (self.lfs_batch || short).then(|| self.budget.body()),
            lfs_batch: self.lfs_batch,
            form,
            tripwire,
            // A body without a known length may be one side of a conversation: it must not wait.
            defers_head: self.lfs_batch || matches!(self.body, BodyLength::Exact(_)),
            verdicts: self.verdicts.clone(),
        }))
    }

    fn still_admitted(&mut self, _headers: &HeaderMap) -> Result<(), Denial> {
        self.still_stands()
    }

    fn still_stands(&mut self) -> Result<(), Denial> {
        self.standing
            .check()
            .map_err(|refused| self.verdicts.denial(&refused))
    }

    fn may_be_repeated(&self) -> bool {
        self.standing.may_be_repeated()
    }

    fn proxy_answered(&mut self) {
        self.seat_answers = true;
    }

    fn response(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<Option<Box<dyn Inspector>>, Denial> {
        self.strip_denied_by(headers);
        if !self.injects {
            return Ok(None);
        }
        let encoding = self
            .judge_response(status, headers)
            .map_err(|refused| self.verdicts.denial(&refused))?;
        let Some(plain) = self.tripwire.body() else {
            return Ok(None);
        };
        let encoded = match encoding {
            Encoding::Plain => None,
            Encoding::Coded(decoder) => Some(self.tripwire.encoded(decoder)),
        };
        Ok(Some(Box::new(ResponseBody {
            plain,
            encoded,
            verdicts: self.verdicts.clone(),
        })))
    }

    fn websocket_inspectors(&mut self) -> MessageInspectors {
        let looking_for = |refused| {
            let tripwire = self.tripwire.messages()?;
            let verdicts = self.verdicts.clone();
            let messages = Messages {
                tripwire,
                refused,
                verdicts,
            };
            Some(Box::new(messages) as Box<dyn MessageInspector>)
        };
        MessageInspectors {
            up: looking_for(Refused::CredentialInRequest),
            down: looking_for(Refused::CredentialInResponse).filter(|_| self.injects),
        }
    }

    fn finished(self, outcome: Outcome) {
        if let Some((log, place, draft)) = self.event {
            log.write(
                place,
                draft.finished(&outcome, self.verdicts.first.get().copied()),
            );
        }
    }
}

// === impl Verdicts ===

impl Verdicts {
    fn denial(&self, refused: &Refused) -> Denial {
        let reason = refused.reason();
        let _ = self.first.set(reason);
        let mut told_agent = answer::denial(
            refused.status(),
            reason,
            Some(self.route.host.to_string()),
            refused.message(self.supervise),
            None,
        );
        let close = CloseReason(format!("egress: {reason}"));
        told_agent.extensions_mut().insert(close);
        Denial {
            told_agent,
            logged: reason.to_string(),
        }
    }

    fn cut(&self, refused: &Refused) -> Cut {
        Cut {
            denial: self.denial(refused),
        }
    }
}

/// Looks at a request's body. A short one and an LFS batch call are held until they are whole, so that an upstream never
/// sees a part of a request that is refused.
struct RequestBody {
    held: Option<HeldBody>,
    lfs_batch: bool,
    form: Option<FormMethod>,
    tripwire: Option<BodyTripwire>,
    defers_head: bool,
    verdicts: Verdicts,
}

impl RequestBody {
    fn pass_on(&mut self, data: Bytes, released: &mut Released) -> Result<(), Refused> {
        if let Some(form) = &mut self.form {
            form.push(&data).map_err(Refused::NoRoute)?;
        }
        match &mut self.tripwire {
            Some(tripwire) => tripwire
                .push(data, released)
                .map_err(|Tripped| Refused::CredentialInRequest),
            None => {
                released.push(data);
                Ok(())
            }
        }
    }

    /// Lets go of what was held, and of what the tripwire holds.
    fn pass_rest(&mut self, held: Bytes, released: &mut Released) -> Result<(), Refused> {
        self.pass_on(held, released)?;
        if let Some(form) = &mut self.form {
            form.finish().map_err(Refused::NoRoute)?;
        }
        match &mut self.tripwire {
            Some(tripwire) => tripwire
                .finish(released)
                .map_err(|Tripped| Refused::CredentialInRequest),
            None => Ok(()),
        }
    }
}

impl Inspector for RequestBody {
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut> {
        let Some(held) = &mut self.held else {
            let passed = self.pass_on(data, released);
            return passed.map_err(|refused| self.verdicts.cut(&refused));
        };
        if self.lfs_batch && held.len() + data.len() > LONGEST_LFS_BATCH {
            return Err(self.verdicts.cut(&Refused::LfsBatchTooLong));
        }
        held.push(&data)
            .map_err(|_| self.verdicts.cut(&Refused::HeldTooMuch))?;
        Ok(())
    }

    fn finish(&mut self, released: &mut Released) -> Result<(), Cut> {
        let held = self.held.take().map(HeldBody::into_bytes).unwrap_or_default();
        if self.lfs_batch && !only_downloads(&held) {
            return Err(self.verdicts.cut(&Refused::UseGitGate));
        }
        // Nothing leaves before the last piece was looked at: a cut drops what was released here.
        self.pass_rest(held, released)
            .map_err(|refused| self.verdicts.cut(&refused))
    }

    fn defers_head(&self) -> bool {
        self.defers_head
    }
}

/// Looks at a response's body for the credential that went out.
struct ResponseBody {
    plain: BodyTripwire,
    /// Instead, where the body is compressed.
    encoded: Option<EncodedTripwire>,
    verdicts: Verdicts,
}

impl Inspector for ResponseBody {
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut> {
        let pushed = match &mut self.encoded {
            Some(encoded) => encoded.push(data, released),
            None => self
                .plain
                .push(data, released)
                .map_err(|Tripped| Refused::CredentialInResponse),
        };
        pushed.map_err(|refused| self.verdicts.cut(&refused))
    }

    fn finish(&mut self, released: &mut Released) -> Result<(), Cut> {
        let finished = match &mut self.encoded {
            Some(encoded) => encoded.finish(released),
            None => self
                .plain
                .finish(released)
                .map_err(|Tripped| Refused::CredentialInResponse),
        };
        finished.map_err(|refused| self.verdicts.cut(&refused))
    }

    fn trailers(&mut self, trailers: &HeaderMap) -> Result<(), Cut> {
        if self.plain.finds_in_fields(trailers) {
            return Err(self.verdicts.cut(&Refused::CredentialInResponse));
        }
        Ok(())
    }
}

/// Looks at one direction of a WebSocket.
struct Messages {
    tripwire: MessageTripwire,
    /// What a finding is called in this direction.
    refused: Refused,
    verdicts: Verdicts,
}

impl MessageInspector for Messages {
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut> {
        self.tripwire
            .push(data, released)
            .map_err(|Tripped| self.verdicts.cut(&self.refused))
    }

    fn message_end(&mut self, released: &mut Released) -> Result<(), Cut> {
        self.tripwire
            .message_end(released)
            .map_err(|Tripped| self.verdicts.cut(&self.refused))
    }

    fn overdue(&mut self, released: &mut Released) -> Result<(), Cut> {
        self.tripwire.let_go(released);
        Ok(())
    }

    fn control(&mut self, payload: &[u8]) -> Result<(), Cut> {
        self.tripwire
            .control(payload)
            .map_err(|Tripped| self.verdicts.cut(&self.refused))
    }

    fn finish(&mut self, released: &mut Released) -> Result<(), Cut> {
        self.tripwire
            .finish(released)
            .map_err(|Tripped| self.verdicts.cut(&self.refused))
    }
}
