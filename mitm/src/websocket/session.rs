//! A WebSocket from its 101 to its end, on the agent connection's own task.
//!
//! It ends in one of these ways, and says so with a close frame where someone is left to read it: both sides
//! have closed; one side is gone; one breaks the protocol (1002 to that one); an inspector cuts (1008 to the
//! agent, and the upstream is dropped without a word); nothing comes for too long or the proxy goes down (1001
//! to both).

use std::borrow::Cow;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::activity::UnderWay;
use crate::answer;
use crate::ending::Ending;
use crate::exchange::Ticket;
use crate::inspect::{CloseReason, MessageInspectors};
use crate::limits::Limits;
use crate::policy::{Denial, Ended, Permit};
use crate::refusal::Reason;
use crate::websocket::direction::{Direction, Over};
use crate::websocket::frame::{Control, Origin};
use crate::websocket::handshake::UpstreamIo;

/// The longest text of a close frame: a control frame's 125 bytes without the code (RFC 6455 §5.5).
const REASON_BYTES: usize = 123;

const HELD_TOO_MUCH: &str = "the inspector holds too many messages";

/// How long the second close frame may take after the first.
const CLOSING: Duration = Duration::from_secs(5);

/// What an agent connection becomes after a 101.
pub(crate) struct Switched<P: Permit> {
    pub(crate) upstream: UpstreamIo,
    pub(crate) ticket: Ticket<P>,
    pub(crate) inspectors: MessageInspectors,
    pub(crate) under_way: UnderWay,
}

/// What a close frame says.
#[derive(Clone, Debug)]
struct Farewell(u16, Cow<'static, str>);

const GOING_DOWN: Farewell = Farewell(1001, Cow::Borrowed("the proxy is going down"));
const IDLE: Farewell = Farewell(1001, Cow::Borrowed("idle for too long"));
const OTHER_SIDE_GONE: Farewell = Farewell(1001, Cow::Borrowed("the other side is gone"));
const PROTOCOL: Farewell = Farewell(1002, Cow::Borrowed("protocol error"));
const POLICY: Farewell = Farewell(1008, Cow::Borrowed("refused by the proxy's policy"));
const UPSTREAM: Farewell = Farewell(1011, Cow::Borrowed("the upstream broke the protocol"));

/// What is left to be done with a side.
#[derive(Debug)]
enum Parting {
    /// Close it, with a close frame if it has not had one.
    Say(Farewell),
    /// Both close frames were exchanged, or no one sends one any more.
    Close,
    /// Break it off.
    Drop,
}

/// One side's connection.
struct Side<IO> {
    source: ReadHalf<IO>,
    sink: WriteHalf<IO>,
}

/// How a session ends: what is reported, and what either side gets.
struct End {
    ended: Ended,
    agent: Parting,
    upstream: Parting,
}

/// Runs it.
pub(crate) async fn run<P, IO>(switched: Switched<P>, agent: IO, limits: &Limits, ending: &Ending)
where
    P: Permit,
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let Switched {
        upstream,
        mut ticket,
        inspectors,
        under_way,
    } = switched;
    let exchange = ticket.exchange();
    let mut up = Direction::new(Origin::Client, inspectors.up, exchange);
    let mut down = Direction::new(Origin::Server, inspectors.down, exchange);
    exchange.progress();
    let mut agent = Side::new(agent);
    let mut upstream = Side::new(upstream);
    let idle = limits.timeouts.idle;
    let mut closing = None;
    let end = loop {
        let (up_over, down_over) = (up.is_closed(), down.is_closed());
        if up_over && down_over {
            break End::new(Ended::Complete, Parting::Close, Parting::Close);
        }
        let quiet = idle.saturating_sub(ticket.exchange().since_progress());
        let ended = tokio::select! {
            biased;
            // This one first: an upstream's close frame counts even when writing to it has failed since.
            over = down.pump(&mut upstream.source, &mut agent.sink), if !down_over => {
                from_upstream(over, up_over)
            }
            over = up.pump(&mut agent.source, &mut upstream.sink), if !up_over => from_agent(over, down_over),
            denial = ticket.withdrawn() => {
                let told_agent = why(&denial);
                Some(End::cut(told_agent, Ended::Withdrawn { logged: denial.logged }))
            }
            () = ending.draining() => Some(End::both(Ended::Drained, GOING_DOWN)),
            () = tokio::time::sleep_until(closing.unwrap_or_else(Instant::now)), if closing.is_some() => {
                Some(End::new(Ended::Complete, Parting::Close, Parting::Close))
            }
            () = tokio::time::sleep(quiet) => (ticket.exchange().since_progress() >= idle)
                .then(|| End::both(Ended::Idle, IDLE)),
        };
        if let Some(end) = ended {
            break end;
        }
        if up.is_closed() || down.is_closed() {
            closing.get_or_insert_with(|| Instant::now() + CLOSING);
        }
    };
    ticket.end(end.ended);
    drop(under_way);
    // A broken-off side first: it must not learn anything from how long the other takes.
    match end.upstream {
        Parting::Drop => {
            drop(upstream);
            agent.part(end.agent, &mut down).await;
        }
        parting => {
            tokio::join!(agent.part(end.agent, &mut down), upstream.part(parting, &mut up));
        }
    }
}

