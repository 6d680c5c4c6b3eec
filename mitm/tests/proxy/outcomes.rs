//! Every admitted request ends exactly once, and what the core refuses is told exactly once.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use mitm::{BodyLength, Ended, LocalResponse, Reason, Verdict};

use crate::harness::*;

async fn hello() -> Origin {
    Origin::http(|request: Seen| async move {
        use http_body_util::BodyExt;
        let _ = request.into_body().collect().await;
        text("hello")
    })
    .await
}

#[tokio::test]
async fn a_complete_request_reports_status_bytes_and_duration() {
    let origin = hello().await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    bench.event().await;
    for (request, length, up) in [
        (get(&name, "/"), BodyLength::None, 0),
        (
            format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 3\r\n\r\nabc"),
            BodyLength::Exact(3),
            3,
        ),
        (
            format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 0\r\n\r\n"),
            BodyLength::Exact(0),
            0,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            ),
            BodyLength::Unknown,
            2,
        ),
    ] {
        assert_eq!(agent.request(&request).await.text(), "hello");
        assert_eq!(bench.event().await.admitted().0.body, length, "{request:?}");
        let outcome = bench.event().await.finished();
        assert_eq!(outcome.ended, Ended::Complete);
        assert_eq!(
            (outcome.status, outcome.bytes_up, outcome.bytes_down),
            (Some(StatusCode::OK), up, 5)
        );
        assert!(!outcome.duration.is_zero());
    }
    drop(agent);
    bench.shutdown.cancel();
    within(&mut bench.serving).await.unwrap();
    bench.no_event();
}

#[tokio::test]
async fn an_agent_that_leaves_before_the_response_ends_the_request() {
    let (arrived, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::http(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    })
    .await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/")).await;
    within(waiting.recv()).await.unwrap();
    drop(agent);
    bench.event().await;
    bench.event().await.admitted();
    let outcome = bench.event().await.finished();
    assert_eq!((outcome.ended, outcome.status), (Ended::AgentGone, None));
    bench.no_event();
}

#[tokio::test]
async fn an_agent_that_leaves_inside_the_response_ends_the_request() {
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(|io| async move {
            let mut peer = Agent::over(io);
            peer.fill().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nabc")
                .await;
            peer.rest().await;
        }),
    )
    .await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/")).await;
    read_head(&mut agent).await.unwrap();
    assert_eq!(agent.take(3).await, "abc");
    drop(agent);
    bench.event().await;
    bench.event().await.admitted();
    let outcome = bench.event().await.finished();
    assert_eq!(
        (outcome.ended, outcome.status),
        (Ended::AgentGone, Some(StatusCode::OK))
    );
    assert_eq!(outcome.bytes_down, 3);
    bench.no_event();
}

#[tokio::test]
async fn an_answer_by_the_policy_needs_no_upstream() {
    let mut script = Script::direct(TestAuthority::new("unused").client(&[]));
    script.admit = Box::new(|head, _| {
        (head.authority.to_string() == "_egress.local:80").then(|| {
            let answer: LocalResponse = http::Response::builder()
                .header("x-here", "1")
                .body(Bytes::from_static(b"the table"))
                .unwrap();
            Verdict::Answer(answer)
        })
    });
    let mut bench = Bench::start(script).await;
    let mut agent = bench.agent().await;
    for _ in 0..2 {
        let answer = agent
            .request("GET http://_egress.local/allowlist HTTP/1.1\r\nHost: _egress.local\r\n\r\n")
            .await;
        assert_eq!(
            (answer.status, answer.text(), answer.header("x-here")),
            (200, "the table", Some("1"))
        );
        bench.event().await.admitted();
    }
    let head = agent
        .request("HEAD http://_egress.local/x HTTP/1.1\r\nHost: _egress.local\r\n\r\n")
        .await;
    assert_eq!(head.header("content-length"), Some("9"));
    bench.event().await.admitted();
    bench.no_event();
}

#[tokio::test]
async fn a_denial_is_answered_whole_on_every_way_in() {
    let origin = hello().await;
    let mut script = Script::direct(origin.trust());
    script.admit = Box::new(|_, _| Some(Verdict::Deny(denial(403, "no"))));
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut tunnelled = bench.tunnel(&name).await;
    let answer = tunnelled.request(get(&name, "/")).await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("x-denied-by")),
        (403, "no", Some("test"))
    );
    let mut plain = bench.agent().await;
    let answer = plain
        .request(format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<http_body_util::Empty<Bytes>>(agent).await;
    let request = http::Request::get(format!("https://{name}/"))
        .body(Default::default())
        .unwrap();
    assert_eq!(within(client.send_request(request)).await.unwrap().status(), 403);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_told_with_its_reason_and_still_ends_once() {
    // A port on which nothing listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut bench = Bench::start(Script::direct(TestAuthority::new("unused").client(&[]))).await;
    let name = format!("api.test:{free}");
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_unreachable"))
    );
    bench.event().await;
    bench.event().await.admitted();
    match bench.event().await {
        Event::Refused {
            reason: Reason::UpstreamUnreachable,
            admitted: true,
            answerable: true,
            detail,
        } => {
            assert!(detail.contains(&name), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    let outcome = bench.event().await.finished();
    assert_eq!(outcome.ended, Ended::Refused(Reason::UpstreamUnreachable));
    assert_eq!(outcome.status, Some(StatusCode::BAD_GATEWAY));
    bench.no_event();
}

#[tokio::test]
async fn an_upstream_that_is_not_trusted_gets_no_request() {
    let origin = hello().await;
    let stranger = TestAuthority::new("stranger").client(&[b"http/1.1"]);
    let mut bench = Bench::start(Script::direct(stranger)).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_tls"))
    );
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.refused(), Reason::UpstreamTls);
    bench.event().await.finished();
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http_is_a_502() {
    for garbage in ["SSH-2.0-x\r\n", "", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        let origin = Origin::tls(
            &[b"http/1.1"],
            serve_raw(move |io| async move {
                let mut peer = Agent::over(io);
                peer.fill().await;
                peer.try_send(garbage).await;
            }),
        )
        .await;
        let bench = Bench::before(&origin).await;
        let name = origin.name();
        let mut agent = bench.tunnel(&name).await;
        let answer = agent.request(get(&name, "/")).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (502, Some("upstream_broke")),
            "{garbage:?}"
        );
    }
}

#[tokio::test]
async fn a_verdict_is_asked_for_every_request_of_a_kept_alive_connection() {
    let origin = hello().await;
    let allowed = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asked = Arc::clone(&allowed);
    let mut script = Script::direct(origin.trust());
    script.admit = Box::new(move |_, _| {
        (!asked.load(std::sync::atomic::Ordering::SeqCst)).then(|| Verdict::Deny(denial(403, "revoked")))
    });
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.status, 200);
    allowed.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(agent.request(get(&name, "/")).await.status, 403);
}
