//! What is under way when the policy changes: put to its permit again, and cut when that says no.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use mitm::{ConnectPlan, Ended, Limits, Timeouts};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::*;
use crate::websocket::{closed_with, echo, next, open};

/// Answers with what the test sends, piece by piece.
async fn streaming() -> (Origin, mpsc::UnboundedSender<&'static str>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(parking_lot::Mutex::new(Some(receiver)));
    let origin = Origin::http(move |_| {
        let mut receiver: mpsc::UnboundedReceiver<&'static str> = receiver.lock().take().unwrap();
        async move {
            let pieces = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
            let frames = futures_util::StreamExt::map(pieces, |piece| Ok(Frame::data(Bytes::from(piece))));
            http::Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
    })
    .await;
    (origin, sender)
}

fn withdraw(bench: &Bench, withdrawn: &AtomicBool) {
    withdrawn.store(true, Ordering::SeqCst);
    bench.changes.announce();
}

fn withdrawn() -> Ended {
    Ended::Withdrawn {
        logged: "withdrawn".to_owned(),
    }
}

#[tokio::test]
async fn a_response_that_waits_is_cut_and_one_that_still_stands_goes_on() {
    let (origin, pieces) = streaming().await;
    let (script, flag) = Script::direct(origin.trust()).withdrawable();
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/")).await;
    pieces.send("one").unwrap();
    assert_eq!(read_head(&mut agent).await.unwrap().0, 200);
    assert_eq!(&agent.take(8).await[..], b"3\r\none\r\n");
    bench.changes.announce();
    pieces.send("two").unwrap();
    assert_eq!(&agent.take(8).await[..], b"3\r\ntwo\r\n");
    withdraw(&bench, &flag);
    assert!(agent.rest().await.is_empty(), "and no last chunk");
    bench.event().await;
    bench.event().await.admitted();
    let outcome = bench.event().await.finished();
    assert_eq!((outcome.ended, outcome.bytes_down), (withdrawn(), 6));
}

#[tokio::test]
async fn an_http2_stream_is_cut_without_its_neighbours() {
    let (origin, pieces) = streaming().await;
    let (script, flag) = Script::direct(origin.trust()).withdrawable();
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut sender = h2_client::<http_body_util::Empty<Bytes>>(agent).await;
    let request = || {
        http::Request::get(format!("https://{name}/"))
            .body(http_body_util::Empty::new())
            .unwrap()
    };
    pieces.send("one").unwrap();
    let mut response = within(sender.send_request(request())).await.unwrap();
    assert_eq!(
        within(response.frame())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "one"
    );
    withdraw(&bench, &flag);
    assert!(within(response.frame()).await.unwrap().is_err());
    // The connection is as it was: the next stream gets an answer, if a denial.
    let answer = within(sender.send_request(request())).await.unwrap();
    assert_eq!(answer.status(), 403);
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.finished().ended, withdrawn());
}

#[tokio::test]
async fn a_request_without_a_response_yet_is_answered_the_denial() {
    let (told, mut seen) = mpsc::unbounded_channel();
    let origin = Origin::http(move |_| {
        let _ = told.send(());
        std::future::pending()
    })
    .await;
    let (script, flag) = Script::direct(origin.trust()).withdrawable();
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/")).await;
    within(seen.recv()).await.unwrap();
    withdraw(&bench, &flag);
    let answer = read_answer(&mut agent, "GET").await;
    assert_eq!((answer.status, answer.text()), (403, "withdrawn"));
    bench.event().await;
    bench.event().await.admitted();
    let logged = "withdrawn".to_owned();
    assert_eq!(bench.event().await.finished().ended, Ended::RequestCut { logged });
}

#[tokio::test]
async fn a_websocket_is_closed_and_says_why() {
    let (origin, _told) = echo().await;
    let (script, flag) = Script::direct(origin.trust()).withdrawable();
    let mut bench = Bench::start(script).await;
    let mut socket = open(&bench, &origin.name()).await;
    bench.changes.announce();
    socket.send(Message::text("x")).await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Message::text("x")));
    withdraw(&bench, &flag);
    assert_eq!(closed_with(&mut socket).await, Some(1008));
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.finished().ended, withdrawn());
}

#[tokio::test]
async fn a_tunnel_is_closed() {
    let silent = |mut io: Box<dyn Io>| async move {
        let _ = io.read_to_end(&mut Vec::new()).await;
    };
    let origin = Origin::tls(&[b"http/1.1"], serve_raw(silent)).await;
    let (mut script, flag) = Script::direct(origin.trust()).withdrawable();
    script.connect = Box::new(|_| Ok(ConnectPlan::Passthrough));
    let mut bench = Bench::start(script).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    let mut agent = agent.tls("api.test", origin.trust()).await.unwrap();
    withdraw(&bench, &flag);
    assert!(agent.rest().await.is_empty());
    bench.event().await;
    bench.event().await;
    assert_eq!(bench.event().await.finished().ended, withdrawn());
}

