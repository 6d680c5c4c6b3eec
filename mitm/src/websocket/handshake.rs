//! The upgrade: what is asked of the upstream, and what its 101 must say (RFC 6455 §4).
//!
//! The two legs have a handshake each: the upstream gets a key of our own and no extension to choose, and the
//! agent's key is answered here. Whatever the upstream says other than 101 is an ordinary response.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_rustls::client::TlsStream;

use crate::activity::UnderWay;
use crate::authority::Authority;
use crate::body::ResponseBody;
use crate::connect::connect_for_upgrade;
use crate::core::Core;
use crate::dial::DialError;
use crate::exchange::{Exchange, Ticket};
use crate::forward::{
    Failed, KeptTimer, Route, Waited, answer_failure, pass_on, still_admitted, wait_for_head,
};
use crate::headers;
use crate::policy::{BodyLength, Ended, Forward, Permit, Policy, RequestHead};
use crate::refusal::Reason;
use crate::stream::{Rewound, Stream};
use crate::upstream::Upstream;
use crate::websocket::session::Switched;

/// What is hashed with the key (RFC 6455 §1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The bytes of a decoded key.
const KEY: usize = 16;

/// The one version.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// An upstream's connection after its 101.
pub(crate) type UpstreamIo = Box<Rewound<TlsStream<Rewound<Stream>>>>;

/// An upstream's 101, checked, and the connection that it switched.
struct Accepted {
    headers: HeaderMap,
    io: UpstreamIo,
}

/// What the upstream said.
enum Asked {
    Accepted(Accepted),
    /// Anything but 101.
    Ordinary(Response<Incoming>),
}

/// Whether this is an upgrade that can be answered.
pub(crate) fn check_request(parts: &http::request::Parts, body: BodyLength) -> Result<(), &'static str> {
    if parts.method != Method::GET || parts.version != Version::HTTP_11 {
        return Err("an upgrade to WebSocket is a GET in HTTP/1.1");
    }
    if !matches!(body, BodyLength::None | BodyLength::Exact(0)) {
        return Err("an upgrade to WebSocket has no body");
    }
    if only(&parts.headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION.as_bytes()) {
        return Err("Sec-WebSocket-Version must be 13");
    }
    let key = only(&parts.headers, &SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    if key.is_none_or(|key| key.len() != KEY) {
        return Err("Sec-WebSocket-Key must be one, of 16 bytes in base64");
    }
    Ok(())
}

