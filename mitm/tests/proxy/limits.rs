//! Stated limits: whoever comes after is told, and nobody else is harmed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt;
use mitm::{ConnectPlan, Limits};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::*;
use crate::websocket::{echo, next, open, tunnel, upgrade};

fn one_upstream() -> Limits {
    Limits {
        upstream_connections: 1,
        ..Limits::default()
    }
}

/// Tells when a request is there, and answers when it may.
async fn holding() -> (Origin, mpsc::UnboundedReceiver<()>, Arc<Notify>) {
    let (told, seen) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let origin = Origin::http(move |_| {
        let (told, gate) = (told.clone(), Arc::clone(&gate));
        async move {
            let _ = told.send(());
            gate.notified().await;
            text("at last")
        }
    })
    .await;
    (origin, seen, go)
}

#[tokio::test]
async fn one_upstream_connection_too_many_is_a_503_and_one_that_is_over_makes_room() {
    let (origin, mut seen, go) = holding().await;
    let bench = Bench::with_limits(Script::direct(origin.trust()), one_upstream()).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut sender = h2_client::<http_body_util::Empty<Bytes>>(agent).await;
    let request = || {
        http::Request::get(format!("https://{name}/"))
            .body(http_body_util::Empty::new())
            .unwrap()
    };
    let first = sender.send_request(request());
    within(seen.recv()).await.unwrap();
    // By another stream, by WebSocket, and by a second agent.
    let answer = within(sender.send_request(request())).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["x-refused"], "too_many_upstreams");
    for request in [get(&name, "/"), upgrade(&name)] {
        let answer = tunnel(&bench, &name).await.request(request).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (503, Some("too_many_upstreams"))
        );
    }
    go.notify_one();
    assert_eq!(within(first).await.unwrap().status(), 200);
    go.notify_one();
    let answer = tunnel(&bench, &name).await.request(get(&name, "/")).await;
    assert_eq!((answer.status, answer.text()), (200, "at last"));
}

#[tokio::test]
async fn a_pooled_connection_gives_way_to_one_that_is_needed() {
    let first = Origin::http(|_| async { text("first") }).await;
    let (second, _told) = echo().await;
    let mut script = Script::direct(first.trust());
    let (to_first, to_second) = (Script::direct(first.trust()), Script::direct(second.trust()));
    let first_name = first.name();
    let picked = first_name.clone();
    script.upstream_of = Some(Box::new(move |authority| {
        let script = if authority.to_string() == picked {
            &to_first
        } else {
            &to_second
        };
        Arc::clone(&script.upstream)
    }));
    let bench = Bench::with_limits(script, one_upstream()).await;
    let answer = tunnel(&bench, &first_name)
        .await
        .request(get(&first_name, "/"))
        .await;
    assert_eq!(answer.text(), "first");
    let mut socket = open(&bench, &second.name()).await;
    socket.send(Message::text("x")).await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Message::text("x")));
    // Now there is none that could give way.
    let answer = tunnel(&bench, &first_name)
        .await
        .request(get(&first_name, "/"))
        .await;
    assert_eq!(answer.header("x-refused"), Some("too_many_upstreams"));
    drop(socket);
}

#[tokio::test]
async fn a_tunnel_counts_as_an_upstream_connection() {
    let (origin, _told) = echo().await;
    let mut script = Script::direct(origin.trust());
    script.connect = Box::new(|_| Ok(ConnectPlan::Passthrough));
    let mut bench = Bench::with_limits(script, one_upstream()).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    let _held = agent.tls("api.test", origin.trust()).await.unwrap();
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    assert!(agent.tls("api.test", origin.trust()).await.is_err());
    for _ in 0..4 {
        bench.event().await;
    }
    assert_eq!(bench.event().await.refused(), mitm::Reason::TooManyUpstreams);
}
