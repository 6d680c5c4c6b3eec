//! The bodies that hyper is given: an agent's on its way upstream, an upstream's on its way to the agent.
//!
//! They are never collected. Whatever goes wrong ends a body with an error, which hyper turns into a stream that
//! is visibly broken off (no last chunk, fewer bytes than announced, RST_STREAM, no close_notify); a short body
//! does not look complete. Only HTTP/1.0 in the clear cannot tell: there the end of a body of unknown length is
//! the end of the connection, however it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::activity::UnderWay;
use crate::exchange::{Exchange, RequestFailure, Ticket};
use crate::flow::{Broken, Flow};
use crate::inspect::Inspector;
use crate::policy::{Denial, Ended, LocalResponse, Permit};
use crate::pool::Lease;

/// A body was broken off on purpose. Who needs to know why was told elsewhere.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body was broken off")]
pub(crate) struct BrokenOff;

// === agent to upstream ===

/// The body of a request on its way upstream.
pub(crate) enum RequestBody {
    None,
    Some(Box<RequestFlow>),
}

pub(crate) struct RequestFlow {
    flow: Flow,
    exchange: Arc<Exchange>,
}

impl RequestBody {
    pub(crate) fn new(
        inner: Incoming,
        inspector: Option<Box<dyn Inspector>>,
        idle: Duration,
        exchange: &Arc<Exchange>,
    ) -> Self {
        if inner.is_end_stream() {
            exchange.request_over();
            return Self::None;
        }
        Self::Some(Box::new(RequestFlow {
            // Many servers merge them into the head, which was judged without them; gRPC has none in requests, and RFC 9110
            // §6.5.1 lets them be discarded.
            flow: Flow::new(inner, inspector, idle).without_trailers(),
            exchange: Arc::clone(exchange),
        }))
    }

    /// Waits until the inspector lets something through, if it wants the head to wait for that. What goes
    /// wrong is found in the exchange.
    pub(crate) async fn defer_head(&mut self) -> Result<(), BrokenOff> {
        let Self::Some(request) = self else { return Ok(()) };
        if !request.flow.defers_head() {
            return Ok(());
        }
        let first = request.flow.first_frame().await;
        first.map_err(|broken| request.fail(broken))
    }
}

impl RequestFlow {
    fn withdraw(&mut self, denial: Denial) -> BrokenOff {
        self.exchange.withdrawn(denial);
        BrokenOff
    }

