//! Sending one admitted request on, and its answer back.
//!
//! The only way in is with a [`Forward`], which only the policy's `admit` makes: what was not decided cannot be
//! sent. From here on the permit's ticket reports the end, however it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header;
use http::uri::{self, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::activity::UnderWay;
use crate::ahead::{self, KeptAhead};
use crate::authority::Authority;
use crate::body::{RequestBody, ResponseBody};
use crate::connect::connect;
use crate::core::Core;
use crate::dial::DialError;
use crate::exchange::{Exchange, RequestFailure, Ticket};
use crate::headers;
use crate::policy::{Denial, Ended, Forward, LocalResponse, Permit, Policy, RequestHead};
use crate::pool::{Key, Lease, Sender};
use crate::refusal::{Reason, Refusal};
use crate::upstream::{Dialer, Upstream};

/// How often a request that no upstream has seen is tried on another pooled connection before a new one is
/// made for it.
const STALE_CONNECTIONS: usize = 3;

/// How the request is written upstream.
pub(crate) struct Route<'a> {
    pub(crate) tls: bool,
    /// The agent speaks HTTP/2.
    pub(crate) agent_http2: bool,
    /// The value of `Host`.
    pub(crate) host_header: &'a HeaderValue,
    /// The same for HTTP/2 and for the absolute form.
    pub(crate) uri_authority: &'a uri::Authority,
    /// Of the agent's connection.
    pub(crate) timer: &'a KeptTimer,
    pub(crate) ahead: &'a KeptAhead,
}

/// The timer of a connection's requests that wait for a response's head; out while one does.
pub(crate) type KeptTimer = Mutex<Option<Pin<Box<Sleep>>>>;

/// An admitted request, in parts, for it may have to be written in another protocol's form on a second try.
struct Outgoing {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    body: RequestBody,
}

/// Why there is no response to forward.
pub(crate) enum Failed {
    Refused { reason: Reason, detail: String },
    RequestCut(Denial),
}

/// Forwards. The answer is the upstream's, or one that the policy shaped for what went wrong.
pub(crate) async fn forward<P: Policy>(
    core: &Core<P>,
    forward: Forward<P::Permit>,
    head: RequestHead,
    headers: HeaderMap,
    body: Incoming,
    route: Route<'_>,
    under_way: UnderWay,
) -> Response<ResponseBody<P::Permit>> {
    let Forward { mut permit, upstream } = forward;
    let idle = core.limits.timeouts.idle;
    let exchange = Exchange::new(head.received);
    let inspector = permit.request_inspector();
    let mut ticket = Ticket::new(permit, Arc::clone(&exchange), &core.changes);
    let body = RequestBody::new(body, inspector, idle, &exchange);
    let outgoing = Outgoing {
        method: head.method.clone(),
        target: head.target.clone(),
        headers,
        body,
    };
    let exchanged =
        exchange_with_upstream(core, &upstream, &head.authority, &route, &mut ticket, outgoing).await;
    let (response, lease) = match exchanged {
        Ok(exchanged) => exchanged,
        Err(failed) => {
            let answer = answer_failure(core, failed, &head, &mut ticket);
            return ResponseBody::local(answer, under_way);
        }
    };
    pass_on(response, lease, ticket, idle, under_way)
}

/// Puts an upstream's answer to the permit and passes it on.
pub(crate) fn pass_on<P: Permit>(
    response: Response<Incoming>,
    lease: Option<Lease>,
    mut ticket: Ticket<P>,
    idle: Duration,
    under_way: UnderWay,
) -> Response<ResponseBody<P>> {
    let (mut parts, body) = response.into_parts();
    headers::strip_response(&mut parts.headers);
    headers::settle_length(&mut parts.headers, body.is_end_stream(), body.size_hint().exact());
    let inspector = match ticket
        .permit()
        .map(|permit| permit.response(parts.status, &mut parts.headers))
    {
        Some(Ok(inspector)) => inspector,
        Some(Err(denial)) => {
            ticket.answered(denial.told_agent.status());
            ticket.end(Ended::ResponseDenied {
                logged: denial.logged,
            });
            return ResponseBody::local(denial.told_agent, under_way);
        }
        None => None,
    };
    ticket.answered(parts.status);
    let mut response = Response::new(ResponseBody::upstream(
        body, inspector, idle, ticket, lease, under_way,
    ));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}

/// The answer to a request that got no response.
pub(crate) fn answer_failure<P: Policy>(
    core: &Core<P>,
    failed: Failed,
    head: &RequestHead,
    ticket: &mut Ticket<P::Permit>,
) -> LocalResponse {
    let (answer, ended) = match failed {
        Failed::RequestCut(denial) => (
            denial.told_agent,
            Ended::RequestCut {
                logged: denial.logged,
            },
        ),
        Failed::Refused { reason, detail } => {
            let answer = core.refuse(&Refusal {
                reason,
                detail: &detail,
                connection: head.connection,
                way_in: Some(head.way_in),
                authority: Some(&head.authority),
                method: Some(&head.method),
                target: Some(head.target()),
                admitted: true,
                answerable: true,
            });
            (answer, Ended::Refused(reason))
        }
    };
    ticket.answered(answer.status());
    ticket.end(ended);
    answer
}

