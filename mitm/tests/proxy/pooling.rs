//! Upstream connections are shared, kept apart by trust, and never cost a request when they have gone stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mitm::{AddressRules, Dialer, Forward, Limits, Reason, Upstream};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::harness::*;

async fn hello() -> Origin {
    Origin::http(|_| async { text("hello") }).await
}

#[tokio::test]
async fn agent_connections_share_one_upstream_connection() {
    let origin = hello().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    for _ in 0..4 {
        let mut agent = bench.tunnel(&name).await;
        for _ in 0..3 {
            assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
        }
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn requests_at_the_same_time_each_have_a_connection() {
    let barrier = Arc::new(tokio::sync::Barrier::new(3));
    let waiting = Arc::clone(&barrier);
    let origin = Origin::http(move |_| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.wait().await;
            text("hello")
        }
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agents = Vec::new();
    for _ in 0..3 {
        let mut agent = bench.tunnel(&name).await;
        agent.send(get(&name, "/")).await;
        agents.push(agent);
    }
    for agent in &mut agents {
        assert_eq!(read_answer(agent, "GET").await.text(), "hello");
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn one_upstream_value_never_uses_the_connections_of_another() {
    let origin = hello().await;
    let stranger = TestAuthority::new("stranger").client(&[b"http/1.1"]);
    let rules = AddressRules {
        permitted: vec!["127.0.0.0/8".parse().unwrap()],
        never: Vec::new(),
    };
    let distrusting = Upstream::new(
        Dialer::Direct {
            rules,
            resolver: Arc::new(crate::harness::Loopback),
        },
        stranger,
    );
    let mut script = Script::direct(origin.trust());
    let other = Arc::clone(&distrusting);
    script.admit = Box::new(move |head, _| {
        (head.path() == b"/other").then(|| {
            let upstream = Arc::clone(&other);
            mitm::Verdict::Forward(Forward {
                permit: TestPermit::silent(),
                upstream,
            })
        })
    });
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.status, 200);
    assert_eq!(
        agent.request(get(&name, "/other")).await.header("x-refused"),
        Some("upstream_tls")
    );
    assert_eq!(agent.request(get(&name, "/")).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_costs_no_request() {
    // Closes after each response without saying so.
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(|io| async move {
            let mut peer = Agent::over(io);
            peer.fill().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }),
    )
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    for _ in 0..10 {
        assert_eq!(agent.request(get(&name, "/")).await.text(), "ok");
    }
}

/// Answers the first request of a connection, and closes it when the second comes, which is counted.
async fn swallowing() -> (Origin, Arc<AtomicUsize>) {
    let swallowed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&swallowed);
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(move |io| {
            let counted = Arc::clone(&counted);
            async move {
                let mut peer = Agent::over(io);
                peer.fill().await;
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                peer.unread.clear();
                if peer.fill().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        }),
    )
    .await;
    (origin, swallowed)
}

#[tokio::test]
async fn a_safe_request_survives_an_upstream_that_closes_as_it_is_sent() {
    let (origin, swallowed) = swallowing().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.text(), "ok");
    assert_eq!(agent.request(get(&name, "/")).await.text(), "ok");
    assert_eq!(swallowed.load(Ordering::SeqCst), 1);
    // A POST that an upstream has seen is never repeated.
    let answer = agent
        .request(format!(
            "POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 1\r\n\r\nx"
        ))
        .await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_broke"))
    );
    assert_eq!(swallowed.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_the_policy_gives_once_is_not_sent_twice() {
    let (origin, swallowed) = swallowing().await;
    let mut script = Script::direct(origin.trust());
    script.repeatable = false;
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.text(), "ok");
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_broke"))
    );
    assert_eq!(swallowed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_whose_response_was_not_read_to_its_end_is_not_used_again() {
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
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    for _ in 0..2 {
        let mut agent = bench.tunnel(&name).await;
        agent.send(get(&name, "/")).await;
        read_head(&mut agent).await.unwrap();
        assert_eq!(agent.take(3).await, "abc");
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_response_before_the_end_of_the_request_reaches_the_agent_and_the_connection_is_not_reused() {
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(|io| async move {
            let mut peer = Agent::over(io);
            peer.fill().await;
            peer.try_send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
                .await;
            peer.rest().await;
        }),
    )
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    for _ in 0..2 {
        let mut agent = bench.tunnel(&name).await;
        agent
            .send(format!(
                "POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 1000\r\n\r\nx"
            ))
            .await;
        let answer = read_answer(&mut agent, "POST").await;
        assert_eq!((answer.status, answer.text()), (413, "big"));
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn idle_connections_run_out() {
    let origin = hello().await;
    let mut limits = Limits::default();
    limits.timeouts.pool_idle = std::time::Duration::ZERO;
    let bench = Bench::with_limits(Script::direct(origin.trust()), limits).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    for _ in 0..2 {
        assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn http2_requests_share_one_connection_at_the_same_time() {
    let barrier = Arc::new(tokio::sync::Barrier::new(8));
    let waiting = Arc::clone(&barrier);
    let origin = Origin::http2(move |request: Seen| {
        let waiting = Arc::clone(&waiting);
        async move {
            if request.uri().path() == "/all" {
                waiting.wait().await;
            }
            text("hello")
        }
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    // The first one finds out that the host speaks HTTP/2.
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
    let mut agents = Vec::new();
    for _ in 0..8 {
        let mut agent = bench.tunnel(&name).await;
        agent.send(get(&name, "/all")).await;
        agents.push(agent);
    }
    for agent in &mut agents {
        assert_eq!(read_answer(agent, "GET").await.text(), "hello");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn an_http2_connection_that_goes_away_costs_no_request() {
    // `/slow` keeps its connection open; `/bye` is answered, and then its connection says GOAWAY.
    let origin = Origin::tls(
        &[b"h2"],
        serve_raw(|io| async move {
            use hyper_util::rt::{TokioExecutor, TokioIo};
            let (asked, mut bye) = tokio::sync::mpsc::unbounded_channel();
            let service = hyper::service::service_fn(move |request: Seen| {
                let asked = asked.clone();
                async move {
                    match request.uri().path() {
                        "/slow" => std::future::pending().await,
                        "/bye" => asked.send(()).unwrap(),
                        _ => {}
                    }
                    Ok::<_, std::convert::Infallible>(text("ok"))
                }
            });
            let mut served = std::pin::pin!(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(io), service)
            );
            tokio::select! {
                _ = served.as_mut() => return,
                _ = bye.recv() => served.as_mut().graceful_shutdown(),
            }
            let _ = served.await;
        }),
    )
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut slow = bench.tunnel(&name).await;
    slow.send(get(&name, "/slow")).await;
    let mut agent = bench.tunnel(&name).await;
    for _ in 0..5 {
        assert_eq!(agent.request(get(&name, "/bye")).await.text(), "ok");
        assert_eq!(agent.request(get(&name, "/")).await.text(), "ok");
        let post = format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(agent.request(post).await.text(), "ok");
    }
}

#[tokio::test]
async fn a_connection_made_ahead_is_the_first_requests_own_and_the_pools_after() {
    let origin = hello().await;
    let mut script = Script::direct(origin.trust());
    script.dials_ahead = true;
    let bench = Bench::start(script).await;
    let name = origin.name();
    for _ in 0..3 {
        let mut agent = bench.tunnel(&name).await;
        assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_connection_made_ahead_does_not_carry_what_another_upstream_is_for() {
    let origin = hello().await;
    let mut script = Script::direct(origin.trust());
    script.dials_ahead = true;
    let stranger = TestAuthority::new("stranger").client(&[b"http/1.1"]);
    let distrusting = Script::direct(stranger).upstream;
    script.admit = Box::new(move |_, _| {
        Some(mitm::Verdict::Forward(Forward {
            permit: TestPermit::silent(),
            upstream: Arc::clone(&distrusting),
        }))
    });
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.status, 502);
}

#[tokio::test]
async fn a_connection_made_ahead_is_spoken_on_only_once_the_agent_names_the_host() {
    let (say, mut heard) = mpsc::unbounded_channel();
    let origin = Origin::plain(serve_raw(move |mut io| {
        let say = say.clone();
        async move {
            let mut bytes = Vec::new();
            let _ = io.read_to_end(&mut bytes).await;
            let _ = say.send(bytes);
        }
    }))
    .await;
    let mut script = Script::direct(origin.trust());
    script.dials_ahead = true;
    let mut bench = Bench::start(script).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    within(async {
        while origin.connections() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let session = agent
        .tls("other.test", bench.authority.client(&[b"http/1.1"]))
        .await;
    assert!(session.is_err());
    bench.event().await;
    assert_eq!(bench.event().await.refused(), Reason::AuthorityMismatch);
    assert_eq!(within(heard.recv()).await.unwrap(), b"");
}

#[tokio::test]
async fn a_connection_made_ahead_that_is_given_up_before_the_agent_speaks_costs_no_request() {
    let origin = hello().await;
    let (say, mut gone) = mpsc::unbounded_channel();
    let address = origin.address;
    let front = Origin::plain(serve_raw(move |mut io| {
        let say = say.clone();
        async move {
            if say.is_closed() {
                let mut behind = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut io, &mut behind).await;
            } else {
                drop(io);
                let _ = say.send(());
            }
        }
    }))
    .await;
    let mut script = Script::direct(origin.trust());
    script.dials_ahead = true;
    let bench = Bench::start(script).await;
    let name = front.name();
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&name).await.status, 200);
    within(gone.recv()).await.unwrap();
    drop(gone);
    let mut agent = agent
        .tls("api.test", bench.authority.client(&[b"http/1.1"]))
        .await
        .unwrap();
    assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
    assert_eq!(front.connections(), 2);
}