    fn fail(&mut self, broken: Broken) -> BrokenOff {
        self.exchange.fail(match broken {
            Broken::Cut(cut) => RequestFailure::Cut(cut.denial),
            Broken::Transport(error) => RequestFailure::Broke(format!(
                "the request's body is malformed or incomplete: {}",
                root(&error)
            )),
            Broken::Idle => {
                let seconds = self.flow.idle().as_secs_f32();
                RequestFailure::Broke(format!("no byte of the request's body for {seconds} s"))
            }
        });
        BrokenOff
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Self::Some(request) = &mut *self else {
            return Poll::Ready(None);
        };
        if request.exchange.is_given_up() {
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        if let Some(denial) = request.exchange.withdrawn_now() {
            return Poll::Ready(Some(Err(request.withdraw(denial))));
        }
        let Poll::Ready(next) = request.flow.poll(cx) else {
            let denial = ready!(request.exchange.poll_withdrawn(cx));
            return Poll::Ready(Some(Err(request.withdraw(denial))));
        };
        match next {
            Some(Ok(frame)) => {
                request
                    .exchange
                    .sent(frame.data_ref().map_or(0, Bytes::len) as u64);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(broken)) => Poll::Ready(Some(Err(request.fail(broken)))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Some(request) => request.flow.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Some(request) => request.flow.size_hint(),
        }
    }
}

impl Drop for RequestFlow {
    fn drop(&mut self) {
        self.exchange.request_over();
    }
}

// === upstream to agent ===

/// The body of an answer on its way to the agent.
pub(crate) struct ResponseBody<P: Permit> {
    kind: Kind<P>,
    /// None: someone else keeps it.
    _under_way: Option<UnderWay>,
}

enum Kind<P: Permit> {
    Whole(Option<Bytes>),
    Upstream(Box<ResponseFlow<P>>),
}

struct ResponseFlow<P: Permit> {
    flow: Flow,
    ticket: Ticket<P>,
    lease: Option<Lease>,
}

impl<P: Permit> ResponseBody<P> {
    /// An answer of our own.
    pub(crate) fn local(answer: LocalResponse, under_way: UnderWay) -> http::Response<Self> {
        answer.map(|body| Self {
            kind: Kind::Whole((!body.is_empty()).then_some(body)),
            _under_way: Some(under_way),
        })
    }

    /// What follows the head of a 101. The request stays under way until what it switched to is over, so that
    /// no bytes after it are taken for a request.
    pub(crate) fn switching() -> Self {
        Self {
            kind: Kind::Whole(None),
            _under_way: None,
        }
    }

    /// An upstream's answer. It ends the exchange, and gives the connection back when it is over.
    pub(crate) fn upstream(
        inner: Incoming,
        inspector: Option<Box<dyn Inspector>>,
        idle: Duration,
        mut ticket: Ticket<P>,
        lease: Option<Lease>,
        under_way: UnderWay,
    ) -> Self {
        let kind = if inner.is_end_stream() {
            // No one will poll this body; the answer is complete with its head.
            give_back(lease, &ticket);
            ticket.complete(idle);
            Kind::Whole(None)
        } else {
            Kind::Upstream(Box::new(ResponseFlow {
                flow: Flow::new(inner, inspector, idle),
                ticket,
                lease,
            }))
        };
        Self {
            kind,
            _under_way: Some(under_way),
        }
    }
}

impl<P: Permit> ResponseFlow<P> {
    fn complete(&mut self) {
        give_back(self.lease.take(), &self.ticket);
        let idle = self.flow.idle();
        self.ticket.complete(idle);
    }

    fn withdraw(&mut self, denial: Denial) -> BrokenOff {
        self.ticket.end(Ended::Withdrawn {
            logged: denial.logged,
        });
        BrokenOff
    }

    fn fail(&mut self, broken: Broken) -> BrokenOff {
        // When the request's body was cut the upstream's answer breaks as a consequence.
        let of_request = self.ticket.exchange().failed();
        let ended = of_request.unwrap_or(match broken {
            Broken::Cut(cut) => Ended::ResponseCut {
                logged: cut.denial.logged,
            },
            Broken::Transport(_) => Ended::UpstreamBroke,
            Broken::Idle => Ended::Idle,
        });
        self.ticket.end(ended);
        BrokenOff
    }
}

/// A connection whose request is still being sent is not given back: it is let go when that is over.
fn give_back<P: Permit>(lease: Option<Lease>, ticket: &Ticket<P>) {
    if ticket.exchange().is_request_over()
        && let Some(lease) = lease
    {
        lease.give_back();
    }
}

impl<P: Permit> Body for ResponseBody<P>
where
    Self: Unpin,
{
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let response = match &mut self.kind {
            Kind::Whole(body) => return Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Upstream(response) => response,
        };
        if let Some(denial) = response.ticket.withdrawn_now() {
            return Poll::Ready(Some(Err(response.withdraw(denial))));
        }
        let Poll::Ready(next) = response.flow.poll(cx) else {
            let denial = ready!(response.ticket.poll_withdrawn(cx));
            return Poll::Ready(Some(Err(response.withdraw(denial))));
        };
        match next {
            Some(Ok(frame)) => {
                response
                    .ticket
                    .received(frame.data_ref().map_or(0, Bytes::len) as u64);
                // A body of known length is dropped after its last frame without another poll.
                if response.flow.is_over() {
                    response.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(broken)) => Poll::Ready(Some(Err(response.fail(broken)))),
            None => {
                response.complete();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(body) => body.is_none(),
            Kind::Upstream(response) => response.flow.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Upstream(response) => response.flow.size_hint(),
        }
    }
}

/// The innermost cause, which says most.
fn root(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
