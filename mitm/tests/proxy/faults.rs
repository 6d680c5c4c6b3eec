//! Bad peers: each gets its status or its close, and whoever comes next on another connection is served.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use mitm::{AddressRules, Dialer, Ended, Limits, Reason, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::websocket::upgrade;

/// What goes wrong upstream, and what the agent is told: a status, or the length of what came before the break.
struct Fault {
    upstream: Arc<Upstream>,
    name: String,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Refused(u16, &'static str),
    /// A 200 whose body broke off after so many bytes.
    Broken(usize),
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.timeouts.response_head = Duration::from_millis(200);
    limits.timeouts.idle = Duration::from_millis(400);
    limits
}

async fn raw<F, R>(script: F) -> Origin
where
    F: Fn(Agent) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Origin::tls(&[b"http/1.1"], serve_raw(move |io| script(Agent::over(io)))).await
}

fn fault(origin: &Origin, told: Told) -> Fault {
    Fault {
        upstream: Arc::clone(&Script::direct(origin.trust()).upstream),
        name: origin.name(),
        told,
    }
}

async fn faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    let gone_at_once = raw(|mut peer| async move {
        peer.fill().await;
    })
    .await;
    faults.push(fault(&gone_at_once, Told::Refused(502, "upstream_broke")));
    let no_http = raw(|mut peer| async move {
        peer.fill().await;
        peer.try_send("220 mail.test ESMTP\r\n").await;
    })
    .await;
    faults.push(fault(&no_http, Told::Refused(502, "upstream_broke")));
    let half_a_head = raw(|mut peer| async move {
        peer.fill().await;
        peer.try_send("HTTP/1.1 200 OK\r\nContent-Le").await;
    })
    .await;
    faults.push(fault(&half_a_head, Told::Refused(502, "upstream_broke")));
    let huge_head = raw(|mut peer| async move {
        peer.fill().await;
        peer.try_send(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000)))
            .await;
        peer.fill().await;
    })
    .await;
    faults.push(fault(&huge_head, Told::Refused(502, "upstream_broke")));
    let never_answers = raw(|mut peer| async move {
        let _ = peer.io.read_to_end(&mut Vec::new()).await;
    })
    .await;
    faults.push(fault(&never_answers, Told::Refused(504, "upstream_timeout")));
    let broken_length = raw(|mut peer| async move {
        peer.fill().await;
        peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
    })
    .await;
    faults.push(fault(&broken_length, Told::Broken(3)));
    let broken_chunks = raw(|mut peer| async move {
        peer.fill().await;
        peer.try_send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
            .await;
        peer.fill().await;
    })
    .await;
    faults.push(fault(&broken_chunks, Told::Broken(3)));
    let stalls = raw(|mut peer| async move {
        peer.fill().await;
        peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
        let _ = peer.io.read_to_end(&mut Vec::new()).await;
    })
    .await;
    faults.push(fault(&stalls, Told::Broken(3)));
    // Not trusted, not there, and not to be reached.
    let mut untrusted = fault(&never_answers, Told::Refused(502, "upstream_tls"));
    untrusted.upstream = Script::direct(TestAuthority::new("another CA").client(&[])).upstream;
    faults.push(untrusted);
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut unreachable = fault(&never_answers, Told::Refused(502, "upstream_unreachable"));
    unreachable.name = format!("api.test:{}", nobody.local_addr().unwrap().port());
    drop(nobody);
    faults.push(unreachable);
    let mut forbidden = fault(&never_answers, Told::Refused(403, "address_forbidden"));
    forbidden.upstream = Upstream::new(
        Dialer::Direct {
            rules: AddressRules::default(),
            resolver: Arc::new(Loopback),
        },
        never_answers.trust(),
    );
    faults.push(forbidden);
    faults
}

