//! A policy that a test scripts, and what it was told.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mitm::{
    AddressRules, Authority, ConnectPlan, ConnectRequest, Denial, Dialer, DnsName, Forward, Inspector,
    LocalResponse, MessageInspectors, Outcome, Permit, Policy, ProxyAddress, Reason, Refusal, RequestHead,
    Resolve, Resolving, Upstream, Verdict,
};
use rustls::ClientConfig;
use tokio::sync::mpsc;

/// What a policy was told.
#[derive(Debug)]
pub(crate) enum Event {
    Connect {
        authority: String,
    },
    Admit {
        head: RequestHead,
        headers: HeaderMap,
    },
    Refused {
        reason: Reason,
        detail: String,
        admitted: bool,
        answerable: bool,
    },
    Tunnel {
        authority: String,
    },
    /// What is shown to the permit next is an upstream proxy's own answer.
    ProxyAnswered,
    Finished(Outcome),
}

impl Event {
    pub(crate) fn refused(self) -> Reason {
        match self {
            Event::Refused { reason, .. } => reason,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    pub(crate) fn finished(self) -> Outcome {
        match self {
            Event::Finished(outcome) => outcome,
            other => panic!("expected an end, got {other:?}"),
        }
    }

    pub(crate) fn admitted(self) -> (RequestHead, HeaderMap) {
        match self {
            Event::Admit { head, headers } => (head, headers),
            other => panic!("expected an admission, got {other:?}"),
        }
    }
}

type UpstreamOf = Box<dyn Fn(&Authority) -> Arc<Upstream> + Send + Sync>;
type OnConnect = Box<dyn Fn(&ConnectRequest<'_>) -> Result<ConnectPlan, Denial> + Send + Sync>;
type OnAdmit = Box<dyn Fn(&RequestHead, &mut HeaderMap) -> Option<Verdict<TestPermit>> + Send + Sync>;
type OnTunnel = Box<dyn Fn() -> Option<Denial> + Send + Sync>;
type MakeInspector = Arc<dyn Fn() -> Box<dyn Inspector> + Send + Sync>;
type MakeMessageInspectors = Arc<dyn Fn() -> MessageInspectors + Send + Sync>;
/// None: the request stands.
type OnStanding = Arc<dyn Fn() -> Option<Denial> + Send + Sync>;
type OnResponse = Arc<dyn Fn(StatusCode, &mut HeaderMap) -> Result<(), Denial> + Send + Sync>;

/// What the policy does. By default it allows everything.
pub(crate) struct Script {
    pub(crate) upstream: Arc<Upstream>,
    /// Instead of that one.
    pub(crate) upstream_of: Option<UpstreamOf>,
    pub(crate) connect: OnConnect,
    /// None: forward.
    pub(crate) admit: OnAdmit,
    /// None: pass it through.
    pub(crate) tunnel: OnTunnel,
    pub(crate) request_inspector: Option<MakeInspector>,
    pub(crate) response_inspector: Option<MakeInspector>,
    pub(crate) response: Option<OnResponse>,
    pub(crate) repeatable: bool,
    pub(crate) standing: Option<OnStanding>,
    pub(crate) messages: Option<MakeMessageInspectors>,
    pub(crate) dials_ahead: bool,
}

impl Script {
    /// Makes every request, once the flag is set, one that is not admitted any more.
    pub(crate) fn withdrawable(mut self) -> (Self, Arc<AtomicBool>) {
        let withdrawn = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&withdrawn);
        self.standing = Some(Arc::new(move || {
            flag.load(Ordering::SeqCst).then(|| denial(403, "withdrawn"))
        }));
        (self, withdrawn)
    }

    /// Dials loopback whatever the name, trusting `tls`.
    pub(crate) fn direct(tls: Arc<ClientConfig>) -> Self {
        let rules = AddressRules {
            permitted: vec!["127.0.0.0/8".parse().unwrap()],
            never: Vec::new(),
        };
        Self::via(Upstream::new(
            Dialer::Direct {
                rules,
                resolver: Arc::new(Loopback),
            },
            tls,
        ))
    }

    pub(crate) fn through_proxy(proxy: ProxyAddress, tls: Arc<ClientConfig>) -> Self {
        Self::via(Upstream::through_proxy(proxy, tls))
    }

    pub(crate) fn via(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            upstream_of: None,
            connect: Box::new(|_| Ok(ConnectPlan::Intercept { http2: true })),
            admit: Box::new(|_, _| None),
            tunnel: Box::new(|| None),
            request_inspector: None,
            response_inspector: None,
            response: None,
            repeatable: true,
            standing: None,
            dials_ahead: false,
            messages: None,
        }
    }

    pub(crate) fn build(self) -> (TestPolicy, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (TestPolicy { script: self, sender }, receiver)
    }
}

pub(crate) struct TestPolicy {
    script: Script,
    sender: mpsc::UnboundedSender<Event>,
}

pub(crate) struct TestPermit {
    sender: mpsc::UnboundedSender<Event>,
    request_inspector: Option<MakeInspector>,
    response_inspector: Option<MakeInspector>,
    response: Option<OnResponse>,
    repeatable: bool,
    standing: Option<OnStanding>,
    messages: Option<MakeMessageInspectors>,
}

impl TestPermit {
    /// One whose end no one is told.
    pub(crate) fn silent() -> Self {
        let (sender, _) = mpsc::unbounded_channel();
        Self {
            sender,
            request_inspector: None,
            response_inspector: None,
            response: None,
            repeatable: true,
            standing: None,
            messages: None,
        }
    }
}

pub(crate) fn denial(status: u16, text: &'static str) -> Denial {
    let told_agent = http::Response::builder()
        .status(status)
        .header("x-denied-by", "test")
        .body(Bytes::from_static(text.as_bytes()))
        .unwrap();
    Denial {
        told_agent,
        logged: text.to_owned(),
    }
}

impl TestPolicy {
    fn leave(&self, authority: &Authority) -> Forward<TestPermit> {
        let upstream_of = self.script.upstream_of.as_ref();
        Forward {
            permit: TestPermit {
                sender: self.sender.clone(),
                request_inspector: self.script.request_inspector.clone(),
                response_inspector: self.script.response_inspector.clone(),
                response: self.script.response.clone(),
                repeatable: self.script.repeatable,
                standing: self.script.standing.clone(),
                messages: self.script.messages.clone(),
            },
            upstream: upstream_of.map_or_else(|| Arc::clone(&self.script.upstream), |of| of(authority)),
        }
    }
}

impl Policy for TestPolicy {
    type Permit = TestPermit;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<ConnectPlan, Denial> {
        let _ = self.sender.send(Event::Connect {
            authority: request.authority.to_string(),
        });
        (self.script.connect)(request)
    }

