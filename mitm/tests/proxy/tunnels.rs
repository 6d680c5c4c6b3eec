//! CONNECT and what may follow it.

use mitm::{ConnectPlan, Reason};
use tokio::io::AsyncWriteExt;

use crate::harness::*;

async fn ok_origin() -> Origin {
    Origin::http(|_| async { text("hello") }).await
}

#[tokio::test]
async fn a_request_goes_through_a_tunnel_and_comes_back() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    let mut agent = bench.tunnel(&origin.name()).await;
    let answer = agent.request(get(&origin.name(), "/x")).await;
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "hello", true)
    );
    assert!(matches!(bench.event().await, Event::Connect { authority } if authority == origin.name()));
    let (head, _) = bench.event().await.admitted();
    assert_eq!(head.authority.to_string(), origin.name());
    assert_eq!((head.sequence, head.target()), (1, &b"/x"[..]));
}

#[tokio::test]
async fn a_denied_connect_is_answered_with_status_and_body_and_no_tunnel() {
    let origin = ok_origin().await;
    let mut script = Script::direct(origin.trust());
    script.connect = Box::new(|_| Err(denial(403, "not on the list")));
    let bench = Bench::start(script).await;
    let mut agent = bench.agent().await;
    // What was pipelined behind the head goes nowhere.
    agent
        .send(format!(
            "CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            origin.name()
        ))
        .await;
    let answer = read_answer(&mut agent, "CONNECT").await;
    assert_eq!((answer.status, answer.text()), (403, "not on the list"));
    assert_eq!(answer.header("x-denied-by"), Some("test"));
    assert!(agent.rest().await.is_empty());
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn bytes_pipelined_behind_connect_are_kept() {
    let origin = ok_origin().await;
    let bench = Bench::before(&origin).await;
    let config = bench.authority.client(&[b"http/1.1"]);
    // The ClientHello travels in the same segment as the CONNECT head.
    let name = rustls_pki_types::ServerName::try_from("api.test").unwrap();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut first = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.name()).into_bytes();
    client.write_tls(&mut first).unwrap();
    let mut agent = bench.agent().await;
    agent.send(&first).await;
    assert_eq!(read_answer(&mut agent, "CONNECT").await.status, 200);
    let server_flight = agent.take(5).await;
    assert_eq!(server_flight[0], 0x16, "a ServerHello");
}

#[tokio::test]
async fn a_connect_head_may_arrive_byte_by_byte() {
    let origin = ok_origin().await;
    let bench = Bench::before(&origin).await;
    let mut agent = bench.agent().await;
    for byte in format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.name()).bytes() {
        agent.send([byte]).await;
    }
    assert_eq!(read_answer(&mut agent, "CONNECT").await.status, 200);
}

#[tokio::test]
async fn plain_http_inside_connect_is_refused_in_a_way_that_an_agent_can_read() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    for first in ["GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "G"] {
        let mut agent = bench.agent().await;
        assert_eq!(agent.connect(&origin.name()).await.status, 200);
        agent.send(first).await;
        if first.len() == 1 {
            agent.send("ET / HTTP/1.1\r\n").await;
        }
        let answer = read_answer(&mut agent, "GET").await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (403, Some("not_tls"))
        );
        bench.event().await;
        assert_eq!(bench.event().await.refused(), Reason::NotTls);
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn anything_but_tls_after_connect_is_closed_without_a_byte() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    for first in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\x15\x03\x03\0\x02\x02\x28",
    ] {
        let mut agent = bench.agent().await;
        assert_eq!(agent.connect(&origin.name()).await.status, 200);
        agent.send(first).await;
        assert!(agent.rest().await.is_empty(), "{first:?}");
        bench.event().await;
        assert_eq!(bench.event().await.refused(), Reason::NotTls);
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_handshake_record_that_holds_no_client_hello_is_refused() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00").await;
    let alert = agent.rest().await;
    assert!(alert.is_empty() || alert[0] == 0x15, "{alert:?}");
    bench.event().await;
    assert_eq!(bench.event().await.refused(), Reason::NotTls);
}

