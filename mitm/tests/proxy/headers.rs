//! Header fields on their way through.

use http::HeaderValue;
use http_body_util::{BodyExt, Full};

use crate::harness::*;

/// Answers with the request's header fields, one per line.
async fn mirror() -> Origin {
    Origin::http(|request: Seen| async move {
        let fields: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        text(fields.join("\n"))
    })
    .await
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop() {
    let origin = mirror().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent
        .request(format!(
            "GET / HTTP/1.1\r\nHost: {name}\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\
             Proxy-Authorization: Basic x\r\nX-End: to-end\r\n\r\n"
        ))
        .await;
    assert_eq!(answer.text(), format!("host: {name}\nx-end: to-end"));
}

#[tokio::test]
async fn te_is_given_back_for_grpc() {
    let origin = mirror().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent
        .request(format!(
            "GET / HTTP/1.1\r\nHost: {name}\r\nTE: trailers\r\nContent-Type: application/grpc\r\n\r\n"
        ))
        .await;
    assert!(answer.text().contains("te: trailers"), "{}", answer.text());
}

#[tokio::test]
async fn the_policy_sees_what_will_be_forwarded_and_alone_may_change_it() {
    let origin = mirror().await;
    let mut script = Script::direct(origin.trust());
    script.admit = Box::new(|_, headers| {
        headers.insert("authorization", HeaderValue::from_static("Bearer injected"));
        headers.insert("host", HeaderValue::from_static("evil.test"));
        headers.remove("x-agent");
        None
    });
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    // The agent asks for the injected field to be stripped.
    let answer = agent
        .request(format!(
            "GET / HTTP/1.1\r\nHost: {name}\r\nConnection: authorization\r\nAuthorization: Bearer mine\r\n\
             Proxy-Authorization: Basic x\r\nX-Agent: 1\r\n\r\n"
        ))
        .await;
    assert_eq!(
        answer.text(),
        format!("host: {name}\nauthorization: Bearer injected")
    );
    bench.event().await;
    let (_, seen) = bench.event().await.admitted();
    assert!(
        !seen.contains_key("authorization") && !seen.contains_key("connection"),
        "{seen:?}"
    );
    assert_eq!(seen["proxy-authorization"], "Basic x");
}

#[tokio::test]
async fn a_response_loses_alt_svc_and_its_hop_by_hop_fields() {
    let origin = Origin::http(|_| async {
        let mut response = text("x");
        for (name, value) in [
            ("alt-svc", "h3=\":443\""),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("x-end", "2"),
        ] {
            response
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        response
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!(answer.header("x-end"), Some("2"));
    for gone in ["alt-svc", "x-hop", "connection"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn an_expectation_is_answered_here_and_any_other_refused() {
    let origin = Origin::http(|request: Seen| async move {
        assert!(!request.headers().contains_key("expect"));
        text(request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let head =
        format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    agent.send(&head).await;
    assert_eq!(read_head(&mut agent).await.unwrap().0, 100);
    agent.send("body").await;
    assert_eq!(read_answer(&mut agent, "POST").await.text(), "body");
    let odd = format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 0\r\nExpect: tea\r\n\r\n");
    let answer = agent.request(odd).await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (417, Some("expectation_failed"))
    );
}

#[tokio::test]
async fn a_denial_comes_before_100_continue() {
    let origin = mirror().await;
    let mut script = Script::direct(origin.trust());
    script.admit = Box::new(|_, _| Some(mitm::Verdict::Deny(denial(403, "no"))));
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    agent
        .send(format!(
            "POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        ))
        .await;
    assert_eq!(read_answer(&mut agent, "POST").await.status, 403);
}

#[tokio::test]
async fn informational_responses_are_consumed_and_the_final_one_forwarded() {
    let origin = Origin::tls(&[b"http/1.1"], serve_raw(|io| async move {
        let mut peer = Agent::over(io);
        read_request(&mut peer).await;
        peer.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        peer.rest().await;
    }))
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_keep_the_connection() {
    let origin = Origin::tls(
        &[b"http/1.1"],
        serve_raw(|io| async move {
            let mut peer = Agent::over(io);
            loop {
                let request = read_request(&mut peer).await;
                let answer = match request.split(' ').nth(1) {
                    Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                    Some("/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n",
                    Some("/head") => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                    Some("/head-chunked") => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    Some(_) => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                    None => return,
                };
                peer.send(answer).await;
            }
        }),
    )
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    assert_eq!(agent.request(get(&name, "/204")).await.status, 204);
    let answer = agent.request(get(&name, "/304")).await;
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"x\"")));
    let answer = agent
        .request(format!("HEAD /head HTTP/1.1\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("1234"))
    );
    assert_eq!(
        agent
            .request(format!("HEAD /head-chunked HTTP/1.1\r\nHost: {name}\r\n\r\n"))
            .await
            .status,
        200
    );
    assert_eq!(agent.request(get(&name, "/x")).await.text(), "ok");
    assert_eq!(origin.connections(), 1, "all on one upstream connection");
}

#[tokio::test]
async fn an_empty_body_keeps_its_length() {
    let origin = mirror().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent
        .request(format!(
            "POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    assert!(answer.text().contains("content-length: 0"), "{}", answer.text());
}

#[tokio::test]
async fn no_trailer_of_a_request_goes_through_not_even_with_grpc() {
    let origin = Origin::http2(|request: Seen| async move {
        let trailers = request
            .into_body()
            .collect()
            .await
            .unwrap()
            .trailers()
            .cloned()
            .unwrap_or_default();
        let mut fields: Vec<_> = trailers.keys().map(|name| name.as_str().to_owned()).collect();
        fields.sort();
        text(fields.join(","))
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client(agent).await;
    let trailers = async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-http-method-override", HeaderValue::from_static("DELETE"));
        trailers.insert("x-api-key", HeaderValue::from_static("mine"));
        trailers.insert("authorization", HeaderValue::from_static("Bearer smuggled"));
        Some(Ok(trailers))
    };
    let body = Full::new(bytes::Bytes::from_static(b"data"))
        .with_trailers(trailers)
        .boxed_unsync();
    let request = http::Request::post(format!("https://{name}/"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
}

/// Reads one request's head; empty when the connection ends.
async fn read_request(peer: &mut Agent) -> String {
    loop {
        if let Some(end) = peer.unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = peer.unread.split_to(end + 4);
            return String::from_utf8(head.to_vec()).unwrap();
        }
        if !peer.fill().await {
            return String::new();
        }
    }
}