#[tokio::test]
async fn each_fault_upstream_is_told_apart_and_harms_nobody_else() {
    let good = Origin::http(|_| async { text("good") }).await;
    for fault in faults().await {
        let good_upstream = Arc::clone(&Script::direct(good.trust()).upstream);
        let mut script = Script::direct(good.trust());
        let (bad_name, bad) = (fault.name.clone(), Arc::clone(&fault.upstream));
        script.upstream_of = Some(Box::new(move |authority| {
            Arc::clone(if authority.to_string() == bad_name {
                &bad
            } else {
                &good_upstream
            })
        }));
        let bench = Bench::with_limits(script, limits()).await;
        let http1 = || async {
            let agent = bench.agent().await;
            agent.tunnel(&fault.name, &bench.authority, &[b"http/1.1"]).await
        };
        // By HTTP/1, by a stream of HTTP/2, by WebSocket.
        let answer = http1().await.request(get(&fault.name, "/")).await;
        judge(
            &fault,
            answer.status,
            answer.header("x-refused"),
            &answer.body,
            answer.complete,
        );
        let agent = bench.tunnel_http2(&fault.name).await;
        let mut sender = h2_client::<Empty<Bytes>>(agent).await;
        let request = http::Request::get(format!("https://{}/", fault.name))
            .body(Empty::new())
            .unwrap();
        let response = within(sender.send_request(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let refused = parts
            .headers
            .get("x-refused")
            .map(|value| value.to_str().unwrap());
        let (body, complete) = read_body(body).await;
        judge(&fault, parts.status.as_u16(), refused, &body, complete);
        let answer = http1().await.request(upgrade(&fault.name)).await;
        judge(
            &fault,
            answer.status,
            answer.header("x-refused"),
            &answer.body,
            answer.complete,
        );
        // The next one on another connection.
        let mut agent = bench.tunnel(&good.name()).await;
        assert_eq!(
            agent.request(get(&good.name(), "/")).await.text(),
            "good",
            "{:?}",
            fault.told
        );
    }
}

async fn read_body(mut body: hyper::body::Incoming) -> (Vec<u8>, bool) {
    let mut read = Vec::new();
    loop {
        match within(http_body_util::BodyExt::frame(&mut body)).await {
            None => return (read, true),
            Some(Err(_)) => return (read, false),
            Some(Ok(frame)) => read.extend(frame.into_data().unwrap_or_default()),
        }
    }
}

fn judge(fault: &Fault, status: u16, refused: Option<&str>, body: &[u8], complete: bool) {
    let told = match refused {
        Some(_) if complete => Told::Refused(status, Box::leak(refused.unwrap().to_owned().into_boxed_str())),
        _ => {
            assert!(
                !complete && status == 200,
                "{:?}: {status} {refused:?}",
                fault.told
            );
            Told::Broken(body.len())
        }
    };
    assert_eq!(told, fault.told);
}

#[tokio::test]
async fn names_that_disagree_are_a_421_on_every_way_in() {
    let origin = Origin::http(|_| async { text("hello") }).await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    for request in [get("other.test", "/"), upgrade("other.test")] {
        let mut agent = bench.tunnel(&name).await;
        let answer = agent.request(request).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (421, Some("authority_mismatch"))
        );
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_agent_that_breaks_http2_is_reported_and_its_neighbours_are_served() {
    let origin = Origin::http(|_| async { text("hello") }).await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for broken in [
        // No preface; a SETTINGS frame of 5 bytes; DATA on stream 0; a frame larger than allowed; a HEADERS block that is no HPACK.
        b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n".to_vec(),
        [PREFACE, b"\0\0\x05\x04\0\0\0\0\0abcde"].concat(),
        [PREFACE, settings, b"\0\0\x01\0\0\0\0\0\0a"].concat(),
        [PREFACE, settings, b"\xff\xff\xff\0\0\0\0\0\x01"].concat(),
        [PREFACE, settings, b"\0\0\x02\x01\x05\0\0\0\x01\xff\xff"].concat(),
    ] {
        let mut agent = bench.tunnel_http2(&name).await;
        agent.try_send(&broken).await;
        agent.rest().await;
        bench.event().await;
        assert_eq!(bench.event().await.refused(), Reason::BadHttp2, "{broken:?}");
    }
    // One that only leaves has done nothing wrong.
    let mut agent = bench.tunnel_http2(&name).await;
    agent.try_send([PREFACE, settings].concat()).await;
    agent.io.shutdown().await.unwrap();
    agent.rest().await;
    bench.event().await;
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.finished().ended, Ended::Complete);
}

#[tokio::test]
async fn an_agent_that_does_not_read_is_half_open_and_holds_nobody_up() {
    let large = Origin::http(|_| async { text(vec![b'x'; 64 * 1024 * 1024]) }).await;
    let bench = Bench::start(Script::direct(large.trust())).await;
    let name = large.name();
    let mut stuck = Vec::new();
    for _ in 0..4 {
        let mut agent = bench.tunnel(&name).await;
        agent.send(get(&name, "/")).await;
        read_head(&mut agent).await.unwrap();
        stuck.push(agent);
    }
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!((answer.body.len(), answer.complete), (64 * 1024 * 1024, true));
    drop(stuck);
}
