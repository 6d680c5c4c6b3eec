//! HTTP/1.1 and HTTP/2, chosen on each leg by itself.

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty, Full};

use crate::harness::*;

/// Says what the origin saw: version, target, host, cookie, body.
async fn report(request: Seen) -> String {
    let version = request.version();
    let target = request.uri().path_and_query().unwrap().to_string();
    let authority = request.uri().authority().map(ToString::to_string);
    let host = request
        .headers()
        .get("host")
        .map(|host| host.to_str().unwrap().to_owned());
    let cookie = request
        .headers()
        .get("cookie")
        .map(|cookie| cookie.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let host = host.or(authority).unwrap();
    format!(
        "{version:?} {target} {host} {} {}",
        cookie.unwrap_or_default(),
        String::from_utf8_lossy(&body)
    )
}

#[tokio::test]
async fn http2_agents_reach_http1_origins() {
    let origin = Origin::http(|request: Seen| async move { text(report(request).await) }).await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client(agent).await;
    let mut request = Request::post(format!("https://{name}/a/../b?c=%2F"))
        .body(Full::new(Bytes::from("body")))
        .unwrap();
    request
        .headers_mut()
        .append("cookie", HeaderValue::from_static("a=1"));
    request
        .headers_mut()
        .append("cookie", HeaderValue::from_static("b=2"));
    let response = within(client.send_request(request)).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!("HTTP/1.1 /a/../b?c=%2F {name} a=1; b=2 body"));
}

#[tokio::test]
async fn http1_agents_reach_http2_origins() {
    let origin = Origin::http2(|request: Seen| async move { text(report(request).await) }).await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let request = format!("POST /x?y HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = agent.request(format!("{request}4\r\nbody\r\n0\r\n\r\n")).await;
    assert_eq!(answer.text(), format!("HTTP/2.0 /x?y {name}  body"));
}

#[tokio::test]
async fn http2_agents_reach_http2_origins_with_many_streams_at_once() {
    let origin = Origin::http2(|request: Seen| async move { text(report(request).await) }).await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let client = h2_client::<Empty<Bytes>>(agent).await;
    let mut running = tokio::task::JoinSet::new();
    for stream in 0..50 {
        let mut client = client.clone();
        let request = Request::get(format!("https://{name}/{stream}"))
            .body(Empty::new())
            .unwrap();
        running.spawn(async move {
            let response = client.send_request(request).await.unwrap();
            (stream, response.into_body().collect().await.unwrap().to_bytes())
        });
    }
    while let Some(done) = within(running.join_next()).await {
        let (stream, body) = done.unwrap();
        assert_eq!(body, format!("HTTP/2.0 /{stream} {name}  "));
    }
}

#[tokio::test]
async fn one_slow_stream_does_not_hold_up_another() {
    let origin = Origin::http(|request: Seen| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        text("fast")
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<Empty<Bytes>>(agent).await;
    let slow = Request::get(format!("https://{name}/slow"))
        .body(Empty::new())
        .unwrap();
    let _slow = client.send_request(slow);
    let fast = Request::get(format!("https://{name}/fast"))
        .body(Empty::new())
        .unwrap();
    assert_eq!(within(client.send_request(fast)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_stream_that_the_agent_resets_ends_its_request() {
    let (arrived, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::http(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    })
    .await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<Empty<Bytes>>(agent).await;
    let request = Request::get(format!("https://{name}/"))
        .body(Empty::new())
        .unwrap();
    let sending = tokio::spawn(client.send_request(request));
    within(waiting.recv()).await.unwrap();
    sending.abort();
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.finished().ended, mitm::Ended::AgentGone);
}

#[tokio::test]
async fn grpc_style_trailers_come_back() {
    let origin = Origin::http2(|_| async {
        let trailers = async {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            Some(Ok(trailers))
        };
        http::Response::new(
            Full::new(Bytes::from("message"))
                .map_err(|never| match never {})
                .with_trailers(trailers)
                .boxed(),
        )
    })
    .await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<Empty<Bytes>>(agent).await;
    let request = Request::post(format!("https://{name}/"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(Empty::new())
        .unwrap();
    let collected = within(client.send_request(request))
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "message");
}

#[tokio::test]
async fn an_http10_agent_gets_an_answer_that_it_can_read() {
    let origin = Origin::http(|_| async { text("hello") }).await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent
        .request(format!("GET / HTTP/1.0\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert!(agent.rest().await.is_empty(), "and the connection closes");
}

#[tokio::test]
async fn bytes_beyond_ascii_in_a_stream_path_are_refused() {
    let origin = Origin::http(|_| async { text("hello") }).await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<Empty<Bytes>>(agent).await;
    let request = Request::get(format!("https://{name}/caf\u{e9}"))
        .body(Empty::new())
        .unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-refused"]),
        (400, &"bad_target".parse().unwrap())
    );
}
