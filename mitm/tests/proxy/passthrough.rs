//! Tunnels that are not looked into: a ClientHello first, then bytes, and one outcome.

use std::sync::Arc;
use std::time::Duration;

use mitm::{
    AddressRules, ConnectPlan, Ended, Limits, ListenAddress, Listener, ProxyAddress, Reason, Timeouts,
};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

/// Passes everything through.
fn through(mut script: Script) -> Script {
    script.connect = Box::new(|_| Ok(ConnectPlan::Passthrough));
    script
}

async fn greeter() -> Origin {
    Origin::http(|request| async move { text(format!("hello {}", request.uri())) }).await
}

/// The agent's own session with the origin, through the proxy.
async fn session(bench: &Bench, origin: &Origin) -> Agent {
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    let trust = origin.authority.client(&[b"http/1.1"]);
    agent
        .tls("api.test", trust)
        .await
        .expect("the origin's own session")
}

async fn outcome(bench: &mut Bench) -> mitm::Outcome {
    assert!(matches!(bench.event().await, Event::Connect { .. }));
    assert!(matches!(bench.event().await, Event::Tunnel { .. }));
    let outcome = bench.event().await.finished();
    bench.no_event();
    outcome
}

fn hello_for(name: &str, config: Arc<ClientConfig>) -> Vec<u8> {
    let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(config, name)
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    hello
}

#[tokio::test]
async fn the_agent_speaks_tls_with_the_host_itself_and_the_policy_is_told_once() {
    let origin = greeter().await;
    let mut bench = Bench::start(through(Script::direct(origin.trust()))).await;
    let mut agent = session(&bench, &origin).await;
    assert!(matches!(bench.event().await, Event::Connect { .. }));
    assert!(matches!(bench.event().await, Event::Tunnel { authority } if authority == origin.name()));
    for path in ["/a", "/b"] {
        let answer = agent.request(get(&origin.name(), path)).await;
        assert_eq!(answer.text(), format!("hello {path}"));
    }
    agent.io.shutdown().await.unwrap();
    agent.rest().await;
    let outcome = bench.event().await.finished();
    bench.no_event();
    assert_eq!(outcome.ended, Ended::Complete);
    assert_eq!(outcome.status.unwrap(), 200);
    assert!(outcome.bytes_up > 200 && outcome.bytes_down > 200, "{outcome:?}");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_hello_in_pieces_is_forwarded_as_it_came() {
    let origin = greeter().await;
    let bench = Bench::start(through(Script::direct(origin.trust()))).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    let hello = hello_for("api.test", origin.trust());
    for piece in hello.chunks(hello.len() / 20) {
        agent.send(piece).await;
    }
    assert_eq!(agent.take(1).await[0], 0x16, "a ServerHello");
}

#[tokio::test]
async fn without_a_hello_that_names_the_host_nothing_is_dialled() {
    let origin = greeter().await;
    let mut bench = Bench::start(through(Script::direct(origin.trust()))).await;
    let whole = hello_for("api.test", origin.trust());
    let mut endless = vec![0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0xff, 0x00];
    endless.resize(5 + 0x4000, 0);
    let endless: Vec<u8> = (0..3)
        .flat_map(|record| {
            let mut record_bytes = endless.clone();
            // Only the first record begins the message.
            if record > 0 {
                record_bytes[5..9].fill(0);
            }
            record_bytes
        })
        .collect();
    for (first, reason) in [
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), Reason::NotTls),
        (
            b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n".to_vec(),
            Reason::NotTls,
        ),
        (
            b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00".to_vec(),
            Reason::NotTls,
        ),
        (endless, Reason::NotTls),
        (hello_for("other.test", origin.trust()), Reason::AuthorityMismatch),
        // rustls sends no SNI for an address.
        (hello_for("127.0.0.1", origin.trust()), Reason::SniMissing),
    ] {
        let mut agent = bench.agent().await;
        assert_eq!(agent.connect(&origin.name()).await.status, 200);
        agent.try_send(&first).await;
        agent.rest().await;
        bench.event().await;
        assert_eq!(bench.event().await.refused(), reason, "{reason:?}");
        bench.no_event();
    }
    // Cut off inside: no one is left to tell.
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(&whole[..whole.len() / 2]).await;
    agent.io.shutdown().await.unwrap();
    assert!(agent.rest().await.is_empty());
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_hello_that_does_not_come_is_closed() {
    let origin = greeter().await;
    let limits = Limits {
        timeouts: Timeouts {
            tls: Duration::from_millis(50),
            ..Timeouts::default()
        },
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(through(Script::direct(origin.trust())), limits).await;
    for first in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut agent = bench.agent().await;
        assert_eq!(agent.connect(&origin.name()).await.status, 200);
        agent.send(first).await;
        assert!(agent.rest().await.is_empty());
        bench.event().await;
        assert_eq!(bench.event().await.refused(), Reason::TlsHandshake);
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn the_policy_has_the_last_word_before_and_after_dialling() {
    let origin = greeter().await;
    let mut script = through(Script::direct(origin.trust()));
    script.tunnel = Box::new(|| Some(denial(403, "not any more")));
    let mut bench = Bench::start(script).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(hello_for("api.test", origin.trust())).await;
    assert_eq!(agent.rest().await[0], 0x15, "an alert");
    bench.event().await;
    assert!(matches!(bench.event().await, Event::Tunnel { .. }));
    bench.no_event();
    assert_eq!(origin.connections(), 0);

    let mut script = through(Script::direct(origin.trust()));
    script.standing = Some(Arc::new(|| Some(denial(403, "withdrawn"))));
    let mut bench = Bench::start(script).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(hello_for("api.test", origin.trust())).await;
    assert_eq!(agent.rest().await[0], 0x15, "an alert");
    let logged = "withdrawn".to_owned();
    assert_eq!(outcome(&mut bench).await.ended, Ended::RequestCut { logged });
}

#[tokio::test]
async fn a_policy_that_does_not_say_how_passes_no_tunnel_through() {
    struct Silent;
    impl mitm::Policy for Silent {
        type Permit = TestPermit;
        fn connect(&self, _: &mitm::ConnectRequest<'_>) -> Result<ConnectPlan, mitm::Denial> {
            Ok(ConnectPlan::Passthrough)
        }
        async fn admit(&self, _: &mitm::RequestHead, _: &mut http::HeaderMap) -> mitm::Verdict<TestPermit> {
            unreachable!("there is no request inside")
        }
        fn refused(&self, _: &mitm::Refusal<'_>) -> mitm::LocalResponse {
            mitm::LocalResponse::default()
        }
    }
    let authority = TestAuthority::new("test agent CA");
    let ca =
        mitm::CertificateAuthority::from_pem(&authority.certificate_pem(), &authority.key_pem()).unwrap();
    let proxy = mitm::Proxy::new(Arc::new(Silent), ca, Limits::default());
    let listener = Listener::bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        proxy
            .serve(listener, tokio_util::sync::CancellationToken::new())
            .await
    });
    let mut agent = Agent::dial(address).await;
    assert_eq!(agent.connect("api.test:443").await.status, 200);
    agent.send(hello_for("api.test", authority.client(&[]))).await;
    assert_eq!(agent.rest().await[0], 0x15, "an alert");
}

