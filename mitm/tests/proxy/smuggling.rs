//! One request is one request: heads and bodies that others read differently never get through.
//!
//! Over raw sockets, on the plain leg and inside a tunnel, with an origin that would show what leaked.

use mitm::Reason;

use crate::harness::*;

/// An origin that answers every request it sees with its target, and hence shows what was smuggled.
async fn tell_tale() -> Origin {
    Origin::http(|request: Seen| async move {
        use http_body_util::BodyExt;
        let target = request.uri().to_string();
        let body = request
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        text(format!("{target} {}", String::from_utf8_lossy(&body)))
    })
    .await
}

async fn refused_everywhere(head: &str, rest: &str, reason: Reason) {
    let origin = tell_tale().await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut tunnelled = bench.tunnel(&name).await;
    bench.event().await;
    tunnelled
        .send(format!("POST /a HTTP/1.1\r\nHost: {name}\r\n{head}{rest}"))
        .await;
    let mut plain = bench.agent().await;
    plain
        .send(format!(
            "POST http://{name}/a HTTP/1.1\r\nHost: {name}\r\n{head}{rest}"
        ))
        .await;
    for agent in [&mut tunnelled, &mut plain] {
        let answer = read_answer(agent, "POST").await;
        assert_eq!(answer.status, reason.status().as_u16(), "{head:?}: {answer:?}");
        assert_eq!(answer.header("x-refused"), Some(reason.as_str()), "{head:?}");
        assert!(
            agent.rest().await.is_empty(),
            "{head:?}: the connection closes after the refusal"
        );
        assert_eq!(bench.event().await.refused(), reason, "{head:?}");
    }
    bench.no_event();
    assert_eq!(origin.connections(), 0, "{head:?}");
}

#[tokio::test]
async fn ambiguous_lengths_are_refused_on_every_leg() {
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "Content-Length: 5, 5\r\n\r\n",
        "Content-Length: +5\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: \x0bchunked\r\n\r\n",
    ] {
        let reason = if fields.contains('\x0b') {
            Reason::MalformedHead
        } else {
            Reason::AmbiguousFraming
        };
        refused_everywhere(fields, smuggled, reason).await;
    }
}

#[tokio::test]
async fn malformed_heads_are_refused_on_every_leg() {
    for fields in [
        "X: a\r\n b\r\n\r\n",
        "X: a\n\r\n",
        "X: a\rY: b\r\n\r\n",
        "X: a\0\r\n\r\n",
        "X : a\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n",
        "\x0bTransfer-Encoding: chunked\r\n\r\n",
        "X\r\n\r\n",
    ] {
        refused_everywhere(fields, "", Reason::MalformedHead).await;
    }
}

#[tokio::test]
async fn a_chunked_body_with_extensions_or_loose_line_ends_never_completes_upstream() {
    for chunks in [
        "5;x=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello",
    ] {
        let origin = tell_tale().await;
        let mut bench = Bench::before(&origin).await;
        let name = origin.name();
        let mut agent = bench.tunnel(&name).await;
        let head = format!("POST /a HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n");
        agent
            .send(format!(
                "{head}{chunks}GET /smuggled HTTP/1.1\r\nHost: {name}\r\n\r\n"
            ))
            .await;
        let rest = String::from_utf8_lossy(&agent.rest().await).into_owned();
        assert!(
            !rest.contains("200 OK") && !rest.contains("smuggled "),
            "{chunks:?}: {rest}"
        );
        assert!(
            rest.starts_with("HTTP/1.1 400") && rest.contains("request_body_broke"),
            "{chunks:?}: {rest}"
        );
        bench.event().await;
        bench.event().await.admitted();
        assert_eq!(
            bench.event().await.refused(),
            Reason::RequestBodyBroke,
            "{chunks:?}"
        );
        bench.event().await.finished();
        bench.no_event();
    }
}