/// Forwards an admitted upgrade. With a 101 comes what the connection is to become.
pub(crate) async fn open<P: Policy>(
    core: &Core<P>,
    forward: Forward<P::Permit>,
    head: RequestHead,
    headers: HeaderMap,
    route: Route<'_>,
    under_way: UnderWay,
) -> (Response<ResponseBody<P::Permit>>, Option<Switched<P::Permit>>) {
    let Forward { permit, upstream } = forward;
    let exchange = Exchange::new(head.received);
    exchange.request_over();
    let mut ticket = Ticket::new(permit, exchange, &core.changes);
    let agents_key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let asked = ask(core, &upstream, &head, headers, &route, &mut ticket).await;
    let Accepted { mut headers, io } = match asked {
        Ok(Asked::Accepted(accepted)) => accepted,
        Ok(Asked::Ordinary(response)) => {
            let idle = core.limits.timeouts.idle;
            return (pass_on(response, None, ticket, idle, under_way), None);
        }
        Err(failed) => {
            let answer = answer_failure(core, failed, &head, &mut ticket);
            return (ResponseBody::local(answer, under_way), None);
        }
    };
    headers::strip_response(&mut headers);
    headers.remove(CONTENT_LENGTH);
    let verdict = ticket.permit().map(|permit| {
        let verdict = permit.response(StatusCode::SWITCHING_PROTOCOLS, &mut headers);
        verdict.map(|_no_body| permit.websocket_inspectors())
    });
    let inspectors = match verdict {
        Some(Ok(inspectors)) => inspectors,
        Some(Err(denial)) => {
            ticket.answered(denial.told_agent.status());
            ticket.end(Ended::ResponseDenied {
                logged: denial.logged,
            });
            return (ResponseBody::local(denial.told_agent, under_way), None);
        }
        None => Default::default(),
    };
    ticket.answered(StatusCode::SWITCHING_PROTOCOLS);
    upgrade_fields(&mut headers);
    if let Some(accept) = agents_key.and_then(|key| accept(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let mut response = Response::new(ResponseBody::switching());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    let switched = Switched {
        upstream: io,
        ticket,
        inspectors,
        under_way,
    };
    (response, Some(switched))
}

/// Connects, asks, and checks the answer.
async fn ask<P: Policy>(
    core: &Core<P>,
    upstream: &Upstream,
    head: &RequestHead,
    mut headers: HeaderMap,
    route: &Route<'_>,
    ticket: &mut Ticket<P::Permit>,
) -> Result<Asked, Failed> {
    still_admitted(ticket, &headers)?;
    let authority = &head.authority;
    let key = fresh_key()?;
    headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    headers.remove(CONTENT_LENGTH);
    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
    headers.insert(HOST, route.host_header.clone());
    upgrade_fields(&mut headers);
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect();
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = head.target.clone().into();
    *request.headers_mut() = headers;

    let connected = match core.upstream_slot().await {
        Ok(slot) => connect_for_upgrade(upstream, authority, &core.limits, slot).await,
        Err(none) => Err(none),
    };
    let io = match connected {
        Ok(io) => io,
        Err(DialError::Refused { reason, detail }) => return Err(Failed::Refused { reason, detail }),
        Err(DialError::ProxyAnswered(response)) => {
            if let Some(permit) = ticket.permit() {
                permit.proxy_answered();
            }
            return Ok(Asked::Ordinary(*response));
        }
    };
    // To connect may have taken seconds.
    still_admitted(ticket, request.headers())?;
    let sending = send(io, request, core.limits.response_head_bytes);
    let limit = core.limits.timeouts.response_head;
    let mut response = match wait_for_head(limit, &KeptTimer::default(), ticket, sending).await {
        Waited::Done(sent) => sent.map_err(|error| broke(authority, &error))?,
        Waited::Withdrawn(denial) => return Err(Failed::RequestCut(denial)),
        Waited::TooLate => {
            let detail = format!("{authority} sent no response within {} s", limit.as_secs_f32());
            return Err(Failed::new(Reason::UpstreamTimeout, detail));
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if headers::has_foreign_coding(response.headers()) {
            let detail = "the upstream uses an unknown Transfer-Encoding";
            return Err(Failed::new(Reason::UpstreamBroke, detail));
        }
        return Ok(Asked::Ordinary(response));
    }
    check_response(response.headers(), &key, offered)
        .map_err(|what| Failed::new(Reason::UpstreamBroke, format!("{authority}'s 101: {what}")))?;
    let upgraded = hyper::upgrade::on(&mut response)
        .await
        .map_err(|error| broke(authority, &error))?;
    let parts = upgraded
        .downcast::<TokioIo<TlsStream<Rewound<Stream>>>>()
        .map_err(|_| Failed::new(Reason::UpstreamBroke, "the upgraded connection was lost"))?;
    Ok(Asked::Accepted(Accepted {
        headers: std::mem::take(response.headers_mut()),
        io: Box::new(Rewound::new(parts.read_buf, parts.io.into_inner())),
    }))
}

async fn send(
    io: TlsStream<Rewound<Stream>>,
    request: Request<Empty<Bytes>>,
    head_bytes: usize,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(head_bytes)
        .handshake(TokioIo::new(io))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection for WebSocket ended");
        }
    });
    sender.send_request(request).await
}

fn broke(authority: &Authority, error: &hyper::Error) -> Failed {
    let detail = format!("{authority} broke off before its response: {error}");
    Failed::new(Reason::UpstreamBroke, detail)
}