/// Gets a connection, sends, waits for the response's head.
async fn exchange_with_upstream<P: Policy>(
    core: &Core<P>,
    upstream: &Arc<Upstream>,
    authority: &Authority,
    route: &Route<'_>,
    ticket: &mut Ticket<P::Permit>,
    mut outgoing: Outgoing,
) -> Result<(Response<Incoming>, Option<Lease>), Failed> {
    let exchange = &*Arc::clone(ticket.exchange());
    let deferred = core.limits.timeouts.deferred;
    if !matches!(outgoing.body, RequestBody::None) {
        match tokio::time::timeout(deferred, outgoing.body.defer_head()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                return Err(
                    request_failure(exchange).unwrap_or_else(|| Failed::new(Reason::RequestBodyBroke, ""))
                );
            }
            Err(_) => {
                let seconds = deferred.as_secs_f32();
                let detail = format!("the request's body was not there within {seconds} s");
                return Err(Failed::new(Reason::RequestBodyTimeout, detail));
            }
        }
    }
    still_admitted(ticket, &outgoing.headers)?;
    let key = Key::new(upstream, authority, route.tls, route.agent_http2);
    let absolute = !route.tls && matches!(upstream.dialer, Dialer::ThroughProxy(_));
    for attempt in 0_usize.. {
        let ready = if attempt < STALE_CONNECTIONS {
            ready(core, route, &key).await
        } else {
            Ok(None)
        };
        let reused = matches!(ready, Ok(Some(_)));
        let opened = match ready.transpose() {
            Some(ready) => ready,
            None => open(core, upstream, &key).await,
        };
        let mut sender = match opened {
            Ok(sender) => sender,
            Err(DialError::Refused { reason, detail }) => return Err(Failed::Refused { reason, detail }),
            Err(DialError::ProxyAnswered(response)) => {
                if let Some(permit) = ticket.permit() {
                    permit.proxy_answered();
                }
                return Ok((*response, None));
            }
        };
        // To get a connection may have taken seconds.
        still_admitted(ticket, &outgoing.headers)?;
        // A request that may be repeated is kept for the moment in which a pooled connection turns out to have
        // been closed by the upstream just now.
        let repeatable = reused
            && outgoing.is_repeatable()
            && ticket.permit().is_some_and(|permit| permit.may_be_repeated());
        let spare = repeatable.then(|| outgoing.repeat());
        let request = outgoing.into_request(route, sender.is_http2(), absolute)?;
        let limit = core.limits.timeouts.response_head;
        let sent = match wait_for_head(limit, route.timer, ticket, sender.send(request)).await {
            Waited::Done(sent) => sent,
            Waited::Withdrawn(denial) => return Err(Failed::RequestCut(denial)),
            Waited::TooLate => {
                let seconds = limit.as_secs_f32();
                let detail = format!("{authority} sent no response within {seconds} s");
                return Err(Failed::new(Reason::UpstreamTimeout, detail));
            }
        };
        let mut error = match sent {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(Failed::new(
                    Reason::UpstreamBroke,
                    "the upstream switched protocols unasked",
                ));
            }
            Ok(response) if headers::has_foreign_coding(response.headers()) => {
                return Err(Failed::new(
                    Reason::UpstreamBroke,
                    "the upstream uses an unknown Transfer-Encoding",
                ));
            }
            Ok(response) => return Ok((response, sender.into_lease(&core.pool, key))),
            Err(error) => error,
        };
        outgoing = match (error.take_message(), spare) {
            // Not a byte of it was sent: safe for any method.
            (Some(unsent), _) if attempt <= STALE_CONNECTIONS => Outgoing::from_request(unsent),
            (None, Some(spare)) if was_lost(&error) => spare,
            _ => return Err(broke(authority, exchange, &error)),
        };
    }
    Err(Failed::new(Reason::UpstreamBroke, "no attempt was made"))
}

/// Puts the request to its permit once more: time has passed since it was admitted.
pub(crate) fn still_admitted<P: Permit>(ticket: &mut Ticket<P>, headers: &HeaderMap) -> Result<(), Failed> {
    let Some(permit) = ticket.permit() else {
        return Ok(());
    };
    permit.still_admitted(headers).map_err(Failed::RequestCut)
}

