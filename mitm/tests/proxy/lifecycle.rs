//! Time-outs, limits, and going down.

use std::time::Duration;

use mitm::{CertificateAuthority, Ended, Limits, Proxy, Reason};

use crate::harness::*;

const SOON: Duration = Duration::from_millis(50);

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn hello() -> Origin {
    Origin::http(|_| async { text("hello") }).await
}

fn unused() -> Script {
    Script::direct(TestAuthority::new("unused").client(&[]))
}

#[tokio::test]
async fn a_head_that_does_not_arrive_is_answered_408() {
    let mut bench = Bench::with_limits(unused(), limits(|limits| limits.timeouts.head = SOON)).await;
    for part in ["", "GET http://api.test/ HTTP/1.1\r\nHost:"] {
        let mut agent = bench.agent().await;
        agent.send(part).await;
        let answer = read_answer(&mut agent, "GET").await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (408, Some("head_timeout")),
            "{part:?}"
        );
        assert_eq!(bench.event().await.refused(), Reason::HeadTimeout);
    }
}

#[tokio::test]
async fn a_slow_head_on_a_kept_alive_connection_is_answered_408() {
    let origin = hello().await;
    let bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.head = SOON),
    )
    .await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.status, 200);
    agent.send("GET / HT").await;
    let answer = read_answer(&mut agent, "GET").await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (408, Some("head_timeout"))
    );
}

#[tokio::test]
async fn a_head_over_its_limit_is_answered_431() {
    let origin = hello().await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let long = "x".repeat(20_000);
    for request in [
        format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\nX: {long}\r\n\r\n"),
        format!("GET http://{name}/{long} HTTP/1.1\r\nHost: {name}\r\n\r\n"),
        format!("CONNECT {name} HTTP/1.1\r\nX: {long}\r\n\r\n"),
    ] {
        let mut agent = bench.agent().await;
        let answer = agent.request(request).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (431, Some("head_too_large"))
        );
        assert_eq!(bench.event().await.refused(), Reason::HeadTooLarge);
    }
    let mut agent = bench.tunnel(&name).await;
    let answer = agent
        .request(format!("GET / HTTP/1.1\r\nHost: {name}\r\nX: {long}\r\n\r\n"))
        .await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn another_protocol_on_the_proxy_port_is_refused_at_once() {
    let mut bench = Bench::start(unused()).await;
    for first in [&b"\x16\x03\x01\x02\x00\x01"[..], b"\x05\x01\x00"] {
        let mut agent = bench.agent().await;
        agent.send(first).await;
        assert_eq!(read_answer(&mut agent, "GET").await.status, 400);
        assert_eq!(bench.event().await.refused(), Reason::MalformedHead);
    }
}

#[tokio::test]
async fn silence_after_connect_ends_the_tunnel() {
    let mut bench = Bench::with_limits(unused(), limits(|limits| limits.timeouts.tls = SOON)).await;
    for first in [&b""[..], b"\x16\x03\x01\x02"] {
        let mut agent = bench.agent().await;
        assert_eq!(agent.connect("api.test:443").await.status, 200);
        agent.send(first).await;
        assert!(agent.rest().await.is_empty());
        bench.event().await;
        match bench.event().await {
            Event::Refused {
                reason: Reason::TlsHandshake,
                answerable: false,
                ..
            } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_a_504() {
    let origin = Origin::http(|_| std::future::pending()).await;
    let mut bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.response_head = SOON),
    )
    .await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (504, Some("upstream_timeout"))
    );
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.refused(), Reason::UpstreamTimeout);
    assert_eq!(
        bench.event().await.finished().ended,
        Ended::Refused(Reason::UpstreamTimeout)
    );
}

#[tokio::test]
async fn an_upstream_that_never_finishes_tls_is_a_504() {
    let origin = Origin::plain(serve_raw(|io| async move {
        let _open = io;
        std::future::pending().await
    }))
    .await;
    let bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.tls = Duration::from_secs(1)),
    )
    .await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (504, Some("upstream_connect_timeout"))
    );
}

#[tokio::test]
async fn a_response_body_that_stalls_is_broken_off() {
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(|io| async move {
            let mut peer = Agent::over(io);
            peer.fill().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
                .await;
            peer.rest().await;
        }),
    )
    .await;
    let mut bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.idle = SOON),
    )
    .await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!((answer.text(), answer.complete), ("abc", false));
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.finished().ended, Ended::Idle);
}