/// None: the session goes on with the other direction.
fn from_agent(over: Over, other_closed: bool) -> Option<End> {
    Some(match over {
        Over::Closed => return None,
        Over::SourceGone | Over::SinkGone if other_closed => {
            End::new(Ended::Complete, Parting::Close, Parting::Close)
        }
        Over::SourceGone => End::new(Ended::AgentGone, Parting::Drop, Parting::Say(OTHER_SIDE_GONE)),
        Over::SinkGone => End::new(Ended::UpstreamBroke, Parting::Drop, Parting::Drop),
        Over::Protocol(error) => {
            tracing::debug!(%error, "an agent's WebSocket frames");
            End::new(
                Ended::Refused(Reason::BadWebsocket),
                Parting::Say(PROTOCOL),
                Parting::Say(OTHER_SIDE_GONE),
            )
        }
        Over::Cut(cut) => End::cut(
            why(&cut.denial),
            Ended::RequestCut {
                logged: cut.denial.logged,
            },
        ),
        Over::HeldTooMuch => End::cut(
            POLICY,
            Ended::RequestCut {
                logged: HELD_TOO_MUCH.to_owned(),
            },
        ),
        Over::NoRandomness => End::new(Ended::UpstreamBroke, Parting::Drop, Parting::Drop),
    })
}

/// None: the session goes on with the other direction.
fn from_upstream(over: Over, other_closed: bool) -> Option<End> {
    Some(match over {
        Over::Closed => return None,
        Over::SourceGone | Over::SinkGone if other_closed => {
            End::new(Ended::Complete, Parting::Close, Parting::Close)
        }
        Over::SourceGone => End::new(Ended::UpstreamBroke, Parting::Drop, Parting::Drop),
        Over::SinkGone => End::new(Ended::AgentGone, Parting::Drop, Parting::Say(OTHER_SIDE_GONE)),
        Over::Protocol(error) => {
            tracing::debug!(%error, "an upstream's WebSocket frames");
            End::new(
                Ended::UpstreamBroke,
                Parting::Say(UPSTREAM),
                Parting::Say(PROTOCOL),
            )
        }
        Over::Cut(cut) => End::cut(
            why(&cut.denial),
            Ended::ResponseCut {
                logged: cut.denial.logged,
            },
        ),
        Over::HeldTooMuch => End::cut(
            POLICY,
            Ended::ResponseCut {
                logged: HELD_TOO_MUCH.to_owned(),
            },
        ),
        Over::NoRandomness => End::new(Ended::UpstreamBroke, Parting::Drop, Parting::Drop),
    })
}

/// What the agent is told of a denial.
fn why(denial: &Denial) -> Farewell {
    match denial.told_agent.extensions().get::<CloseReason>() {
        Some(CloseReason(reason)) => {
            let end = (0..=REASON_BYTES).rfind(|&end| reason.is_char_boundary(end));
            let said = reason.get(..end.unwrap_or(0)).unwrap_or_default();
            Farewell(POLICY.0, said.to_owned().into())
        }
        None => POLICY,
    }
}

impl End {
    fn new(ended: Ended, agent: Parting, upstream: Parting) -> Self {
        Self {
            ended,
            agent,
            upstream,
        }
    }

    /// Nothing more goes to the upstream, and the agent is told.
    fn cut(told_agent: Farewell, ended: Ended) -> Self {
        Self::new(ended, Parting::Say(told_agent), Parting::Drop)
    }

    fn both(ended: Ended, farewell: Farewell) -> Self {
        Self::new(ended, Parting::Say(farewell.clone()), Parting::Say(farewell))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Side<IO> {
    fn new(io: IO) -> Self {
        let (source, sink) = tokio::io::split(io);
        Self { source, sink }
    }

    /// Closes this side, to which `direction` leads.
    async fn part(mut self, parting: Parting, direction: &mut Direction) {
        match parting {
            Parting::Drop => return,
            Parting::Close => {}
            Parting::Say(Farewell(code, text)) => {
                if !direction.is_closed() {
                    let payload = [&code.to_be_bytes(), text.as_bytes()].concat();
                    if direction.reframer.control(Control::Close, &payload).is_err() {
                        return;
                    }
                }
            }
        }
        // What is still to be written stands before it, in whole frames but for the first, which was begun.
        let last: BytesMut = std::mem::take(&mut direction.reframer.out);
        let mut io = tokio::io::join(&mut self.source, &mut self.sink);
        answer::write_and_close(&mut io, &last).await;
    }
}