/// What a client has to check (RFC 6455 §4.1).
fn check_response(
    headers: &HeaderMap,
    key: &HeaderValue,
    offered: Vec<HeaderValue>,
) -> Result<(), &'static str> {
    if !headers::has_token(headers, &UPGRADE, "websocket")
        || !headers::has_token(headers, &CONNECTION, "upgrade")
    {
        return Err("it does not switch to WebSocket");
    }
    let accepted = only(headers, &SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none() || accepted != accept(key.as_bytes()).as_ref().map(HeaderValue::as_bytes) {
        return Err("Sec-WebSocket-Accept does not answer the key");
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("it chose an extension, and none was offered");
    }
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        let chosen = only(headers, &SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
        let was_offered = offered
            .iter()
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
            .any(|protocol| protocol.trim_ascii() == chosen);
        if !was_offered {
            return Err("it chose a subprotocol that was not offered");
        }
    }
    Ok(())
}

fn upgrade_fields(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// The field's value, when there is exactly one.
fn only<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

fn fresh_key() -> Result<HeaderValue, Failed> {
    let mut key = [0; KEY];
    SystemRandom::new()
        .fill(&mut key)
        .ok()
        .and_then(|()| HeaderValue::try_from(STANDARD.encode(key)).ok())
        .ok_or_else(|| Failed::new(Reason::UpstreamBroke, "no randomness for a key"))
}

/// What answers a key.
fn accept(key: &[u8]) -> Option<HeaderValue> {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC].concat());
    HeaderValue::try_from(STANDARD.encode(digest)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const RFC_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn map(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn checked(fields: &[(http::HeaderName, &'static str)]) -> Result<(), &'static str> {
        let offered = vec![HeaderValue::from_static("chat, superchat")];
        check_response(&map(fields), &HeaderValue::from_static(RFC_KEY), offered)
    }

    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        assert_eq!(accept(RFC_KEY.as_bytes()).unwrap(), RFC_ACCEPT);
    }

    #[test]
    fn a_101_must_answer_what_was_asked() {
        let good = [
            (UPGRADE, "WebSocket"),
            (CONNECTION, "keep-alive, upgrade"),
            (SEC_WEBSOCKET_ACCEPT, RFC_ACCEPT),
            (SEC_WEBSOCKET_PROTOCOL, "superchat"),
        ];
        assert_eq!(checked(&good), Ok(()));
        assert_eq!(checked(&good[..3]), Ok(()));
        for missing in 0..3 {
            let mut fields = good.to_vec();
            fields.remove(missing);
            assert!(checked(&fields).is_err(), "{missing}");
        }
        for odd in [
            (UPGRADE, "x"),
            (SEC_WEBSOCKET_ACCEPT, RFC_ACCEPT),
            (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate"),
            (SEC_WEBSOCKET_PROTOCOL, "superchat"),
        ] {
            let fields = [&good[..], std::slice::from_ref(&odd)].concat();
            assert_eq!(checked(&fields).is_ok(), odd.0 == UPGRADE, "{odd:?}");
        }
        let other = [&good[..3], &[(SEC_WEBSOCKET_PROTOCOL, "other")]].concat();
        assert!(checked(&other).is_err());
    }

    #[test]
    fn an_upgrade_has_a_form() {
        let request = |method: &str, version, fields: &[(http::HeaderName, &'static str)]| {
            let mut request = Request::new(());
            *request.method_mut() = method.parse().unwrap();
            *request.version_mut() = version;
            *request.headers_mut() = map(fields);
            request.into_parts().0
        };
        let good = [(SEC_WEBSOCKET_VERSION, "13"), (SEC_WEBSOCKET_KEY, RFC_KEY)];
        let (v11, none) = (Version::HTTP_11, BodyLength::None);
        assert_eq!(check_request(&request("GET", v11, &good), none), Ok(()));
        assert!(check_request(&request("POST", v11, &good), none).is_err());
        assert!(check_request(&request("GET", Version::HTTP_10, &good), none).is_err());
        assert!(check_request(&request("GET", v11, &good), BodyLength::Exact(1)).is_err());
        for fields in [
            vec![(SEC_WEBSOCKET_VERSION, "8"), (SEC_WEBSOCKET_KEY, RFC_KEY)],
            vec![(SEC_WEBSOCKET_VERSION, "13"), (SEC_WEBSOCKET_KEY, "AAAA")],
            vec![(SEC_WEBSOCKET_VERSION, "13")],
            [&good[..], &good[1..]].concat(),
        ] {
            assert!(
                check_request(&request("GET", v11, &fields), none).is_err(),
                "{fields:?}"
            );
        }
    }
}
