//! Bodies stream, in both directions, whole or visibly broken.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use mitm::Ended;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, mpsc};

use crate::harness::*;

pub(crate) async fn echo() -> Origin {
    Origin::http(|request: Seen| async move {
        http::Response::new(request.into_body().map_err(std::io::Error::other).boxed())
    })
    .await
}

pub(crate) async fn echo_http2() -> Origin {
    Origin::http2(|request: Seen| async move {
        http::Response::new(request.into_body().map_err(std::io::Error::other).boxed())
    })
    .await
}

/// An origin that sends, after each request's head, what the test tells it, and closes when told nothing more.
pub(crate) async fn scripted() -> (Origin, mpsc::UnboundedSender<&'static str>) {
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(Mutex::new(receiver));
    let script = move |io: Box<dyn Io>| {
        let receiver = Arc::clone(&receiver);
        async move {
            let mut peer = Agent::over(io);
            peer.fill().await;
            while let Some(next) = receiver.lock().await.recv().await {
                peer.send(next).await;
            }
        }
    };
    (Origin::tls(&[b"http/1.1"], serve_raw(script)).await, sender)
}

pub(crate) fn post(name: &str, path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: {name}\r\nContent-Length: {length}\r\n\r\n")
}

pub(crate) fn post_chunked(name: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n")
}

#[tokio::test]
async fn bodies_of_every_size_come_back_unchanged() {
    let origin = echo().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    for length in [1, 2, 8191, 8192, 8193, 65_536, 1_000_003] {
        let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let agent = bench.tunnel(&name).await;
        // Both directions at once: the echo begins before the request has ended.
        let (reader, mut writer) = tokio::io::split(agent.io);
        let sent = [post(&name, "/", length).as_bytes(), &body].concat();
        let writing = tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.flush().await.unwrap();
            writer
        });
        let mut reading = Agent::over(tokio::io::join(reader, tokio::io::sink()));
        let answer = read_answer(&mut reading, "POST").await;
        assert_eq!(answer.body, body);
        assert!(answer.complete);
        within(writing).await.unwrap();
    }
}

#[tokio::test]
async fn chunked_bodies_go_through_in_both_directions() {
    let origin = echo().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(post_chunked(&name)).await;
    for piece in ["3\r\nabc\r\n", "1", "0\r\n0123456789abcdef", "\r\n", "0\r\n\r\n"] {
        agent.send(piece).await;
    }
    let answer = read_answer(&mut agent, "POST").await;
    assert_eq!((answer.text(), answer.complete), ("abc0123456789abcdef", true));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn events_arrive_one_by_one_while_the_stream_is_open() {
    let (origin, events) = scripted().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/events")).await;
    events
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    assert_eq!(read_head(&mut agent).await.unwrap().0, 200);
    for _ in 0..3 {
        // Each is sent only when the one before has arrived: nothing waits for more.
        events.send("9\r\ndata: x\n\n\r\n").unwrap();
        let arrived = agent.take(b"9\r\ndata: x\n\n\r\n".len()).await;
        assert_eq!(arrived, "9\r\ndata: x\n\n\r\n");
    }
}

#[tokio::test]
async fn a_request_streams_before_it_has_ended() {
    let origin = echo().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(post_chunked(&name)).await;
    agent.send("5\r\nfirst\r\n").await;
    assert_eq!(read_head(&mut agent).await.unwrap().0, 200);
    assert_eq!(agent.take(10).await, "5\r\nfirst\r\n");
    agent.send("6\r\nsecond\r\n0\r\n\r\n").await;
    assert_eq!(agent.take(16).await, "6\r\nsecond\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_breaks_the_agents_stream_too() {
    for (head, part) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "abc"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3\r\nabc\r\n",
        ),
    ] {
        let (origin, script) = scripted().await;
        let mut bench = Bench::before(&origin).await;
        let name = origin.name();
        let mut agent = bench.tunnel(&name).await;
        agent.send(get(&name, "/")).await;
        script.send(head).unwrap();
        script.send(part).unwrap();
        drop(script);
        let answer = read_answer(&mut agent, "GET").await;
        assert_eq!(
            (answer.status, answer.text(), answer.complete),
            (200, "abc", false)
        );
        assert!(agent.rest().await.is_empty());
        bench.event().await;
        bench.event().await.admitted();
        let outcome = bench.event().await.finished();
        assert_eq!((outcome.ended, outcome.bytes_down), (Ended::UpstreamBroke, 3));
        bench.no_event();
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_resets_the_agents_stream() {
    let (origin, script) = scripted().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<http_body_util::Empty<Bytes>>(agent).await;
    let request = http::Request::get(format!("https://{name}/"))
        .body(Default::default())
        .unwrap();
    let response = client.send_request(request);
    script
        .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        .unwrap();
    drop(script);
    let body = within(response).await.unwrap().into_body().collect();
    assert!(within(body).await.is_err());
}

#[tokio::test]
async fn a_slow_reader_slows_its_upstream_down() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const PIECE: usize = 64 * 1024;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let (stalled, mut wait) = mpsc::unbounded_channel();
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(move |io| {
            let (sent, stalled) = (Arc::clone(&counted), stalled.clone());
            async move {
                let mut peer = Agent::over(io);
                peer.fill().await;
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
                    .await;
                let piece = vec![0_u8; PIECE];
                // A send that does not finish for this long has met the agent's closed window.
                let patience = std::time::Duration::from_millis(300);
                while tokio::time::timeout(patience, peer.try_send(&piece))
                    .await
                    .is_ok()
                {
                    sent.fetch_add(PIECE, Ordering::SeqCst);
                }
                stalled.send(()).unwrap();
            }
        }),
    )
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/")).await;
    assert_eq!(read_head(&mut agent).await.unwrap().0, 200);
    // The agent reads no further. What is under way is sockets' and hyper's buffers, far from a gibibyte.
    within(wait.recv()).await.unwrap();
    assert!(sent.load(Ordering::SeqCst) < 64 * 1024 * 1024);
}