    fn dial_ahead(&self, _: &mitm::Authority) -> Option<Arc<Upstream>> {
        self.script.dials_ahead.then(|| Arc::clone(&self.script.upstream))
    }

    async fn admit(&self, head: &RequestHead, headers: &mut HeaderMap) -> Verdict<TestPermit> {
        let _ = self.sender.send(Event::Admit {
            head: copy(head),
            headers: headers.clone(),
        });
        if let Some(verdict) = (self.script.admit)(head, headers) {
            return verdict;
        }
        Verdict::Forward(self.leave(&head.authority))
    }

    async fn admit_tunnel(&self, request: &ConnectRequest<'_>) -> Result<Forward<TestPermit>, Denial> {
        let _ = self.sender.send(Event::Tunnel {
            authority: request.authority.to_string(),
        });
        match (self.script.tunnel)() {
            Some(denial) => Err(denial),
            None => Ok(self.leave(request.authority)),
        }
    }

    fn refused(&self, refusal: &Refusal<'_>) -> LocalResponse {
        let _ = self.sender.send(Event::Refused {
            reason: refusal.reason,
            detail: refusal.detail.to_owned(),
            admitted: refusal.admitted,
            answerable: refusal.answerable,
        });
        http::Response::builder()
            .status(refusal.reason.status())
            .header("x-refused", refusal.reason.as_str())
            .body(Bytes::from(format!("shaped by the policy: {}", refusal.detail)))
            .unwrap()
    }
}

impl Permit for TestPermit {
    fn request_inspector(&mut self) -> Option<Box<dyn Inspector>> {
        self.request_inspector.as_ref().map(|make| make())
    }

    fn still_admitted(&mut self, _headers: &HeaderMap) -> Result<(), Denial> {
        match self.standing.as_ref().and_then(|standing| standing()) {
            Some(denial) => Err(denial),
            None => Ok(()),
        }
    }

    fn still_stands(&mut self) -> Result<(), Denial> {
        self.still_admitted(&HeaderMap::new())
    }

    fn proxy_answered(&mut self) {
        let _ = self.sender.send(Event::ProxyAnswered);
    }

    fn may_be_repeated(&self) -> bool {
        self.repeatable
    }

    fn response(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<Option<Box<dyn Inspector>>, Denial> {
        if let Some(response) = &self.response {
            response(status, headers)?;
        }
        Ok(self.response_inspector.as_ref().map(|make| make()))
    }

    fn websocket_inspectors(&mut self) -> MessageInspectors {
        self.messages.as_ref().map(|make| make()).unwrap_or_default()
    }

    fn finished(self, outcome: Outcome) {
        let _ = self.sender.send(Event::Finished(outcome));
    }
}

fn copy(head: &RequestHead) -> RequestHead {
    RequestHead {
        connection: head.connection,
        sequence: head.sequence,
        way_in: head.way_in,
        websocket: head.websocket,
        method: head.method.clone(),
        authority: head.authority.clone(),
        target: head.target.clone(),
        body: head.body,
        received: head.received,
    }
}

/// Every name is on this machine.
#[derive(Debug)]
pub(crate) struct Loopback;

impl Resolve for Loopback {
    fn resolve<'a>(&'a self, _name: &'a DnsName) -> Resolving<'a> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}
