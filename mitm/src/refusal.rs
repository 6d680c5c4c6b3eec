//! What the core refuses by itself, without asking the policy: things that have no meaning that a policy
//! could judge (malformed, contradictory, too slow, too large) and upstreams that cannot be reached.
//!
//! Every one is a [`Reason`] with a fixed status; the policy shapes the body.

use http::StatusCode;

use crate::authority::Authority;
use crate::policy::{ConnectionId, WayIn};

/// One refusal by the core, as told to [`crate::Policy::refused`].
#[derive(Debug)]
pub struct Refusal<'a> {
    pub reason: Reason,
    /// One sentence for the agent: what was wrong and what to do instead.
    pub detail: &'a str,
    pub connection: ConnectionId,
    /// None before the way in is known.
    pub way_in: Option<WayIn>,
    /// None when it could not be read.
    pub authority: Option<&'a Authority>,
    /// None when it could not be read.
    pub method: Option<&'a http::Method>,
    /// Path and query as received, when they could be read.
    pub target: Option<&'a [u8]>,
    /// The request had been admitted: [`crate::Permit::finished`] follows and writes the access event.
    pub admitted: bool,
    /// False when the agent will see a close and no answer (before TLS is up, or past a CONNECT's 200).
    pub answerable: bool,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident;)*) => {
        /// Why the core refused. The text form is part of the access-event contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, for documentation and tests.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// Lower-case words joined by `_`.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $code,)* }
            }

            /// The status that the agent is answered, where it can be answered.
            pub fn status(self) -> StatusCode {
                match self { $(Reason::$name => StatusCode::$status,)* }
            }
        }
    };
}

reasons! {
    /// The head is not HTTP, or breaks its grammar.
    MalformedHead = "malformed_head", BAD_REQUEST;
    /// The head is over its size limit.
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// The head was not complete in time.
    HeadTimeout = "head_timeout", REQUEST_TIMEOUT;
    /// CONNECT's target, `Host` or the absolute form's host cannot be read in exactly one way.
    BadAuthority = "bad_authority", BAD_REQUEST;
    /// CONNECT, SNI, `Host` / `:authority` and the absolute form do not name the same host and port.
    AuthorityMismatch = "authority_mismatch", MISDIRECTED_REQUEST;
    /// No `Host`, or more than one.
    BadHostHeader = "bad_host_header", BAD_REQUEST;
    /// A path without a host, outside a tunnel: this is a proxy.
    NotAProxyRequest = "not_a_proxy_request", BAD_REQUEST;
    /// `https://` in absolute form: use CONNECT.
    SchemeNotSupported = "scheme_not_supported", BAD_REQUEST;
    /// The target has bytes that no one reads in the same way.
    BadTarget = "bad_target", BAD_REQUEST;
    /// The body's length is said in more than one way, or in a way that others read differently.
    AmbiguousFraming = "ambiguous_framing", BAD_REQUEST;
    /// CONNECT inside a tunnel or TRACE.
    MethodNotSupported = "method_not_supported", METHOD_NOT_ALLOWED;
    /// An HTTP/2 connection whose frames break the protocol: it was closed, with GOAWAY.
    BadHttp2 = "bad_http2", BAD_REQUEST;
    /// An expectation other than `100-continue`.
    ExpectationFailed = "expectation_failed", EXPECTATION_FAILED;
    /// After CONNECT: the first bytes are not a TLS ClientHello.
    NotTls = "not_tls", FORBIDDEN;
    /// After CONNECT: nothing arrived in time, or the handshake did not complete.
    TlsHandshake = "tls_handshake", FORBIDDEN;
    /// The ClientHello names no server.
    SniMissing = "sni_missing", FORBIDDEN;
    /// No certificate could be minted.
    CertificateUnavailable = "certificate_unavailable", BAD_GATEWAY;
    /// The upgrade to WebSocket is not one (method, version, key), or the agent's frames break the protocol.
    BadWebsocket = "bad_websocket", BAD_REQUEST;
    /// WebSocket is not carried on this way in.
    WebsocketUnsupported = "websocket_unsupported", NOT_IMPLEMENTED;
    /// Every connection slot is taken.
    TooManyConnections = "too_many_connections", SERVICE_UNAVAILABLE;
    /// Every upstream connection that there may be is in use.
    TooManyUpstreams = "too_many_upstreams", SERVICE_UNAVAILABLE;
    /// The guard is going down.
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE;
    /// The host's name does not resolve.
    UpstreamUnresolved = "upstream_unresolved", BAD_GATEWAY;
    /// The host's addresses are all of a kind that must not be reached.
    AddressForbidden = "address_forbidden", FORBIDDEN;
    /// No connection could be made.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY;
    /// The upstream's certificate is not trusted, or its TLS failed.
    UpstreamTls = "upstream_tls", BAD_GATEWAY;
    /// Connecting took too long.
    UpstreamConnectTimeout = "upstream_connect_timeout", GATEWAY_TIMEOUT;
    /// The upstream broke off before its response's head was complete, or sent one that is not HTTP.
    UpstreamBroke = "upstream_broke", BAD_GATEWAY;
    /// No response head in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT;
    /// The request's body did not arrive whole (idle, or broken framing).
    RequestBodyBroke = "request_body_broke", BAD_REQUEST;
    /// The request's body took too long while its head was waiting for it.
    RequestBodyTimeout = "request_body_timeout", REQUEST_TIMEOUT;
}