#[tokio::test]
async fn pipelined_requests_are_judged_one_by_one() {
    let origin = tell_tale().await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let post = format!("POST /b HTTP/1.1\r\nHost: {name}\r\nContent-Length: 3\r\n\r\nabc");
    let chunked = format!(
        "POST /c HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"
    );
    agent
        .send(format!("{}{post}{chunked}{}", get(&name, "/a"), get(&name, "/d")))
        .await;
    for expected in ["/a ", "/b abc", "/c xyz", "/d "] {
        assert_eq!(read_answer(&mut agent, "GET").await.text(), expected);
    }
    bench.event().await;
    for sequence in 1..=4 {
        assert_eq!(bench.event().await.admitted().0.sequence, sequence);
        bench.event().await.finished();
    }
}

#[tokio::test]
async fn a_denied_request_does_not_open_the_way_for_the_next() {
    let origin = tell_tale().await;
    let mut script = Script::direct(origin.trust());
    script.admit =
        Box::new(|head, _| (head.path() != b"/good").then(|| mitm::Verdict::Deny(denial(403, "no"))));
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    // The denied request's body looks like a request.
    let inner = get(&name, "/good");
    let denied = format!(
        "POST /bad HTTP/1.1\r\nHost: {name}\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    agent
        .send(format!("{denied}{}{}", get(&name, "/bad"), get(&name, "/good")))
        .await;
    assert_eq!(read_answer(&mut agent, "POST").await.status, 403);
    assert_eq!(read_answer(&mut agent, "GET").await.status, 403);
    assert_eq!(read_answer(&mut agent, "GET").await.text(), "/good ");
    assert!(agent.unread.is_empty());
}

#[tokio::test]
async fn a_refused_head_behind_a_good_request_does_not_disturb_its_answer() {
    let origin = tell_tale().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent
        .send(format!("{}GET / HTTP/1.1\nHost: evil\n\n", get(&name, "/a")))
        .await;
    assert_eq!(read_answer(&mut agent, "GET").await.text(), "/a ");
    let refused = read_answer(&mut agent, "GET").await;
    assert_eq!(
        (refused.status, refused.header("x-refused")),
        (400, Some("malformed_head"))
    );
}

#[tokio::test]
async fn an_agent_that_claims_more_body_than_it_sends_completes_nothing() {
    let origin = tell_tale().await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent
        .send(format!(
            "POST /a HTTP/1.1\r\nHost: {name}\r\nContent-Length: 10\r\n\r\nabc"
        ))
        .await;
    bench.event().await;
    bench.event().await.admitted();
    drop(agent);
    // Whichever side notices first: the request is over, and the origin has not answered it.
    loop {
        match bench.event().await {
            Event::Finished(outcome) => {
                assert_ne!(outcome.ended, mitm::Ended::Complete);
                break;
            }
            Event::Refused { reason, .. } => assert_eq!(reason, Reason::RequestBodyBroke),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_response_with_two_lengths_reaches_the_agent_with_the_one_that_is_sent() {
    for (head, body, status) in [
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            200,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            200,
        ),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello", 200),
        ("Content-Length: 5, 5\r\n", "hello", 200),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello", 502),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            502,
        ),
        ("Transfer-Encoding: gzip\r\n", "hello", 502),
    ] {
        let origin = Origin::tls(
            &[b"http/1.1"],
            serve_raw(move |io| async move {
                let mut peer = Agent::over(io);
                peer.fill().await;
                peer.try_send(format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}"))
                    .await;
                peer.rest().await;
            }),
        )
        .await;
        let bench = Bench::before(&origin).await;
        let name = origin.name();
        let mut agent = bench.tunnel(&name).await;
        let answer = agent.request(get(&name, "/")).await;
        assert_eq!(answer.status, status, "{head:?}");
        if status == 200 {
            assert_eq!((answer.text(), answer.complete), ("hello", true), "{head:?}");
            assert!(
                answer.headers.get_all("content-length").iter().count() <= 1,
                "{answer:?}"
            );
            let both =
                answer.header("content-length").is_some() && answer.header("transfer-encoding").is_some();
            assert!(!both, "{answer:?}");
        }
    }
}
