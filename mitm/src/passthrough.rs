//! A tunnel that is not looked into: for hosts that the policy's plan names, and no other.
//!
//! Even here nothing is dialled before the agent has shown a whole ClientHello that names the CONNECT's own host. (Under
//! Encrypted ClientHello that is the outer name, the one that the network sees.) Then the policy gives the leave, the host is
//! dialled like any other, and bytes are copied both ways, each side at the pace of the other, until both have ended or nothing
//! comes for too long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::answer::{self, ALERT_ACCESS_DENIED, ALERT_INTERNAL_ERROR, ALERT_UNRECOGNIZED_NAME};
use crate::core::Core;
use crate::dial::{DialError, dial};
use crate::ending::Ending;
use crate::exchange::{Exchange, Ticket};
use crate::policy::{ConnectRequest, Ended, Forward, Permit, Policy};
use crate::refusal::Reason;
use crate::stream::{Rewound, Stream};
use crate::tunnel::{Tunnel, too_late};

/// The longest ClientHello that is waited for, bytes: several times one with post-quantum key shares.
const HELLO_BYTES: usize = 32 * 1024;
/// How much is read at a time, bytes.
const READ: usize = 16 * 1024;

/// Who ended a tunnel before its time.
#[derive(Clone, Copy, Debug)]
enum Gone {
    Source,
    Sink,
}

/// Serves an admitted CONNECT whose plan is to pass it through.
pub(crate) async fn pass_through<P: Policy>(
    core: &Core<P>,
    mut agent: Rewound<Stream>,
    request: &ConnectRequest<'_>,
    ending: &Ending,
) {
    let received = Instant::now();
    let tunnel = Tunnel::new(core, request.connection, request.authority);
    let limit = core.limits.timeouts.tls;
    let hello = match tokio::time::timeout(limit, hello(&tunnel, &mut agent)).await {
        Ok(Some(hello)) => hello,
        Ok(None) => return,
        Err(_) => {
            tunnel.refuse(Reason::TlsHandshake, &too_late(limit), false);
            return;
        }
    };
    let Forward { permit, upstream } = match core.policy.admit_tunnel(request).await {
        Ok(leave) => leave,
        Err(denial) => {
            tracing::debug!(
                connection = request.connection.0,
                denied = denial.logged,
                "tunnel denied by the policy"
            );
            return answer::write_and_close(&mut agent, ALERT_ACCESS_DENIED).await;
        }
    };
    let mut ticket = Ticket::new(permit, Exchange::new(received), &core.changes);
    // What the agent was answered to its CONNECT.
    ticket.answered(StatusCode::OK);
    let limit = core.limits.timeouts.connect;
    let dialled = match core.upstream_slot().await {
        Ok(slot) => dial(&upstream.dialer, request.authority, true, limit, slot).await,
        Err(none) => Err(none),
    };
    let upstream = match dialled {
        Ok(upstream) => upstream,
        Err(error) => {
            let (reason, detail) = refusal(error, &mut ticket);
            tunnel.refuse_admitted(reason, &detail);
            ticket.end(Ended::Refused(reason));
            return answer::write_and_close(&mut agent, ALERT_INTERNAL_ERROR).await;
        }
    };
    // To connect may have taken seconds.
    let stands = ticket
        .permit()
        .map_or(Ok(()), |permit| permit.still_admitted(request.headers));
    if let Err(denial) = stands {
        ticket.end(Ended::RequestCut {
            logged: denial.logged,
        });
        return answer::write_and_close(&mut agent, ALERT_ACCESS_DENIED).await;
    }
    let agent = Rewound::new(hello, agent);
    relay(agent, upstream, ticket, core, ending).await;
}

/// Reads a whole ClientHello that names the host. None: refused (and reported) or gone.
async fn hello<P: Policy>(tunnel: &Tunnel<'_, P>, agent: &mut Rewound<Stream>) -> Option<Bytes> {
    let mut hello = tunnel.first_bytes(agent).await?;
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    let named = loop {
        let unread = hello.get(seen..).unwrap_or_default();
        let why = match take(&mut acceptor, unread) {
            Ok(Some(named)) => break named,
            Ok(None) if hello.len() < HELLO_BYTES => None,
            Ok(None) => Some(format!("it is longer than {HELLO_BYTES} bytes")),
            Err(detail) => Some(detail),
        };
        if let Some(why) = why {
            let detail = format!("no readable ClientHello: {why}");
            tunnel.refuse(Reason::NotTls, &detail, false);
            return None;
        }
        seen = hello.len();
        hello.reserve(READ);
        if !matches!(agent.read_buf(&mut hello).await, Ok(1..)) {
            return None;
        }
    };
    if let Err((reason, detail)) = tunnel.check_name(named.as_deref()) {
        tunnel.refuse(reason, &detail, false);
        answer::write_and_close(agent, ALERT_UNRECOGNIZED_NAME).await;
        return None;
    }
    Some(hello.freeze())
}