#[tokio::test]
async fn a_request_body_that_stalls_is_refused() {
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(|io| async move {
            Agent::over(io).rest().await;
        }),
    )
    .await;
    let bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.idle = SOON),
    )
    .await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent
        .send(format!(
            "POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 10\r\n\r\nabc"
        ))
        .await;
    let answer = read_answer(&mut agent, "POST").await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (400, Some("request_body_broke"))
    );
}

#[tokio::test]
async fn an_idle_agent_connection_is_closed() {
    let origin = hello().await;
    let bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.keep_alive = SOON),
    )
    .await;
    let name = origin.name();
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let mut agent = bench.agent().await.tunnel(&name, &bench.authority, &[alpn]).await;
        if alpn == b"http/1.1" {
            assert_eq!(agent.request(get(&name, "/")).await.status, 200);
        } else {
            agent
                .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
                .await;
        }
        agent.rest().await;
    }
}

#[tokio::test]
async fn a_long_response_is_not_idleness() {
    let (release, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let origin = Origin::http(move |_| {
        let wait = std::sync::Arc::clone(&wait);
        async move {
            wait.lock().await.take().unwrap().await.unwrap();
            text("late")
        }
    })
    .await;
    let bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.keep_alive = SOON),
    )
    .await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/")).await;
    // Several times the idle limit passes while the response is on its way.
    tokio::time::sleep(SOON * 4).await;
    release.send(()).unwrap();
    assert_eq!(read_answer(&mut agent, "GET").await.text(), "late");
}

#[tokio::test]
async fn the_connection_cap_is_answered_503() {
    let mut bench = Bench::with_limits(unused(), limits(|limits| limits.connections = 1)).await;
    let mut first = bench.agent().await;
    assert_eq!(first.connect("api.test:443").await.status, 200);
    bench.event().await;
    let mut second = bench.agent().await;
    let answer = read_answer(&mut second, "GET").await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (503, Some("too_many_connections"))
    );
    assert_eq!(bench.event().await.refused(), Reason::TooManyConnections);
    drop(first);
    drop(second);
    // The slot comes back.
    loop {
        let mut third = bench.agent().await;
        third.try_send("CONNECT api.test:443 HTTP/1.1\r\n\r\n").await;
        if read_answer(&mut third, "CONNECT").await.status == 200 {
            break;
        }
    }
}

#[tokio::test]
async fn shutting_down_lets_a_response_finish_and_closes_the_rest() {
    let (release, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let (arrived, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::http(move |_| {
        let wait = std::sync::Arc::clone(&wait);
        arrived.send(()).unwrap();
        async move {
            wait.lock().await.take().unwrap().await.unwrap();
            text("finished")
        }
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut busy = bench.tunnel(&name).await;
    let mut idle = bench.tunnel(&name).await;
    let mut fresh = bench.agent().await;
    busy.send(get(&name, "/")).await;
    within(waiting.recv()).await.unwrap();
    bench.shutdown.cancel();
    assert!(idle.rest().await.is_empty());
    assert!(fresh.rest().await.is_empty());
    release.send(()).unwrap();
    let answer = read_answer(&mut busy, "GET").await;
    assert_eq!(
        (answer.text(), answer.header("connection")),
        ("finished", Some("close"))
    );
    within(bench.serving).await.unwrap();
}

#[tokio::test]
async fn shutting_down_breaks_off_what_outlasts_the_drain_time() {
    let (arrived, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::http(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    })
    .await;
    let mut bench = Bench::with_limits(
        Script::direct(origin.trust()),
        limits(|limits| limits.timeouts.drain = SOON),
    )
    .await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent.send(get(&name, "/")).await;
    within(waiting.recv()).await.unwrap();
    bench.shutdown.cancel();
    assert!(agent.rest().await.is_empty());
    within(&mut bench.serving).await.unwrap();
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.finished().ended, Ended::AgentGone);
}

#[tokio::test]
async fn leaves_can_be_made_ahead() {
    let authority = TestAuthority::new("ahead");
    let ca = CertificateAuthority::from_pem(&authority.certificate_pem(), &authority.key_pem()).unwrap();
    let (policy, _events) = unused().build();
    let proxy = Proxy::new(std::sync::Arc::new(policy), ca, Limits::default());
    proxy.warm_up().await.unwrap();
    let hosts = ["api.test", "other.test"].map(|host| mitm::DnsName::parse(host.as_bytes()).unwrap());
    proxy.pre_mint(hosts).await.unwrap();
}
