//! One request, from hyper's hands to the policy's verdict.
//!
//! Every way in ends here. Whatever names a host must name the same one: in a tunnel CONNECT's, which SNI was
//! compared with already; in the clear the target's. From then on only that one authority exists.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::uri::{self, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::activity::{Activity, UnderWay};
use crate::ahead::{Ahead, KeptAhead};
use crate::authority::Authority;
use crate::body::ResponseBody;
use crate::core::Core;
use crate::forward::{KeptTimer, Route, forward};
use crate::headers;
use crate::policy::{BodyLength, ConnectionId, Policy, RequestHead, Verdict, WayIn};
use crate::refusal::{Reason, Refusal};
use crate::target;
use crate::websocket::handshake::{self, open};
use crate::websocket::session::Switched;

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// The leg of an agent connection on which requests come in.
pub(crate) struct AgentLeg<P: Policy> {
    pub(crate) core: Arc<Core<P>>,
    pub(crate) connection: ConnectionId,
    pub(crate) activity: Arc<Activity>,
    sequence: AtomicU64,
    timer: KeptTimer,
    ahead: KeptAhead,
    way_in: WayIn,
    /// None in the clear.
    tunnel: Option<Arc<Named>>,
    /// What the connection is to become when hyper has let it go.
    switched: Mutex<Option<Switched<P::Permit>>>,
}

/// An authority in the forms in which it is written.
struct Named {
    authority: Authority,
    host_header: HeaderValue,
    uri_authority: uri::Authority,
}

/// A request that is refused before the policy is asked.
struct Refused {
    reason: Reason,
    detail: String,
}

impl Refused {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

impl Named {
    fn new(authority: Authority, default_port: u16) -> Result<Self, Refused> {
        let text = authority.to_host_header(default_port);
        let odd = |_| {
            Refused::new(
                Reason::BadAuthority,
                "the authority cannot be written in a header",
            )
        };
        let host_header = HeaderValue::from_str(&text).map_err(|_| odd(()))?;
        let uri_authority = uri::Authority::try_from(text).map_err(|_| odd(()))?;
        Ok(Self {
            authority,
            host_header,
            uri_authority,
        })
    }
}

impl<P: Policy> AgentLeg<P> {
    pub(crate) fn plain(core: Arc<Core<P>>, connection: ConnectionId, activity: Arc<Activity>) -> Arc<Self> {
        Arc::new(Self {
            core,
            connection,
            activity,
            sequence: AtomicU64::new(0),
            timer: KeptTimer::default(),
            ahead: KeptAhead::default(),
            way_in: WayIn::AbsoluteForm,
            tunnel: None,
            switched: Mutex::default(),
        })
    }

    /// None when the authority cannot be written in a header, which no parsed one is.
    pub(crate) fn tunnel(
        core: Arc<Core<P>>,
        connection: ConnectionId,
        activity: Arc<Activity>,
        authority: Authority,
        http2: bool,
        ahead: Option<Ahead>,
    ) -> Option<Arc<Self>> {
        let way_in = if http2 {
            WayIn::TunnelHttp2
        } else {
            WayIn::TunnelHttp1
        };
        let tunnel = Some(Arc::new(Named::new(authority, HTTPS).ok()?));
        Some(Arc::new(Self {
            core,
            connection,
            activity,
            sequence: AtomicU64::new(0),
            timer: KeptTimer::default(),
            ahead: KeptAhead::new(ahead),
            way_in,
            tunnel,
            switched: Mutex::default(),
        }))
    }

    /// The WebSocket that the last request opened, if it did.
    pub(crate) fn take_switched(&self) -> Option<Switched<P::Permit>> {
        self.switched.lock().take()
    }

    /// Answers one request. In HTTP/1 the gate has counted it already.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Response<ResponseBody<P::Permit>> {
        if self.way_in == WayIn::TunnelHttp2 {
            self.activity.begin();
        }
        let under_way = self.activity.under_way();
        let received = Instant::now();
        let (mut parts, body) = request.into_parts();
        match self.decide(&mut parts, &body, received) {
            Ok((head, named)) => {
                self.put_to_policy(head, parts.headers, body, named, under_way)
                    .await
            }
            Err(refused) => self.refuse(&refused, &parts, under_way),
        }
    }