/// Puts the next bytes into the acceptor. Some when the hello is whole: the name in it, if it has one.
fn take(acceptor: &mut Acceptor, mut unread: &[u8]) -> Result<Option<Option<String>>, String> {
    while !unread.is_empty() {
        acceptor
            .read_tls(&mut unread)
            .map_err(|error| error.to_string())?;
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(Some(accepted.client_hello().server_name().map(str::to_owned))),
            Ok(None) => {}
            Err((error, _alert)) => return Err(error.to_string()),
        }
    }
    Ok(None)
}

fn refusal<P: Permit>(error: DialError, ticket: &mut Ticket<P>) -> (Reason, String) {
    match error {
        DialError::Refused { reason, detail } => (reason, detail),
        DialError::ProxyAnswered(response) => {
            if let Some(permit) = ticket.permit() {
                permit.proxy_answered();
            }
            let detail = format!("the upstream proxy refused the tunnel: {}", response.status());
            (Reason::UpstreamUnreachable, detail)
        }
    }
}

/// Copies both ways to the end.
async fn relay<A, U, P: Policy>(
    agent: A,
    upstream: U,
    mut ticket: Ticket<P::Permit>,
    core: &Core<P>,
    ending: &Ending,
) where
    A: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let exchange = Arc::clone(ticket.exchange());
    let (mut from_agent, mut to_agent) = tokio::io::split(agent);
    let (mut from_upstream, mut to_upstream) = tokio::io::split(upstream);
    let timeouts = &core.limits.timeouts;
    let up = copy(&mut from_agent, &mut to_upstream, |bytes| exchange.sent(bytes));
    let down = copy(&mut from_upstream, &mut to_agent, |bytes| {
        exchange.received(bytes);
        exchange.progress();
    });
    tokio::pin!(up, down);
    exchange.progress();
    let drained = drain_time(ending, timeouts.drain);
    tokio::pin!(drained);
    let (mut up_over, mut down_over) = (false, false);
    let ended = loop {
        if up_over && down_over {
            break Ended::Complete;
        }
        let quiet = timeouts.idle.saturating_sub(exchange.since_progress());
        tokio::select! {
            biased;
            over = &mut down, if !down_over => match over {
                Ok(()) => down_over = true,
                Err(Gone::Source) => break Ended::UpstreamBroke,
                Err(Gone::Sink) => break Ended::AgentGone,
            },
            over = &mut up, if !up_over => match over {
                Ok(()) => up_over = true,
                Err(Gone::Source) => break Ended::AgentGone,
                Err(Gone::Sink) => break Ended::UpstreamBroke,
            },
            () = &mut drained => break Ended::Drained,
            denial = ticket.withdrawn() => break Ended::Withdrawn { logged: denial.logged },
            () = tokio::time::sleep(quiet) => {
                if exchange.since_progress() >= timeouts.idle {
                    break Ended::Idle;
                }
            }
        }
    };
    ticket.end(ended);
}

/// Most of the time that a drain leaves: what breaks a tunnel off then is to be told apart from an agent that left.
async fn drain_time(ending: &Ending, drain: Duration) {
    ending.draining().await;
    tokio::time::sleep(drain.mul_f32(0.9)).await;
}

/// Copies until the source has ended, and ends the sink then.
async fn copy<R, W>(source: &mut R, sink: &mut W, passed: impl Fn(u64)) -> Result<(), Gone>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        let read = source.read_buf(&mut buffer).await.map_err(|_| Gone::Source)?;
        if read == 0 {
            return sink.shutdown().await.map_err(|_| Gone::Sink);
        }
        while buffer.has_remaining() {
            let written = sink.write_buf(&mut buffer).await.map_err(|_| Gone::Sink)?;
            if written == 0 {
                return Err(Gone::Sink);
            }
            passed(written as u64);
        }
    }
}
