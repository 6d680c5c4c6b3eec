//! WebSocket: a real peer on either side, and nothing between them that was not looked at.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use mitm::{CloseReason, Cut, Ended, MessageInspector, MessageInspectors, Released};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use crate::harness::*;

pub(crate) type Socket = WebSocketStream<Box<dyn Io>>;

/// What an origin of [`echo`] tells of: each upgrade's headers, then each message.
#[derive(Debug, PartialEq)]
pub(crate) enum Got {
    Upgrade(HeaderMap),
    Message(Message),
    End,
}

/// Sends every message back, and tells of it.
pub(crate) async fn echo() -> (Origin, mpsc::UnboundedReceiver<Got>) {
    let (tell, told) = mpsc::unbounded_channel();
    let script = move |io: Box<dyn Io>| {
        let tell = tell.clone();
        async move {
            let upgrade = tell.clone();
            let accepted = accept_hdr_async(io, move |request: &Request, mut response: Response| {
                let _ = upgrade.send(Got::Upgrade(request.headers().clone()));
                if let Some(protocol) = request.headers().get("sec-websocket-protocol") {
                    let protocol = protocol.clone();
                    response.headers_mut().insert("sec-websocket-protocol", protocol);
                }
                Ok(response)
            });
            let mut socket = accepted.await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                let _ = tell.send(Got::Message(message.clone()));
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
            let _ = tell.send(Got::End);
        }
    };
    (Origin::tls(&[b"h2", b"http/1.1"], serve_raw(script)).await, told)
}

pub(crate) async fn tunnel(bench: &Bench, name: &str) -> Agent {
    let agent = bench.agent().await;
    agent.tunnel(name, &bench.authority, &[b"http/1.1"]).await
}

pub(crate) async fn open(bench: &Bench, name: &str) -> Socket {
    let agent = tunnel(bench, name).await;
    let upgrading = client_async(format!("wss://{name}/chat?room=1"), agent.io);
    within(upgrading).await.unwrap().0
}

/// The next message; none at the end, however it came.
pub(crate) async fn next(socket: &mut Socket) -> Option<Message> {
    within(socket.next()).await.and_then(Result::ok)
}

/// The close frame that comes next says whose reason it is, whole characters of it in no more than fits.
async fn cut_with_a_reason(socket: &mut Socket) {
    let Some(Message::Close(Some(CloseFrame { code, reason }))) = next(socket).await else {
        panic!("expected a close frame")
    };
    assert_eq!(u16::from(code), 1008);
    assert!(reason.starts_with("found it"), "{reason}");
    assert_eq!(reason.len(), 122);
}

/// The code of the close frame that comes next.
pub(crate) async fn closed_with(socket: &mut Socket) -> Option<u16> {
    match next(socket).await {
        Some(Message::Close(Some(CloseFrame { code, .. }))) => Some(code.into()),
        other => panic!("expected a close frame, got {other:?}"),
    }
}

/// What the policy was told at the end, after CONNECT and the admission.
pub(crate) async fn outcome(bench: &mut Bench) -> mitm::Outcome {
    bench.event().await;
    bench.event().await.admitted();
    let outcome = bench.event().await.finished();
    bench.no_event();
    outcome
}

/// Cuts where `NEEDLE` stands, in a message or over some; holds its beginnings, also at the end of a message.
struct Watch {
    held: Vec<u8>,
}

pub(crate) const NEEDLE: &[u8] = b"secret";

pub(crate) fn watching() -> Script {
    let mut script = Script::direct(TestAuthority::new("unused").client(&[]));
    script.messages = Some(Arc::new(|| MessageInspectors {
        up: Some(Box::new(Watch { held: Vec::new() })),
        down: Some(Box::new(Watch { held: Vec::new() })),
    }));
    script
}

impl MessageInspector for Watch {
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut> {
        self.held.extend_from_slice(&data);
        if self.held.windows(NEEDLE.len()).any(|window| window == NEEDLE) {
            let mut denial = denial(403, "found it");
            let reason = CloseReason(format!("found it{}", "é".repeat(100)));
            denial.told_agent.extensions_mut().insert(reason);
            return Err(Cut { denial });
        }
        let hold = (0..NEEDLE.len()).rfind(|&length| self.held.ends_with(&NEEDLE[..length]));
        let free = self.held.len() - hold.unwrap_or(0);
        released.push(self.held.drain(..free).collect::<Vec<_>>().into());
        Ok(())
    }

    fn message_end(&mut self, _released: &mut Released) -> Result<(), Cut> {
        Ok(())
    }

    fn overdue(&mut self, released: &mut Released) -> Result<(), Cut> {
        released.push(std::mem::take(&mut self.held).into());
        Ok(())
    }

    fn control(&mut self, payload: &[u8]) -> Result<(), Cut> {
        Watch { held: Vec::new() }.push(Bytes::copy_from_slice(payload), &mut Released::default())
    }

    fn finish(&mut self, released: &mut Released) -> Result<(), Cut> {
        self.overdue(released)
    }
}

fn script_for(origin: &Origin, inspected: bool) -> Script {
    let mut script = Script::direct(origin.trust());
    if inspected {
        script.messages = watching().messages;
    }
    script
}

