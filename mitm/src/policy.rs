//! What the core asks of a guard, and what it tells it.
//!
//! A [`Policy`] decides; the core moves bytes. The core can forward a request only with a [`Forward`] in its
//! hand, and only [`Policy::admit`] hands one out, so nothing is ever forwarded undecided. Every request is
//! decided anew, also on a kept-alive connection, so that a reload reaches it.
//!
//! Who writes the access event: the policy, exactly once per request.
//! * It denied or answered by itself: in [`Policy::connect`], [`Policy::admit`] or [`Policy::admit_tunnel`].
//! * The core refused before admission: in [`Policy::refused`] with [`Refusal::admitted`] false.
//! * It was admitted: in [`Permit::finished`], which is called exactly once however the request ends. (When
//!   the core then fails upstream it still asks [`Policy::refused`] for the body, with `admitted` true.)
//!
//! What the policy cannot do: change the method, host, port or path. It judges those bytes, and those bytes
//! are forwarded.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

use crate::authority::Authority;
use crate::inspect::{Inspector, MessageInspectors};
use crate::refusal::{Reason, Refusal};
use crate::upstream::Upstream;

/// An answer that the guard itself gives: status, headers, whole body. The core adds `Content-Length`.
pub type LocalResponse = http::Response<Bytes>;

/// One accepted agent connection, numbered from 1 in the order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WayIn {
    /// `GET http://host/path HTTP/1.1`, in the clear.
    AbsoluteForm,
    /// HTTP/1.1 inside CONNECT and TLS.
    TunnelHttp1,
    /// One HTTP/2 stream inside CONNECT and TLS.
    TunnelHttp2,
}

/// A CONNECT, before anything is answered.
#[derive(Debug)]
pub struct ConnectRequest<'a> {
    pub connection: ConnectionId,
    pub authority: &'a Authority,
    /// As the agent sent them, `Proxy-Authorization` among them. Nothing of a CONNECT is ever forwarded.
    pub headers: &'a HeaderMap,
}

/// What follows an admitted CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectPlan {
    /// Terminate TLS with a minted leaf, and ask [`Policy::admit`] for every request inside.
    Intercept {
        /// Whether `h2` is offered to the agent besides `http/1.1`.
        http2: bool,
    },
    /// Do not look inside. When the agent has shown a ClientHello that names the CONNECT's host, ask
    /// [`Policy::admit_tunnel`], dial the host, and copy bytes. Anything else closes.
    Passthrough,
}

/// How long a request's body is, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// The request has no body.
    None,
    /// Bytes, from `Content-Length` (which may be 0).
    Exact(u64),
    /// Chunked, or an HTTP/2 stream without a length.
    Unknown,
}

/// What is asked for. The headers are handed over beside it, since those alone may be changed.
#[derive(Debug)]
pub struct RequestHead {
    pub connection: ConnectionId,
    /// The number of this request in its connection, from 1.
    pub sequence: u64,
    pub way_in: WayIn,
    /// The request asks to become a WebSocket (RFC 6455).
    pub websocket: bool,
    pub method: Method,
    /// Where it goes. In a tunnel this is the CONNECT's; SNI and `Host` have been found equal to it.
    pub authority: Authority,
    /// Path and query, byte for byte as they were received and as they will be forwarded. ASCII without
    /// control bytes, spaces, `#`, `<` or `>`; starts with `/` (or is `*` for OPTIONS).
    pub target: PathAndQuery,
    pub body: BodyLength,
    /// When the head was complete.
    pub received: Instant,
}

impl RequestHead {
    /// Path and query as raw bytes.
    pub fn target(&self) -> &[u8] {
        self.target.as_str().as_bytes()
    }

    /// The target up to the first `?`.
    pub fn path(&self) -> &[u8] {
        self.target.path().as_bytes()
    }

    /// What follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&[u8]> {
        self.target.query().map(str::as_bytes)
    }
}

/// A refusal by the policy.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The whole answer to the agent.
    pub told_agent: LocalResponse,
    /// For the operator's debug log only: may say more than the agent may know, never a secret's value.
    pub logged: String,
}

/// What the policy says of one request.
pub enum Verdict<P> {
    /// Send it on.
    Forward(Forward<P>),
    /// Answer it here, without any upstream (introspection).
    Answer(LocalResponse),
    /// Refuse it.
    Deny(Denial),
}

/// The leave to forward one request, and how.
pub struct Forward<P> {
    pub permit: P,
    /// How the host is dialled and whom to trust. Connections are pooled per `Upstream`: keep one value for
    /// one way of dialling and trusting, also across reloads.
    pub upstream: Arc<Upstream>,
}