#[tokio::test]
async fn sni_must_name_the_connects_host() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    let config = bench.authority.client(&[b"http/1.1"]);
    let error = agent.tls("other.test", config).await.err().expect("no session");
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    bench.event().await;
    assert_eq!(bench.event().await.refused(), Reason::AuthorityMismatch);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_client_hello_without_sni_is_refused() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    // rustls sends no SNI for an address.
    let session = agent.tls("127.0.0.1", bench.authority.client(&[])).await;
    assert!(session.is_err());
    bench.event().await;
    assert_eq!(bench.event().await.refused(), Reason::SniMissing);
}

#[tokio::test]
async fn an_address_that_the_policy_admits_gets_a_leaf_for_the_address() {
    let origin = ok_origin().await;
    let bench = Bench::before(&origin).await;
    let name = format!("127.0.0.1:{}", origin.address.port());
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&name).await.status, 200);
    // The session stands; upstream fails, since the origin's certificate has no such address.
    let mut agent = agent
        .tls("127.0.0.1", bench.authority.client(&[b"http/1.1"]))
        .await
        .unwrap();
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (502, Some("upstream_tls"))
    );
}

#[tokio::test]
async fn an_agent_that_does_not_trust_the_ca_is_reported() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    let stranger = TestAuthority::new("stranger").client(&[]);
    assert!(agent.tls("api.test", stranger).await.is_err());
    bench.event().await;
    assert_eq!(bench.event().await.refused(), Reason::TlsHandshake);
}

#[tokio::test]
async fn the_plan_says_whether_http2_is_offered() {
    let origin = ok_origin().await;
    let mut script = Script::direct(origin.trust());
    script.connect = Box::new(|_| Ok(ConnectPlan::Intercept { http2: false }));
    let bench = Bench::start(script).await;
    let mut agent = bench
        .agent()
        .await
        .tunnel(&origin.name(), &bench.authority, &[b"h2", b"http/1.1"])
        .await;
    assert_eq!(agent.request(get(&origin.name(), "/")).await.status, 200);
}

#[tokio::test]
async fn connect_inside_a_tunnel_leads_nowhere() {
    let origin = ok_origin().await;
    let mut bench = Bench::before(&origin).await;
    let mut agent = bench.tunnel(&origin.name()).await;
    let answer = agent.connect("other.test:443").await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (405, Some("method_not_supported"))
    );
    bench.event().await;
    assert_eq!(bench.event().await.refused(), Reason::MethodNotSupported);
}

#[tokio::test]
async fn connect_after_a_plain_request_on_the_same_connection_is_a_connect() {
    let origin = ok_origin().await;
    let plain = Origin::plain_http(|_| async { text("plain") }).await;
    let bench = Bench::before(&origin).await;
    let mut agent = bench.agent().await;
    let answer = agent
        .request(format!(
            "GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n",
            plain.name()
        ))
        .await;
    assert_eq!(answer.text(), "plain");
    let mut agent = agent
        .tunnel(&origin.name(), &bench.authority, &[b"http/1.1"])
        .await;
    assert_eq!(agent.request(get(&origin.name(), "/")).await.text(), "hello");
}

#[tokio::test]
async fn an_agent_that_leaves_inside_the_handshake_leaves_nothing_behind() {
    let origin = ok_origin().await;
    let bench = Bench::before(&origin).await;
    let mut agent = bench.agent().await;
    assert_eq!(agent.connect(&origin.name()).await.status, 200);
    agent.send(b"\x16\x03\x01").await;
    agent.io.shutdown().await.unwrap();
    assert!(agent.rest().await.is_empty());
    bench.shutdown.cancel();
    within(bench.serving).await.unwrap();
}
