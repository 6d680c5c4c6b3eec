//! How a WebSocket ends, and that both sides are told.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mitm::{Ended, Limits, Reason};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;

use crate::harness::*;
use crate::websocket::{Got, closed_with, echo, next, open, outcome, tunnel, upgrade};

const SOON: Duration = Duration::from_millis(50);

/// An origin that answers the upgrade and then sends these bytes.
async fn sending(bytes: &'static [u8]) -> Origin {
    let script = move |io: Box<dyn Io>| async move {
        let mut socket = tokio_tungstenite::accept_async(io).await.unwrap();
        let _ = tokio::io::AsyncWriteExt::write_all(socket.get_mut(), bytes).await;
        let _ = tokio::io::AsyncWriteExt::flush(socket.get_mut()).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    Origin::tls(&[b"http/1.1"], serve_raw(script)).await
}

/// The close frame's code among what an origin is told.
async fn told_code(told: &mut tokio::sync::mpsc::UnboundedReceiver<Got>) -> Option<u16> {
    loop {
        match within(told.recv()).await.expect("the origin lives") {
            Got::Message(Message::Close(Some(CloseFrame { code, .. }))) => return Some(code.into()),
            Got::End => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_close_with_its_code_goes_through_in_both_directions() {
    let (origin, mut told) = echo().await;
    let mut bench = Bench::before(&origin).await;
    let mut socket = open(&bench, &origin.name()).await;
    let bye = CloseFrame {
        code: 4321.into(),
        reason: "bye".into(),
    };
    socket.close(Some(bye)).await.unwrap();
    assert_eq!(closed_with(&mut socket).await, Some(4321));
    assert_eq!(told_code(&mut told).await, Some(4321));
    assert_eq!(outcome(&mut bench).await.ended, Ended::Complete);
}

#[tokio::test]
async fn an_agent_that_breaks_the_protocol_is_told_1002() {
    for frame in [&b"\x81\x02hi"[..], b"\xc1\x80\0\0\0\0", b"\x80\x80\0\0\0\0"] {
        let (origin, mut told) = echo().await;
        let mut bench = Bench::before(&origin).await;
        let name = origin.name();
        let mut agent = tunnel(&bench, &name).await;
        agent.send(upgrade(&name)).await;
        assert_eq!(read_head(&mut agent).await.unwrap().0, 101);
        agent.send(frame).await;
        assert_eq!(&agent.take(4).await[2..], b"\x03\xea");
        assert_eq!(told_code(&mut told).await, Some(1001));
        let ended = outcome(&mut bench).await.ended;
        assert_eq!(ended, Ended::Refused(Reason::BadWebsocket), "{frame:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_the_protocol_is_not_passed_on() {
    // Masked; compressed without having been asked.
    for frame in [&b"\x81\x82\0\0\0\0hi"[..], b"\xc1\x02hi"] {
        let origin = sending(frame).await;
        let mut bench = Bench::before(&origin).await;
        let mut socket = open(&bench, &origin.name()).await;
        assert_eq!(closed_with(&mut socket).await, Some(1011));
        assert_eq!(outcome(&mut bench).await.ended, Ended::UpstreamBroke);
    }
}

#[tokio::test]
async fn an_agent_that_leaves_takes_the_upstream_with_it() {
    let (origin, mut told) = echo().await;
    let mut bench = Bench::before(&origin).await;
    let mut socket = open(&bench, &origin.name()).await;
    socket.send(Message::text("abc")).await.unwrap();
    assert!(next(&mut socket).await.is_some());
    drop(socket);
    assert_eq!(told_code(&mut told).await, Some(1001));
    let outcome = outcome(&mut bench).await;
    assert_eq!(outcome.ended, Ended::AgentGone);
    assert_eq!((outcome.bytes_up, outcome.bytes_down), (3, 3));
}

#[tokio::test]
async fn an_upstream_that_leaves_without_a_close_looks_like_that_to_the_agent() {
    let script = |io: Box<dyn Io>| async move {
        drop(tokio_tungstenite::accept_async(io).await.unwrap());
    };
    let origin = Origin::tls(&[b"http/1.1"], serve_raw(script)).await;
    let mut bench = Bench::before(&origin).await;
    let mut socket = open(&bench, &origin.name()).await;
    assert_eq!(next(&mut socket).await, None);
    assert_eq!(outcome(&mut bench).await.ended, Ended::UpstreamBroke);
}

#[tokio::test]
async fn going_down_closes_with_1001() {
    let (origin, mut told) = echo().await;
    let mut bench = Bench::before(&origin).await;
    let mut socket = open(&bench, &origin.name()).await;
    bench.shutdown.cancel();
    assert_eq!(closed_with(&mut socket).await, Some(1001));
    assert_eq!(told_code(&mut told).await, Some(1001));
    drop(socket);
    within(&mut bench.serving).await.unwrap();
    assert_eq!(outcome(&mut bench).await.ended, Ended::Drained);
}

#[tokio::test]
async fn silence_for_too_long_closes_with_1001() {
    let (origin, mut told) = echo().await;
    let mut limits = Limits::default();
    limits.timeouts.idle = SOON;
    // A quiet WebSocket is not an agent connection without a request.
    limits.timeouts.keep_alive = Duration::from_millis(1);
    let mut bench = Bench::with_limits(Script::direct(origin.trust()), limits).await;
    let mut socket = open(&bench, &origin.name()).await;
    assert_eq!(closed_with(&mut socket).await, Some(1001));
    assert_eq!(told_code(&mut told).await, Some(1001));
    assert_eq!(outcome(&mut bench).await.ended, Ended::Idle);
}