/// Decides. One value serves every connection.
pub trait Policy: Send + Sync + 'static {
    type Permit: Permit;

    /// Decides a CONNECT by host and port. A denial is answered with its status and body instead of the
    /// tunnel. The core has no opinion on the port or on IP literals: refuse here what must not be reached.
    fn connect(&self, request: &ConnectRequest<'_>) -> Result<ConnectPlan, Denial>;

    /// Gives the leave for a tunnel that [`Policy::connect`] planned to pass through, once its ClientHello has named the
    /// host. The permit stands for the tunnel as a whole: [`Permit::still_admitted`] is asked when the host has been
    /// dialled, with CONNECT's headers, and [`Permit::finished`] tells what went through, in bytes of TLS; no other of
    /// its methods has anything to look at. A denial closes the tunnel: there is no answer past CONNECT's.
    fn admit_tunnel(
        &self,
        _request: &ConnectRequest<'_>,
    ) -> impl Future<Output = Result<Forward<Self::Permit>, Denial>> + Send {
        std::future::ready(Err(Denial {
            told_agent: LocalResponse::default(),
            logged: "this policy passes no tunnel through".to_owned(),
        }))
    }

    /// How the host of an admitted CONNECT will most likely be dialled, when its connection may be made before a request asks
    /// for it, which saves the first one the wait. Nothing but a TLS handshake is sent on it, that only when the agent's own names
    /// the host, and only a request that is admitted to the same [`Upstream`] gets it.
    fn dial_ahead(&self, _authority: &Authority) -> Option<Arc<Upstream>> {
        None
    }

    /// Decides one request.
    ///
    /// `headers` are the end-to-end headers that will be forwarded: hop-by-hop fields, what `Connection`
    /// names, `Content-Length` and `Expect` are gone already, so what is injected here cannot be stripped by
    /// the agent. Two are there to be read only: `Proxy-Authorization`, which is never forwarded, and `Host`,
    /// which is written anew from [`RequestHead::authority`].
    fn admit(
        &self,
        head: &RequestHead,
        headers: &mut HeaderMap,
    ) -> impl Future<Output = Verdict<Self::Permit>> + Send;

    /// Shapes the answer to something the core itself refused.
    fn refused(&self, refusal: &Refusal<'_>) -> LocalResponse;
}

/// One admitted request, from admission to its end.
pub trait Permit: Send + 'static {
    /// What looks at the request body. Asked once, before anything is sent upstream.
    fn request_inspector(&mut self) -> Option<Box<dyn Inspector>> {
        None
    }

    /// Asked right before the request is written to an upstream, which may be long after it was admitted: its body may have been
    /// held, a connection waited for. `headers` are those that will be sent. A denial is answered instead.
    fn still_admitted(&mut self, _headers: &HeaderMap) -> Result<(), Denial> {
        Ok(())
    }

    /// Asked of what is under way whenever a change of the policy was announced ([`crate::Changes`]): whether it would
    /// be admitted still. A denial is answered while there is no response yet; a body, a WebSocket or a tunnel is cut.
    fn still_stands(&mut self) -> Result<(), Denial> {
        Ok(())
    }

    /// Whether the request may be sent a second time when the connection was lost on which it was sent first and nothing
    /// was answered. (It is asked only of what HTTP itself lets be repeated.)
    fn may_be_repeated(&self) -> bool {
        true
    }

    /// The upstream proxy refused the tunnel: the response that [`Permit::response`] is shown next is its own.
    fn proxy_answered(&mut self) {}

    /// Looks at the response's head (hop-by-hop fields and `Alt-Svc` are gone already), may change its
    /// headers, and names what looks at the body. A denial is answered instead; the upstream is let go.
    /// Called for the final response and for the answer of an upstream proxy that refused the tunnel.
    fn response(
        &mut self,
        _status: StatusCode,
        _headers: &mut HeaderMap,
    ) -> Result<Option<Box<dyn Inspector>>, Denial> {
        Ok(None)
    }

    /// What looks at the messages of a WebSocket. Asked once, after [`Permit::response`] has let the upstream's
    /// 101 pass (whatever inspector that names has no body to look at).
    fn websocket_inspectors(&mut self) -> MessageInspectors {
        MessageInspectors::default()
    }

    /// The request is over. Called exactly once.
    fn finished(self, outcome: Outcome);
}

/// How an admitted request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the agent was answered (for a tunnel: to its CONNECT); none when it left before.
    pub status: Option<StatusCode>,
    /// Body bytes sent upstream; of a WebSocket the payload of its messages, of a tunnel every byte.
    pub bytes_up: u64,
    /// Body bytes sent to the agent; of a WebSocket the payload of its messages, of a tunnel every byte.
    pub bytes_down: u64,
    /// From the complete head to the end.
    pub duration: Duration,
    pub ended: Ended,
}

/// The way in which an admitted request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Both bodies went through whole; a WebSocket or a tunnel was closed by both sides.
    Complete,
    /// The proxy is going down: both sides of a WebSocket were told so (1001), a tunnel was broken off.
    Drained,
    /// The request-body inspector cut it: upstream never saw its end, and the agent got the denial.
    RequestCut { logged: String },
    /// The policy refused the response's head; the agent got the denial.
    ResponseDenied { logged: String },
    /// The response-body inspector cut it; the agent saw a broken stream.
    ResponseCut { logged: String },
    /// The policy no longer admits it ([`Permit::still_stands`]): the agent saw a broken stream, of a WebSocket a close
    /// frame 1008.
    Withdrawn { logged: String },
    /// The core answered by itself (upstream unreachable, time-out, …).
    Refused(Reason),
    /// The upstream broke off inside the response body; the agent saw a broken stream.
    UpstreamBroke,
    /// No byte of the response body for longer than the idle time-out; the agent saw a broken stream. Or the upstream had answered and
    /// took no more of the request for as long.
    Idle,
    /// The agent left before the end.
    AgentGone,
}

impl<P> fmt::Debug for Verdict<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Forward(_) => f.write_str("Forward"),
            Verdict::Answer(response) => write!(f, "Answer({})", response.status()),
            Verdict::Deny(denial) => write!(f, "Deny({}, {})", denial.told_agent.status(), denial.logged),
        }
    }
}