    /// Everything that has to be right before a policy can judge.
    fn decide(
        &self,
        parts: &mut http::request::Parts,
        body: &Incoming,
        received: Instant,
    ) -> Result<(RequestHead, Arc<Named>), Refused> {
        let named = match &self.tunnel {
            Some(tunnel) => {
                self.same_authority(tunnel, parts)?;
                Arc::clone(tunnel)
            }
            None => Arc::new(absolute_form(parts)?),
        };
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            let detail = format!("{} is not supported here", parts.method);
            return Err(Refused::new(Reason::MethodNotSupported, detail));
        }
        let target = parts
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        if let Some(what) = target::odd_bytes(target.as_str().as_bytes()) {
            return Err(Refused::new(Reason::BadTarget, what));
        }
        let expectation = parts.headers.get(header::EXPECT);
        if expectation.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(Refused::new(
                Reason::ExpectationFailed,
                "only Expect: 100-continue is understood",
            ));
        }
        let body = body_length(&parts.headers, body);
        let asked = headers::strip_request(&mut parts.headers);
        if asked.websocket {
            if self.way_in != WayIn::TunnelHttp1 {
                let detail = "WebSocket is carried over HTTP/1.1 inside CONNECT and TLS (wss://) only";
                return Err(Refused::new(Reason::WebsocketUnsupported, detail));
            }
            handshake::check_request(parts, body)
                .map_err(|detail| Refused::new(Reason::BadWebsocket, detail))?;
        }
        headers::restore_te(&mut parts.headers, asked);
        let head = RequestHead {
            connection: self.connection,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            way_in: self.way_in,
            websocket: asked.websocket,
            method: parts.method.clone(),
            authority: named.authority.clone(),
            target,
            body,
            received,
        };
        Ok((head, named))
    }

    /// In a tunnel: the target's authority (if it has one) and `Host` must be CONNECT's.
    fn same_authority(&self, tunnel: &Named, parts: &http::request::Parts) -> Result<(), Refused> {
        if let Some(authority) = parts.uri.authority() {
            if parts.uri.scheme() != Some(&uri::Scheme::HTTPS) {
                return Err(Refused::new(
                    Reason::AuthorityMismatch,
                    "inside TLS the scheme must be https",
                ));
            }
            compare(
                "the request's target",
                authority.as_str().as_bytes(),
                HTTPS,
                &tunnel.authority,
            )?;
        } else if self.way_in == WayIn::TunnelHttp2 && !parts.headers.contains_key(header::HOST) {
            return Err(Refused::new(Reason::BadHostHeader, ":authority is missing"));
        }
        check_host(parts, HTTPS, &tunnel.authority)
    }

    async fn put_to_policy(
        &self,
        head: RequestHead,
        mut headers: HeaderMap,
        body: Incoming,
        named: Arc<Named>,
        under_way: UnderWay,
    ) -> Response<ResponseBody<P::Permit>> {
        match self.core.policy.admit(&head, &mut headers).await {
            Verdict::Forward(leave) => {
                headers.remove(header::PROXY_AUTHORIZATION);
                if head.body == BodyLength::Exact(0) {
                    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                let route = Route {
                    tls: self.tunnel.is_some(),
                    agent_http2: head.way_in == WayIn::TunnelHttp2,
                    host_header: &named.host_header,
                    uri_authority: &named.uri_authority,
                    timer: &self.timer,
                    ahead: &self.ahead,
                };
                if head.websocket {
                    let (response, switched) = open(&self.core, leave, head, headers, route, under_way).await;
                    *self.switched.lock() = switched;
                    return response;
                }
                forward(&self.core, leave, head, headers, body, route, under_way).await
            }
            Verdict::Answer(answer) => ResponseBody::local(answer, under_way),
            Verdict::Deny(denial) => {
                tracing::debug!(
                    connection = self.connection.0,
                    denied = denial.logged,
                    "denied by the policy"
                );
                ResponseBody::local(denial.told_agent, under_way)
            }
        }
    }

    /// Reports what ended the whole connection; there is no one to answer.
    pub(crate) fn refuse_connection(&self, reason: Reason, detail: &str) {
        self.core.refuse(&Refusal {
            reason,
            detail,
            connection: self.connection,
            way_in: Some(self.way_in),
            authority: self.tunnel.as_ref().map(|tunnel| &tunnel.authority),
            method: None,
            target: None,
            admitted: false,
            answerable: false,
        });
    }

    fn refuse(
        &self,
        refused: &Refused,
        parts: &http::request::Parts,
        under_way: UnderWay,
    ) -> Response<ResponseBody<P::Permit>> {
        // In the clear the target may name a host, whatever else is wrong.
        let named = parts.uri.authority().filter(|_| self.tunnel.is_none());
        let named = named.and_then(|named| Authority::parse(named.as_str().as_bytes(), HTTP).ok());
        let answer = self.core.refuse(&Refusal {
            reason: refused.reason,
            detail: &refused.detail,
            connection: self.connection,
            way_in: Some(self.way_in),
            authority: self
                .tunnel
                .as_ref()
                .map(|tunnel| &tunnel.authority)
                .or(named.as_ref()),
            method: Some(&parts.method),
            target: parts
                .uri
                .path_and_query()
                .map(|target| target.as_str().as_bytes()),
            admitted: false,
            answerable: true,
        });
        ResponseBody::local(answer, under_way)
    }
}

