//! The upgrade to WebSocket: admitted like any request, answered by the upstream, refused by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mitm::{Ended, Reason};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::*;
use crate::websocket::{Got, echo, outcome, tunnel, upgrade};

#[tokio::test]
async fn the_upgrade_is_admitted_like_any_request_and_offers_no_extension() {
    let (origin, mut told) = echo().await;
    let mut script = Script::direct(origin.trust());
    script.admit = Box::new(|_, headers| {
        headers.insert("authorization", "injected".parse().unwrap());
        None
    });
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    let mut request = format!("wss://{name}/chat?room=1").into_client_request().unwrap();
    let extension = "permessage-deflate; client_max_window_bits".parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-extensions", extension);
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "a".parse().unwrap());
    let key = request.headers()["sec-websocket-key"].clone();
    let agent = tunnel(&bench, &name).await;
    let (_socket, response) = within(client_async(request, agent.io)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "a");
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
    bench.event().await;
    let (head, _) = bench.event().await.admitted();
    assert!(head.websocket);
    assert_eq!(
        (head.method.as_str(), head.target()),
        ("GET", &b"/chat?room=1"[..])
    );
    let Some(Got::Upgrade(seen)) = within(told.recv()).await else {
        panic!("an upgrade")
    };
    assert_eq!(seen["authorization"], "injected");
    assert_eq!(seen["host"], name.as_str());
    assert!(!seen.contains_key("sec-websocket-extensions"));
    assert_ne!(seen["sec-websocket-key"], key);
}

#[tokio::test]
async fn an_answer_other_than_101_is_an_ordinary_response() {
    let origin = Origin::http(|_| async { text("no WebSocket here") }).await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = tunnel(&bench, &name).await;
    for _ in 0..2 {
        let answer = agent.request(upgrade(&name)).await;
        assert_eq!((answer.status, answer.text()), (200, "no WebSocket here"));
    }
    assert_eq!(
        outcome_of_two(&mut bench).await,
        [Ended::Complete, Ended::Complete]
    );
}

async fn outcome_of_two(bench: &mut Bench) -> [Ended; 2] {
    bench.event().await;
    bench.event().await.admitted();
    let first = bench.event().await.finished().ended;
    bench.event().await.admitted();
    [first, bench.event().await.finished().ended]
}

#[tokio::test]
async fn a_101_that_does_not_answer_the_key_is_a_502() {
    let script = |io: Box<dyn Io>| async move {
        let mut peer = Agent::over(io);
        peer.fill().await;
        peer.try_send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .await;
    };
    let origin = Origin::tls(&[b"http/1.1"], serve_raw(script)).await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let answer = tunnel(&bench, &name).await.request(upgrade(&name)).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_broke"))
    );
}

#[tokio::test]
async fn a_denied_upgrade_reaches_no_upstream_and_a_denied_101_no_agent() {
    let (origin, _told) = echo().await;
    let name = origin.name();
    let mut script = Script::direct(origin.trust());
    script.admit = Box::new(|_, _| Some(mitm::Verdict::Deny(denial(403, "no"))));
    let bench = Bench::start(script).await;
    let refused = client_async(format!("wss://{name}/"), tunnel(&bench, &name).await.io).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 403));
    assert_eq!(origin.connections(), 0);

    let mut script = Script::direct(origin.trust());
    script.response = Some(Arc::new(|_, _| Err(denial(403, "not this head"))));
    let mut bench = Bench::start(script).await;
    let answer = tunnel(&bench, &name).await.request(upgrade(&name)).await;
    assert_eq!((answer.status, answer.text()), (403, "not this head"));
    assert!(matches!(
        outcome(&mut bench).await.ended,
        Ended::ResponseDenied { .. }
    ));
}

#[tokio::test]
async fn an_upgrade_that_is_no_longer_admitted_is_not_sent() {
    // Before an upstream is dialled, and when the connection has been made.
    for (stands, connections) in [(0, 0), (1, 1)] {
        let (origin, mut told) = echo().await;
        let asked = AtomicUsize::new(0);
        let mut script = Script::direct(origin.trust());
        script.standing = Some(Arc::new(move || {
            let asked = asked.fetch_add(1, Ordering::SeqCst);
            (asked >= stands).then(|| denial(403, "withdrawn"))
        }));
        let mut bench = Bench::start(script).await;
        let name = origin.name();
        let answer = tunnel(&bench, &name).await.request(upgrade(&name)).await;
        assert_eq!((answer.status, answer.text()), (403, "withdrawn"));
        let logged = "withdrawn".to_owned();
        assert_eq!(outcome(&mut bench).await.ended, Ended::RequestCut { logged });
        assert_eq!(origin.connections(), connections);
        assert!(told.try_recv().is_err(), "no upgrade was asked for");
    }
}

#[tokio::test]
async fn an_upgrade_in_the_clear_or_without_its_fields_is_refused_by_name() {
    let (origin, _told) = echo().await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let plain = upgrade(&name).replace("GET /ws", &format!("GET http://{name}/ws"));
    let answer = bench.agent().await.request(plain).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (501, Some("websocket_unsupported"))
    );
    assert_eq!(bench.event().await.refused(), Reason::WebsocketUnsupported);
    for (field, odd) in [
        ("Version: 13", "Version: 12"),
        ("GET /", "POST /"),
        ("ZQ==", "ZQ"),
    ] {
        let mut agent = tunnel(&bench, &name).await;
        let answer = agent.request(upgrade(&name).replace(field, odd)).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (400, Some("bad_websocket")),
            "{odd}"
        );
        bench.event().await;
        assert_eq!(bench.event().await.refused(), Reason::BadWebsocket);
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn http2_announces_no_extended_connect() {
    let (origin, _told) = echo().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut sender = h2_client::<http_body_util::Empty<Bytes>>(agent).await;
    let plain = http::Request::get(format!("https://{name}/")).header("host", &*name);
    let mut extended = plain.body(http_body_util::Empty::new()).unwrap();
    *extended.method_mut() = http::Method::CONNECT;
    extended
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    within(sender.send_request(extended)).await.unwrap_err();
    assert_eq!(origin.connections(), 0);
}
