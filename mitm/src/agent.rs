//! One agent connection: its first head, CONNECT, and the requests that follow on either leg.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::activity::Activity;
use crate::ahead;
use crate::answer::{self, ESTABLISHED};
use crate::authority::Authority;
use crate::connect::{CONNECTION_WINDOW, READ_AT_ONCE, STREAM_WINDOW};
use crate::core::Core;
use crate::ending::Ending;
use crate::gate::{Gate, Stop};
use crate::head::{ConnectHead, HeadError, Leg};
use crate::passthrough::pass_through;
use crate::policy::{ConnectPlan, ConnectRequest, ConnectionId, Policy, WayIn};
use crate::refusal::{Reason, Refusal};
use crate::request::AgentLeg;
use crate::stream::{Rewound, Stream};
use crate::tunnel::{Intercepted, intercept};
use crate::websocket::session;

/// How long an idle HTTP/2 agent may take to answer GOAWAY.
const HINT: Duration = Duration::from_secs(5);

/// Serves one accepted connection to its end.
pub(crate) async fn serve<P: Policy>(
    core: Arc<Core<P>>,
    stream: Stream,
    connection: ConnectionId,
    ending: Arc<Ending>,
) {
    let activity = Activity::new();
    let limits = &core.limits;
    let mut gate = Gate::new(
        stream,
        Leg::Plain,
        limits.head_bytes,
        limits.timeouts.head,
        Arc::clone(&activity),
    );
    tokio::select! {
        biased;
        first = gate.first_head() => {
            if !matches!(first, Ok(true)) {
                return;
            }
        }
        () = ending.draining() => return,
    }
    let mut stop = gate.take_stop();
    if stop.is_none() {
        let leg = AgentLeg::plain(Arc::clone(&core), connection, Arc::clone(&activity));
        gate = serve_http1(gate, leg, &ending).await;
        stop = gate.take_stop();
    }
    let (mut stream, unread) = gate.into_parts();
    match stop {
        None => {}
        Some(Stop::Refused(error)) => {
            answer_refused_head(&core, &mut stream, connection, None, &error).await;
        }
        Some(Stop::Connect(head)) => {
            let stream = Rewound::new(unread, stream);
            serve_connect(core, stream, connection, head, activity, ending).await;
        }
    }
}

/// Answers a head that the gate refused.
async fn answer_refused_head<P: Policy, IO: AsyncRead + AsyncWrite + Unpin>(
    core: &Core<P>,
    io: &mut IO,
    connection: ConnectionId,
    tunnel: Option<&Authority>,
    error: &HeadError,
) {
    let answer = core.refuse(&Refusal {
        reason: error.reason,
        detail: &error.detail,
        connection,
        way_in: tunnel.map(|_| WayIn::TunnelHttp1),
        authority: tunnel,
        method: error.method.as_ref(),
        target: error.target.as_deref(),
        admitted: false,
        answerable: true,
    });
    answer::answer_and_close(io, &answer).await;
}

// === CONNECT ===

async fn serve_connect<P: Policy>(
    core: Arc<Core<P>>,
    mut stream: Rewound<Stream>,
    connection: ConnectionId,
    head: ConnectHead,
    activity: Arc<Activity>,
    ending: Arc<Ending>,
) {
    let ConnectHead { authority, headers } = head;
    let request = ConnectRequest {
        connection,
        authority: &authority,
        headers: &headers,
    };
    let plan = match core.policy.connect(&request) {
        Ok(plan) => plan,
        Err(denial) => {
            tracing::debug!(
                connection = connection.0,
                denied = denial.logged,
                "CONNECT denied by the policy"
            );
            return answer::answer_and_close(&mut stream, &denial.told_agent).await;
        }
    };
    let begun = match plan {
        ConnectPlan::Intercept { .. } => ahead::begin(&core, &authority),
        ConnectPlan::Passthrough => None,
    };
    if stream.write_all(ESTABLISHED).await.is_err() {
        return;
    }
    let http2 = match plan {
        ConnectPlan::Intercept { http2 } => http2,
        ConnectPlan::Passthrough => return pass_through(&core, stream, &request, &ending).await,
    };
    let Some(Intercepted { stream, http2, ahead }) =
        intercept(&core, stream, connection, &authority, http2, begun).await
    else {
        return;
    };
    let Some(leg) = AgentLeg::tunnel(
        Arc::clone(&core),
        connection,
        Arc::clone(&activity),
        authority.clone(),
        http2,
        ahead,
    ) else {
        return;
    };
    if http2 {
        return serve_http2(stream, leg, &ending).await;
    }
    let limits = &core.limits;
    let gate = Gate::new(
        stream,
        Leg::Tunnel,
        limits.head_bytes,
        limits.timeouts.head,
        activity,
    );
    let mut gate = serve_http1(gate, Arc::clone(&leg), &ending).await;
    if let Some(switched) = leg.take_switched() {
        let (stream, unread) = gate.into_parts();
        return session::run(switched, Rewound::new(unread, stream), limits, &ending).await;
    }
    match gate.take_stop() {
        Some(Stop::Refused(error)) => {
            let (mut stream, _) = gate.into_parts();
            answer_refused_head(&core, &mut stream, connection, Some(&authority), &error).await;
        }
        // The gate judges CONNECT on either leg; inside a tunnel it leads nowhere.
        Some(Stop::Connect(_)) => {
            let error = HeadError::new(
                Reason::MethodNotSupported,
                "CONNECT inside a CONNECT tunnel is not supported",
            );
            let (mut stream, _) = gate.into_parts();
            answer_refused_head(&core, &mut stream, connection, Some(&authority), &error).await;
        }
        None => {}
    }
}