/// In the clear: the absolute form names the host, and `Host` must agree (RFC 9112 §3.2.2 would ignore it; one
/// that disagrees is an attempt to be read in two ways).
fn absolute_form(parts: &http::request::Parts) -> Result<Named, Refused> {
    let authority = match (parts.uri.scheme(), parts.uri.authority()) {
        (Some(scheme), Some(authority)) if *scheme == uri::Scheme::HTTP => authority,
        (Some(_), Some(_)) => {
            return Err(Refused::new(
                Reason::SchemeNotSupported,
                "only http:// is forwarded in absolute form",
            ));
        }
        _ => {
            return Err(Refused::new(
                Reason::NotAProxyRequest,
                "this is a forward proxy: name a host",
            ));
        }
    };
    let authority = Authority::parse(authority.as_str().as_bytes(), HTTP)
        .map_err(|error| Refused::new(Reason::BadAuthority, format!("target: {error}")))?;
    check_host(parts, HTTP, &authority)?;
    Named::new(authority, HTTP)
}

fn check_host(parts: &http::request::Parts, default_port: u16, authority: &Authority) -> Result<(), Refused> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return if parts.version == Version::HTTP_11 {
            Err(Refused::new(Reason::BadHostHeader, "the Host header is missing"))
        } else {
            Ok(())
        };
    };
    if hosts.next().is_some() {
        return Err(Refused::new(
            Reason::BadHostHeader,
            "there is more than one Host header",
        ));
    }
    compare("Host", host.as_bytes(), default_port, authority)
}

fn compare(what: &str, named: &[u8], default_port: u16, authority: &Authority) -> Result<(), Refused> {
    let named = Authority::parse(named, default_port)
        .map_err(|error| Refused::new(Reason::BadAuthority, format!("{what}: {error}")))?;
    if named == *authority {
        return Ok(());
    }
    let detail = format!("{what} names {named}, but this connection is for {authority}");
    Err(Refused::new(Reason::AuthorityMismatch, detail))
}

/// What the head says of the body. hyper has read the same fields, so its answer is taken where there is one.
fn body_length(headers: &HeaderMap, body: &Incoming) -> BodyLength {
    match body.size_hint().exact() {
        Some(0) if headers.contains_key(header::CONTENT_LENGTH) => BodyLength::Exact(0),
        Some(0) => BodyLength::None,
        Some(length) => BodyLength::Exact(length),
        None => BodyLength::Unknown,
    }
}
