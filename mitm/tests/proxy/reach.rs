//! Where the proxy itself connects to: checked addresses, or through another proxy.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use mitm::{
    AddressRules, ConnectPlan, Dialer, DnsName, ListenAddress, Listener, ProxyAddress, Resolve, Resolving,
    Upstream, WayIn,
};
use tokio::net::UnixListener;

use crate::harness::*;
use crate::websocket::upgrade;

/// Answers with these addresses, a different set each time it is asked.
#[derive(Debug)]
struct Rebinding {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _name: &'a DnsName) -> Resolving<'a> {
        let time = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[time.min(self.answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    }
}

async fn hello() -> Origin {
    Origin::http(|_| async { text("hello") }).await
}

/// What an agent is answered when the name resolves like this.
async fn answer_for(origin: &Origin, rules: AddressRules, answers: Vec<Vec<&str>>) -> (Answer, usize) {
    let answers = answers
        .into_iter()
        .map(|addresses| {
            addresses
                .into_iter()
                .map(|address| address.parse().unwrap())
                .collect()
        })
        .collect();
    let resolver = Arc::new(Rebinding {
        answers,
        asked: AtomicUsize::new(0),
    });
    let dialer = Dialer::Direct {
        rules,
        resolver: Arc::clone(&resolver) as Arc<dyn Resolve>,
    };
    let bench = Bench::start(Script::via(Upstream::new(dialer, origin.trust()))).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    (answer, resolver.asked.load(Ordering::SeqCst))
}

fn loopback_permitted() -> AddressRules {
    AddressRules {
        permitted: vec!["127.0.0.0/8".parse().unwrap()],
        never: Vec::new(),
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_dialled() {
    let origin = hello().await;
    for addresses in [
        vec!["127.0.0.1"],
        vec!["169.254.169.254"],
        vec!["::ffff:127.0.0.1"],
        vec!["64:ff9b::7f00:1"],
        // One inner address among public ones is enough.
        vec!["1.1.1.1", "127.0.0.1"],
        vec!["127.0.0.1", "1.1.1.1"],
    ] {
        let (answer, _) = answer_for(&origin, AddressRules::default(), vec![addresses.clone()]).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (403, Some("address_forbidden")),
            "{addresses:?}"
        );
        // What lies inside is no business of the agent's.
        for address in ["127.0.0.1", "169.254", "7f00"] {
            assert!(!answer.text().contains(address), "{}", answer.text());
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_answer_that_changes_after_the_check_is_not_asked_for() {
    let origin = hello().await;
    // Asked again, the name would lead to a forbidden address.
    let (answer, asked) = answer_for(
        &origin,
        loopback_permitted(),
        vec![vec!["127.0.0.1"], vec!["10.0.0.1"]],
    )
    .await;
    assert_eq!((answer.text(), asked), ("hello", 1));
    let (answer, asked) = answer_for(
        &origin,
        loopback_permitted(),
        vec![vec!["10.0.0.1"], vec!["127.0.0.1"]],
    )
    .await;
    assert_eq!((answer.status, asked), (403, 1));
}

#[tokio::test]
async fn the_never_list_beats_a_permission() {
    let origin = hello().await;
    let mut rules = loopback_permitted();
    rules.never.push("127.0.0.0/24".parse().unwrap());
    let (answer, _) = answer_for(&origin, rules, vec![vec!["127.0.0.1"]]).await;
    assert_eq!(answer.header("x-refused"), Some("address_forbidden"));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_address_literal_obeys_the_same_rules() {
    let origin = hello().await;
    let bench = Bench::start(Script::via(Upstream::direct(
        AddressRules::default(),
        origin.trust(),
    )))
    .await;
    let name = format!("127.0.0.1:{}", origin.address.port());
    let mut agent = bench.agent().await;
    let answer = agent
        .request(format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (403, Some("address_forbidden"))
    );
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    let origin = hello().await;
    // Nothing listens on 127.0.0.2.
    let (answer, _) = answer_for(
        &origin,
        loopback_permitted(),
        vec![vec!["127.0.0.2", "127.0.0.1"]],
    )
    .await;
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn a_name_without_an_address_is_a_502() {
    let origin = hello().await;
    let (answer, _) = answer_for(&origin, loopback_permitted(), vec![vec![]]).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_unresolved"))
    );
}

// === through another proxy ===

/// A second proxy of the same kind, on a Unix socket, in front of the origin.
async fn chained(script: Script) -> (Bench, ProxyAddress, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seat.sock");
    let listener = Listener::bind(&ListenAddress::Unix {
        path: path.clone(),
        mode: 0o600,
    })
    .unwrap();
    (
        Bench::on(script, listener).await,
        ProxyAddress::Unix(path),
        directory,
    )
}

#[tokio::test]
async fn requests_go_through_a_chain_of_two_proxies() {
    let origin = hello().await;
    let plain =
        Origin::plain_http(|request: Seen| async move { text(format!("plain {}", request.uri())) }).await;
    let (mut seat, address, _directory) = chained(Script::direct(origin.trust())).await;
    let front = Bench::start(Script::through_proxy(
        address,
        seat.authority.client(&[b"h2", b"http/1.1"]),
    ))
    .await;
    let name = origin.name();
    let mut agent = front.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
    assert!(matches!(seat.event().await, Event::Connect { authority } if authority == name));
    // In the clear the seat gets the absolute form.
    let mut agent = front.agent().await;
    let name = plain.name();
    let answer = agent
        .request(format!("GET http://{name}/x HTTP/1.1\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!(answer.text(), "plain /x");
}

#[tokio::test]
async fn a_proxy_is_spoken_to_as_the_agent_speaks_and_a_host_in_http2_whenever_it_can() {
    let origin = Origin::http2(|request: Seen| async move { text(format!("{:?}", request.version())) }).await;
    let (mut seat, address, _directory) = chained(Script::direct(origin.trust())).await;
    let mut script = Script::through_proxy(address, seat.authority.client(&[b"h2", b"http/1.1"]));
    script.dials_ahead = true;
    let front = Bench::start(script).await;
    let name = origin.name();
    let mut way_in = async || loop {
        if let Event::Admit { head, .. } = seat.event().await {
            return head.way_in;
        }
    };
    for _ in 0..2 {
        let mut agent = front.tunnel(&name).await;
        assert_eq!(agent.request(get(&name, "/")).await.text(), "HTTP/2.0");
        assert_eq!(way_in().await, WayIn::TunnelHttp1);
        let agent = front
            .agent()
            .await
            .tunnel(&name, &front.authority, &[b"h2", b"http/1.1"])
            .await;
        let request = Request::get(format!("https://{name}/")).body(Empty::<Bytes>::new());
        let mut client = h2_client(agent).await;
        let response = within(client.send_request(request.unwrap())).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "HTTP/2.0");
        assert_eq!(way_in().await, WayIn::TunnelHttp2);
    }
}

#[tokio::test]
async fn a_host_that_speaks_http2_alone_is_reached_past_a_proxy_that_does_not_look_inside() {
    let origin = Origin::http2(|request: Seen| async move { text(format!("{:?}", request.version())) }).await;
    let mut through = Script::direct(origin.trust());
    through.connect = Box::new(|_| Ok(ConnectPlan::Passthrough));
    let (_seat, address, _directory) = chained(through).await;
    let front = Bench::start(Script::via(Upstream::past_proxy(address, origin.trust()))).await;
    let name = origin.name();
    let mut agent = front.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.text(), "HTTP/2.0");
}

#[tokio::test]
async fn a_proxys_refusal_of_connect_reaches_the_agent_whole_and_as_the_proxys_own() {
    let mut script = Script::direct(TestAuthority::new("unused").client(&[]));
    script.connect = Box::new(|_| Err(denial(451, "the seat says no")));
    let (seat, address, _directory) = chained(script).await;
    let mut front = Bench::start(Script::through_proxy(address, seat.authority.client(&[]))).await;
    for request in [get("api.test", "/"), upgrade("api.test")] {
        let mut agent = front.tunnel("api.test:443").await;
        let answer = agent.request(request).await;
        assert_eq!((answer.status, answer.text()), (451, "the seat says no"));
        assert_eq!(answer.header("x-denied-by"), Some("test"));
        front.event().await;
        front.event().await.admitted();
        assert!(matches!(front.event().await, Event::ProxyAnswered));
        let outcome = front.event().await.finished();
        assert_eq!((outcome.ended, outcome.bytes_down), (mitm::Ended::Complete, 16));
    }
}

#[tokio::test]
async fn a_proxy_that_refused_a_connection_made_ahead_is_not_asked_again_by_the_request() {
    let mut script = Script::direct(TestAuthority::new("unused").client(&[]));
    script.connect = Box::new(|_| Err(denial(451, "the seat says no")));
    let (mut seat, address, _directory) = chained(script).await;
    let mut script = Script::through_proxy(address, seat.authority.client(&[]));
    script.dials_ahead = true;
    let front = Bench::start(script).await;
    let mut agent = front.tunnel("api.test:443").await;
    assert!(matches!(seat.event().await, Event::Connect { .. }));
    let answer = agent.request(get("api.test", "/")).await;
    assert_eq!((answer.status, answer.text()), (451, "the seat says no"));
    seat.no_event();
}

#[tokio::test]
async fn a_way_around_the_trusted_proxy_fails_tls() {
    let origin = hello().await;
    // The "proxy" tunnels blindly to the origin instead of intercepting.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blind.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let target = origin.address;
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut peer = Agent::over(socket);
        peer.fill().await;
        peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let mut upstream = tokio::net::TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut peer.io, &mut upstream).await;
    });
    let seat_only = TestAuthority::new("the seat").client(&[b"http/1.1"]);
    let front = Bench::start(Script::through_proxy(ProxyAddress::Unix(path), seat_only)).await;
    let name = origin.name();
    let mut agent = front.tunnel(&name).await;
    assert_eq!(
        agent.request(get(&name, "/")).await.header("x-refused"),
        Some("upstream_tls")
    );
}

#[tokio::test]
async fn a_proxy_that_is_down_is_a_502() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = ProxyAddress::Unix(directory.path().join("nobody.sock"));
    let front = Bench::start(Script::through_proxy(
        nowhere,
        TestAuthority::new("x").client(&[]),
    ))
    .await;
    let mut agent = front.tunnel("api.test:443").await;
    let answer = agent.request(get("api.test", "/")).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_unreachable"))
    );
    assert!(answer.text().contains("upstream proxy"), "{}", answer.text());
}

#[tokio::test]
async fn a_proxy_by_tcp_works_like_one_by_socket() {
    let origin = hello().await;
    let seat = Bench::before(&origin).await;
    let address = mitm::Authority::parse_connect(seat.address.to_string().as_bytes()).unwrap();
    let trust = seat.authority.client(&[b"http/1.1"]);
    let front = Bench::start(Script::through_proxy(ProxyAddress::Tcp(address), trust)).await;
    let name = origin.name();
    let mut agent = front.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/")).await.text(), "hello");
}