/// Answers before the request is there, and goes on reading it: what it read, piece by piece,
/// and at the end of the connection nothing.
async fn early() -> (Origin, mpsc::UnboundedReceiver<Bytes>) {
    let (read, pieces) = mpsc::unbounded_channel();
    let serve = serve_raw(move |stream| {
        let read = read.clone();
        async move {
            let mut peer = Agent::over(stream);
            assert!(peer.fill().await);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            while peer.fill().await {
                let _ = read.send(peer.unread.split().freeze());
            }
            let _ = read.send(Bytes::new());
        }
    });
    (Origin::tls(&[b"http/1.1"], serve).await, pieces)
}

/// Until `text` was read.
async fn comes(read: &mut mpsc::UnboundedReceiver<Bytes>, text: &[u8]) {
    let mut came = Vec::new();
    while !came.windows(text.len()).any(|window| window == text) {
        came.extend_from_slice(&within(read.recv()).await.expect("the upload goes on"));
    }
}

#[tokio::test]
async fn what_is_sent_after_its_answer_can_be_withdrawn_and_is_over_when_it_ends() {
    for withdraws in [true, false] {
        let (origin, mut read) = early().await;
        let (script, flag) = Script::direct(origin.trust()).withdrawable();
        let mut bench = Bench::start(script).await;
        let name = origin.name();
        let mut agent = bench.tunnel(&name).await;
        agent
            .send(format!(
                "POST / HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n"
            ))
            .await;
        assert_eq!(read_answer(&mut agent, "POST").await.text(), "ok");
        bench.event().await;
        bench.event().await.admitted();
        bench.changes.announce();
        agent.send("4\r\nmore\r\n").await;
        comes(&mut read, b"more").await;
        bench.no_event();
        if withdraws {
            withdraw(&bench, &flag);
            assert_eq!(bench.event().await.finished().ended, withdrawn());
            agent.try_send("7\r\nnothing\r\n").await;
            assert_eq!(within(read.recv()).await.unwrap(), "", "the upload is broken off");
        } else {
            agent.send("4\r\nrest\r\n0\r\n\r\n").await;
            comes(&mut read, b"0\r\n\r\n").await;
            let outcome = bench.event().await.finished();
            assert_eq!((outcome.ended, outcome.bytes_up), (Ended::Complete, 8));
        }
    }
}

#[tokio::test]
async fn what_an_upstream_takes_no_more_of_after_its_answer_is_over_in_the_end() {
    let serve = serve_raw(|stream| async move {
        let mut peer = Agent::over(stream);
        assert!(peer.fill().await);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        // It stays, and reads nothing.
        std::future::pending::<()>().await;
    });
    let origin = Origin::tls(&[b"http/1.1"], serve).await;
    let limits = Limits {
        timeouts: Timeouts {
            idle: Duration::from_secs(2),
            ..Timeouts::default()
        },
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(Script::direct(origin.trust()), limits).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent
        .send(format!(
            "POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 1000000000\r\n\r\n"
        ))
        .await;
    assert_eq!(read_answer(&mut agent, "POST").await.text(), "ok");
    let sending = tokio::spawn(async move {
        let piece = vec![b'x'; 1 << 20];
        loop {
            agent.try_send(&piece).await;
        }
    });
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.finished().ended, Ended::Idle);
    sending.abort();
}

#[tokio::test]
async fn an_http2_stream_that_is_sent_after_its_answer_can_be_withdrawn() {
    let (origin, mut read) = early().await;
    let (script, flag) = Script::direct(origin.trust()).withdrawable();
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client(agent).await;
    let (body, mut pieces) = mpsc::unbounded_channel::<&'static str>();
    let pieces = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    let frames = futures_util::StreamExt::map(pieces, |piece| {
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(piece)))
    });
    let request = http::Request::post(format!("https://{name}/")).body(StreamBody::new(frames));
    let response = within(client.send_request(request.unwrap())).await.unwrap();
    bench.event().await;
    bench.event().await.admitted();
    body.send("more").unwrap();
    comes(&mut read, b"more").await;
    withdraw(&bench, &flag);
    let mut response = response.into_body();
    let _ = within(response.frame()).await;
    assert_eq!(bench.event().await.finished().ended, withdrawn());
    let _ = body.send("nothing");
    assert_eq!(within(read.recv()).await.unwrap(), "", "the upload is broken off");
}