/// A connection that was made for another request, or for whichever comes first in this tunnel.
async fn ready<P: Policy>(core: &Core<P>, route: &Route<'_>, key: &Key) -> Result<Option<Sender>, DialError> {
    if let Some(sender) = core.pool.take(key).await {
        return Ok(Some(sender));
    }
    let ahead = ahead::take(route.ahead, key).await?;
    if let Some(sender) = &ahead {
        core.pool.share(key, sender);
    }
    Ok(ahead)
}

/// A new connection; for a host that speaks HTTP/2 one is made for all who ask at the same time.
async fn open<P: Policy>(core: &Core<P>, upstream: &Upstream, key: &Key) -> Result<Sender, DialError> {
    let connecting = core.pool.connecting(key);
    let _turn = match &connecting {
        Some(lock) => {
            let turn = lock.lock().await;
            if let Some(sender) = core.pool.take(key).await {
                return Ok(sender);
            }
            Some(turn)
        }
        None => None,
    };
    let slot = core.upstream_slot().await?;
    let sender = connect(upstream, key, &core.limits, slot).await?;
    core.pool.share(key, &sender);
    Ok(sender)
}

/// How waiting for a response's head ended.
pub(crate) enum Waited<T> {
    Done(T),
    TooLate,
    Withdrawn(Denial),
}

/// Waits for a response's head as long as the request's body is still moving, and `limit` after that.
///
/// `kept` is a timer that an earlier request left, and where this one's is left: it fires early and is moved then,
/// which is once in `limit` and not once per request.
pub(crate) async fn wait_for_head<P: Permit, T>(
    limit: Duration,
    kept: &KeptTimer,
    ticket: &mut Ticket<P>,
    sending: impl Future<Output = T>,
) -> Waited<T> {
    let mut sending = std::pin::pin!(sending);
    let exchange = Arc::clone(ticket.exchange());
    let began = Instant::now();
    let mut timer = kept.lock().take();
    let waited = std::future::poll_fn(|cx| {
        if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            return Poll::Ready(Waited::Done(sent));
        }
        if let Poll::Ready(denial) = ticket.poll_withdrawn(cx) {
            return Poll::Ready(Waited::Withdrawn(denial));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        while timer.as_mut().poll(cx).is_ready() {
            let left = limit.saturating_sub(began.elapsed().min(exchange.since_progress()));
            if left.is_zero() {
                return Poll::Ready(Waited::TooLate);
            }
            timer.as_mut().reset(tokio::time::Instant::now() + left);
        }
        Poll::Pending
    })
    .await;
    *kept.lock() = timer.filter(|timer| !timer.is_elapsed());
    waited
}

fn request_failure(exchange: &Exchange) -> Option<Failed> {
    Some(match exchange.take_failure()? {
        RequestFailure::Cut(denial) => Failed::RequestCut(denial),
        RequestFailure::Broke(detail) => Failed::Refused {
            reason: Reason::RequestBodyBroke,
            detail,
        },
    })
}

fn broke(authority: &Authority, exchange: &Exchange, error: &TrySendError<Request<RequestBody>>) -> Failed {
    request_failure(exchange).unwrap_or_else(|| {
        let detail = format!("{authority} broke off before its response: {}", error.error());
        Failed::new(Reason::UpstreamBroke, detail)
    })
}

/// Whether the connection was lost, as one is that the upstream had given up: not by what either side said.
fn was_lost(error: &TrySendError<Request<RequestBody>>) -> bool {
    !error.error().is_parse() && !error.error().is_user()
}

impl Failed {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Refused {
            reason,
            detail: detail.into(),
        }
    }
}

impl Outgoing {
    /// Without a body and of a safe method (RFC 9110 §9.2.1).
    fn is_repeatable(&self) -> bool {
        matches!(self.body, RequestBody::None)
            && matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    fn repeat(&self) -> Self {
        Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: RequestBody::None,
        }
    }

    /// Writes it for one protocol. Where it goes comes from the route, never from what the agent wrote.
    fn into_request(
        mut self,
        route: &Route<'_>,
        http2: bool,
        absolute: bool,
    ) -> Result<Request<RequestBody>, Failed> {
        let mut parts = uri::Parts::default();
        parts.path_and_query = Some(self.target);
        if http2 || absolute {
            parts.scheme = Some(if route.tls { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(route.uri_authority.clone());
        }
        let uri =
            Uri::from_parts(parts).map_err(|error| Failed::new(Reason::BadTarget, error.to_string()))?;
        if http2 {
            self.headers.remove(header::HOST);
        } else {
            self.headers.insert(header::HOST, route.host_header.clone());
        }
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        Ok(request)
    }

    fn from_request(request: Request<RequestBody>) -> Self {
        let (parts, body) = request.into_parts();
        let target = parts.uri.into_parts().path_and_query;
        Self {
            method: parts.method,
            target: target.unwrap_or(PathAndQuery::from_static("/")),
            headers: parts.headers,
            body,
        }
    }
}