#[tokio::test]
async fn messages_of_every_kind_and_size_come_back_unchanged() {
    for inspected in [false, true] {
        let (origin, _told) = echo().await;
        let mut bench = Bench::start(script_for(&origin, inspected)).await;
        let mut socket = open(&bench, &origin.name()).await;
        let mut bytes = 0;
        for length in [0, 1, 125, 126, 65_535, 65_536, 70_000, 1_000_003] {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for message in [Message::binary(payload), Message::text("x".repeat(length))] {
                socket.send(message.clone()).await.unwrap();
                assert_eq!(next(&mut socket).await, Some(message), "{length}");
                bytes += length as u64;
            }
        }
        socket.close(None).await.unwrap();
        assert!(matches!(next(&mut socket).await, Some(Message::Close(_))));
        let outcome = outcome(&mut bench).await;
        assert_eq!((outcome.bytes_up, outcome.bytes_down), (bytes, bytes));
        assert_eq!(outcome.ended, Ended::Complete);
        assert_eq!(outcome.status.unwrap(), 101);
    }
}

#[tokio::test]
async fn a_secret_is_cut_however_it_is_split_and_its_last_byte_stays() {
    let part = |text: &'static str, opcode, last| Frame::message(text, OpCode::Data(opcode), last);
    let cases = [
        vec![part("my secret!", Data::Text, true)],
        vec![part("my secret!", Data::Binary, true)],
        vec![
            part("a sec", Data::Text, false),
            part("re", Data::Continue, false),
            part("t", Data::Continue, true),
        ],
        vec![
            part("sec", Data::Text, true),
            part("r", Data::Binary, true),
            part("", Data::Text, true),
            part("et", Data::Text, true),
        ],
    ];
    for frames in cases {
        let (origin, mut told) = echo().await;
        let mut bench = Bench::start(script_for(&origin, true)).await;
        let mut socket = open(&bench, &origin.name()).await;
        let what = format!("{frames:?}");
        for frame in frames {
            socket.send(Message::Frame(frame)).await.unwrap();
        }
        cut_with_a_reason(&mut socket).await;
        let outcome = outcome(&mut bench).await;
        let logged = "found it".to_owned();
        assert_eq!(outcome.ended, Ended::RequestCut { logged }, "{what}");
        assert!(outcome.bytes_up < 6, "{what}");
        within(told.recv()).await;
        assert_eq!(within(told.recv()).await, Some(Got::End), "{what}");
    }
}

#[tokio::test]
async fn a_secret_in_a_ping_does_not_leave() {
    let (origin, mut told) = echo().await;
    let mut bench = Bench::start(script_for(&origin, true)).await;
    let mut socket = open(&bench, &origin.name()).await;
    socket.send(Message::Ping("a secret".into())).await.unwrap();
    assert_eq!(closed_with(&mut socket).await, Some(1008));
    assert!(matches!(
        outcome(&mut bench).await.ended,
        Ended::RequestCut { .. }
    ));
    within(told.recv()).await;
    assert_eq!(within(told.recv()).await, Some(Got::End));
}

#[tokio::test]
async fn what_an_upstream_sends_is_looked_at_too() {
    let script = |io: Box<dyn Io>| async move {
        let mut socket = tokio_tungstenite::accept_async(io).await.unwrap();
        for text in ["hello", "my sec", "ret is out"] {
            socket.send(Message::text(text)).await.unwrap();
        }
        while let Some(Ok(_)) = socket.next().await {}
    };
    let origin = Origin::tls(&[b"http/1.1"], serve_raw(script)).await;
    let mut bench = Bench::start(script_for(&origin, true)).await;
    let mut socket = open(&bench, &origin.name()).await;
    assert_eq!(next(&mut socket).await, Some(Message::text("hello")));
    assert_eq!(closed_with(&mut socket).await, Some(1008));
    let outcome = outcome(&mut bench).await;
    assert!(matches!(outcome.ended, Ended::ResponseCut { .. }));
    assert_eq!(outcome.bytes_down, "hellomy ".len() as u64);
}

#[tokio::test]
async fn the_end_of_a_message_that_is_held_comes_when_nothing_follows() {
    let (origin, _told) = echo().await;
    let bench = Bench::start(script_for(&origin, true)).await;
    let mut socket = open(&bench, &origin.name()).await;
    for text in ["yes", "sec"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(next(&mut socket).await, Some(Message::text(text)));
    }
}

#[tokio::test]
async fn a_ping_is_answered_by_the_other_side_and_overtakes_a_held_end() {
    let (origin, mut told) = echo().await;
    let bench = Bench::start(script_for(&origin, true)).await;
    let mut socket = open(&bench, &origin.name()).await;
    socket.send(Message::text("se")).await.unwrap();
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(
        next(&mut socket).await,
        Some(Message::Pong("are you there".into()))
    );
    within(told.recv()).await;
    assert_eq!(
        within(told.recv()).await,
        Some(Got::Message(Message::Ping("are you there".into())))
    );
    assert_eq!(next(&mut socket).await, Some(Message::text("se")));
}

#[tokio::test]
async fn frames_that_come_with_the_upgrade_are_not_lost() {
    let (origin, mut told) = echo().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = tunnel(&bench, &name).await;
    let mut bytes = upgrade(&name).into_bytes();
    bytes.extend(b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0");
    agent.send(bytes).await;
    assert_eq!(read_head(&mut agent).await.unwrap().0, 101);
    assert_eq!(&agent.rest().await[..4], b"\x81\x02hi");
    within(told.recv()).await;
    assert_eq!(within(told.recv()).await, Some(Got::Message(Message::text("hi"))));
}

pub(crate) fn upgrade(name: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}