#[tokio::test]
async fn a_host_that_must_not_be_or_cannot_be_reached_is_an_outcome() {
    let origin = greeter().await;
    let rules = AddressRules::default();
    let resolver = Arc::new(Loopback);
    let dialer = mitm::Dialer::Direct { rules, resolver };
    let script = through(Script::via(mitm::Upstream::new(dialer, origin.trust())));
    let mut bench = Bench::start(script).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(hello_for("api.test", origin.trust())).await;
    assert_eq!(agent.rest().await[0], 0x15, "an alert");
    bench.event().await;
    bench.event().await;
    assert!(matches!(
        bench.event().await,
        Event::Refused {
            reason: Reason::AddressForbidden,
            admitted: true,
            answerable: false,
            ..
        }
    ));
    let ended = bench.event().await.finished().ended;
    assert_eq!(ended, Ended::Refused(Reason::AddressForbidden));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_tunnel_goes_through_an_upstream_proxy_too_and_its_refusal_is_an_outcome() {
    let origin = greeter().await;
    let seat = Bench::start(through(Script::direct(origin.trust()))).await;
    let mut refusing = Script::direct(origin.trust());
    refusing.connect = Box::new(|_| Err(denial(403, "the seat says no")));
    let refusing = Bench::start(refusing).await;
    let script = |seat: &Bench| {
        let address = mitm::Authority::parse_connect(seat.address.to_string().as_bytes()).unwrap();
        through(Script::through_proxy(ProxyAddress::Tcp(address), origin.trust()))
    };
    let bench = Bench::start(script(&seat)).await;
    let mut agent = session(&bench, &origin).await;
    assert_eq!(agent.request(get(&origin.name(), "/")).await.text(), "hello /");

    let mut bench = Bench::start(script(&refusing)).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(hello_for("api.test", origin.trust())).await;
    assert_eq!(agent.rest().await[0], 0x15, "an alert");
    bench.event().await;
    bench.event().await;
    assert!(matches!(bench.event().await, Event::ProxyAnswered));
    assert_eq!(bench.event().await.refused(), Reason::UpstreamUnreachable);
    let ended = bench.event().await.finished().ended;
    assert_eq!(ended, Ended::Refused(Reason::UpstreamUnreachable));
}

#[tokio::test]
async fn each_end_of_a_tunnel_is_told_apart() {
    // The upstream breaks off: a TCP reset, for there is something unread.
    let script = |mut io: Box<dyn Io>| async move {
        let mut first = [0; 1];
        io.read_exact(&mut first).await.unwrap();
    };
    let origin = Origin::plain(serve_raw(script)).await;
    let mut bench = Bench::start(through(Script::direct(origin.trust()))).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(hello_for("api.test", origin.trust())).await;
    agent.rest().await;
    assert_eq!(outcome(&mut bench).await.ended, Ended::UpstreamBroke);

    // Nothing comes.
    let silent = |mut io: Box<dyn Io>| async move {
        let _ = io.read_to_end(&mut Vec::new()).await;
    };
    let origin = Origin::plain(serve_raw(silent)).await;
    let limits = Limits {
        timeouts: Timeouts {
            idle: Duration::from_millis(100),
            ..Timeouts::default()
        },
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(through(Script::direct(origin.trust())), limits).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(hello_for("api.test", origin.trust())).await;
    agent.rest().await;
    assert_eq!(outcome(&mut bench).await.ended, Ended::Idle);

    // The proxy goes down.
    let limits = Limits {
        timeouts: Timeouts {
            drain: Duration::from_millis(500),
            ..Timeouts::default()
        },
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(through(Script::direct(origin.trust())), limits).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(hello_for("api.test", origin.trust())).await;
    bench.event().await;
    bench.event().await;
    bench.shutdown.cancel();
    agent.rest().await;
    assert_eq!(bench.event().await.finished().ended, Ended::Drained);
}