// === requests ===

/// Serves HTTP/1 until either side ends it, and hands back the gate, which knows why.
async fn serve_http1<P: Policy, IO>(gate: Gate<IO>, leg: Arc<AgentLeg<P>>, ending: &Ending) -> Gate<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::clone(&leg.activity);
    let keep_alive = leg.core.limits.timeouts.keep_alive;
    let max_head = leg.core.limits.head_bytes;
    let service = service_fn(move |request| {
        let leg = Arc::clone(&leg);
        async move { Ok::<_, Infallible>(leg.handle(request).await) }
    });
    // Head time-outs, sizes and idle connections are the gate's and the driver's; hyper sets no timer.
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .auto_date_header(false)
        .max_buf_size(READ_AT_ONCE.max(max_head))
        .serve_connection(TokioIo::new(gate), service);
    // What went wrong in HTTP/1 the gate knows better.
    let _ = drive(
        &mut served,
        |served| Pin::new(served).graceful_shutdown(),
        &activity,
        keep_alive,
        ending,
    )
    .await;
    // Nothing is left in hyper's own buffer: the gate gives it the bytes of one request only.
    served.into_parts().io.into_inner()
}

async fn serve_http2<P: Policy, IO>(io: IO, leg: Arc<AgentLeg<P>>, ending: &Ending)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::clone(&leg.activity);
    let kept = Arc::clone(&leg);
    let keep_alive = leg.core.limits.timeouts.keep_alive;
    let head_bytes = u32::try_from(leg.core.limits.head_bytes).unwrap_or(u32::MAX);
    let streams = leg.core.limits.streams;
    let service = service_fn(move |request| {
        let leg = Arc::clone(&leg);
        async move { Ok::<_, Infallible>(leg.handle(request).await) }
    });
    let mut served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(streams)
        .max_header_list_size(head_bytes)
        .serve_connection(TokioIo::new(io), service);
    let ended = drive(
        &mut served,
        |served| Pin::new(served).graceful_shutdown(),
        &activity,
        keep_alive,
        ending,
    )
    .await;
    if let Err(error) = ended
        && let Some(detail) = broke_http2(&error)
    {
        kept.refuse_connection(Reason::BadHttp2, &detail);
    }
}

/// What the agent did against the protocol, if that is why its connection ended.
fn broke_http2(error: &hyper::Error) -> Option<String> {
    let source = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    let reason = source.reason().filter(|reason| *reason != h2::Reason::NO_ERROR)?;
    let ours = source.is_library() && source.is_go_away();
    ours.then(|| format!("the connection's frames break HTTP/2: {reason}"))
}

/// Runs a connection; ends it gently when the proxy drains or when it had no request for too long, and harshly
/// when an idle one does not take the hint. Gives the error with which it ended.
async fn drive<C, E>(
    served: &mut C,
    end_gently: impl Fn(&mut C),
    activity: &Activity,
    keep_alive: Duration,
    ending: &Ending,
) -> Result<(), E>
where
    C: Future<Output = Result<(), E>> + Unpin,
    E: std::fmt::Display,
{
    let mut idle = pin!(tokio::time::sleep(keep_alive));
    let mut hinted = false;
    let mut ends = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut *served => {
                if let Err(error) = &ended {
                    tracing::debug!(%error, "agent connection ended");
                }
                return ended;
            }
            () = ending.draining(), if !ends => {
                ends = true;
                end_gently(served);
            }
            () = &mut idle => {
                let rest = activity.idle_for().map_or(keep_alive, |idle| keep_alive.saturating_sub(idle));
                if !rest.is_zero() {
                    idle.set(tokio::time::sleep(rest));
                } else if hinted {
                    return Ok(());
                } else {
                    hinted = true;
                    ends = true;
                    end_gently(served);
                    idle.set(tokio::time::sleep(keep_alive.min(HINT)));
                }
            }
        }
    }
}
