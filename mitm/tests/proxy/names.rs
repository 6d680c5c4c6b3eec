//! Everything that names a host names the same one, on every way in.

use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use mitm::{Reason, WayIn};

use crate::harness::*;

async fn origin() -> Origin {
    Origin::http(|_| async { text("hello") }).await
}

#[tokio::test]
async fn in_a_tunnel_host_must_be_the_connects() {
    let origin = origin().await;
    let mut bench = Bench::before(&origin).await;
    let port = origin.address.port();
    let mut agent = bench.tunnel(&origin.name()).await;
    bench.event().await;
    for (host, reason) in [
        ("other.test", Reason::AuthorityMismatch),
        (&*format!("other.test:{port}"), Reason::AuthorityMismatch),
        ("api.test", Reason::AuthorityMismatch),
        ("api.test:1", Reason::AuthorityMismatch),
        (&*format!("api.test.evil.test:{port}"), Reason::AuthorityMismatch),
        (&*format!("api.test.:{port}"), Reason::BadAuthority),
        (&*format!("x@api.test:{port}"), Reason::BadAuthority),
        ("", Reason::BadAuthority),
    ] {
        // The connection stays usable: the refusal is of one request.
        let answer = agent.request(get(host, "/")).await;
        assert_eq!(answer.status, reason.status().as_u16(), "{host:?}");
        assert_eq!(answer.header("x-refused"), Some(reason.as_str()), "{host:?}");
        assert_eq!(bench.event().await.refused(), reason, "{host:?}");
    }
    let answer = agent.request(get(&format!("API.Test:{port}"), "/")).await;
    assert_eq!(answer.status, 200, "case does not matter");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn in_a_tunnel_a_host_header_is_needed_exactly_once() {
    let origin = origin().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    for head in [
        "GET / HTTP/1.1\r\n\r\n".into(),
        format!("GET / HTTP/1.1\r\nHost: {name}\r\nHost: {name}\r\n\r\n"),
    ] {
        let answer = agent.request(&head).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (400, Some("bad_host_header")),
            "{head:?}"
        );
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn in_a_tunnel_an_absolute_target_must_be_the_connects() {
    let origin = origin().await;
    let bench = Bench::before(&origin).await;
    let (name, port) = (origin.name(), origin.address.port());
    let mut agent = bench.tunnel(&name).await;
    for target in [
        format!("https://other.test:{port}/"),
        "https://api.test/".to_owned(),
        format!("http://{name}/"),
    ] {
        let answer = agent
            .request(format!("GET {target} HTTP/1.1\r\nHost: {name}\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (421, Some("authority_mismatch")),
            "{target}"
        );
    }
    let answer = agent
        .request(format!("GET https://{name}/x HTTP/1.1\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn in_a_stream_the_authority_must_be_the_connects() {
    let origin = origin().await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<Empty<bytes::Bytes>>(agent).await;
    bench.event().await;
    for (uri, host) in [
        ("https://other.test/".to_owned(), None),
        ("https://api.test/".to_owned(), None),
        (format!("http://{name}/"), None),
        (format!("https://{name}/"), Some("other.test")),
    ] {
        let mut request = Request::builder().uri(&uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let response = within(client.send_request(request.body(Empty::new()).unwrap()))
            .await
            .unwrap();
        assert_eq!(response.status(), 421, "{uri} {host:?}");
        assert_eq!(bench.event().await.refused(), Reason::AuthorityMismatch);
    }
    let request = Request::get(format!("https://{name}/x"))
        .body(Empty::new())
        .unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    let (head, _) = bench.event().await.admitted();
    assert_eq!(
        (head.way_in, head.authority.to_string()),
        (WayIn::TunnelHttp2, name)
    );
}

#[tokio::test]
async fn in_the_clear_the_absolute_form_and_host_must_agree() {
    let origin = Origin::plain_http(|_| async { text("hello") }).await;
    let mut bench = Bench::before(&origin).await;
    let (name, port) = (origin.name(), origin.address.port());
    let mut agent = bench.agent().await;
    let answer = agent
        .request(format!("GET http://{name}/x?y HTTP/1.1\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let (head, _) = bench.event().await.admitted();
    assert_eq!(
        (head.way_in, head.path(), head.query()),
        (WayIn::AbsoluteForm, &b"/x"[..], Some(&b"y"[..]))
    );
    for (fields, status, reason) in [
        (format!("Host: other.test:{port}"), 421, "authority_mismatch"),
        ("Host: api.test".to_owned(), 421, "authority_mismatch"),
        (format!("Host: {name}\r\nHost: {name}"), 400, "bad_host_header"),
        ("X: y".to_owned(), 400, "bad_host_header"),
    ] {
        let answer = agent
            .request(format!("GET http://{name}/ HTTP/1.1\r\n{fields}\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (status, Some(reason)),
            "{fields}"
        );
    }
}

#[tokio::test]
async fn in_the_clear_other_forms_are_refused_with_a_hint() {
    let mut bench = Bench::start(Script::direct(TestAuthority::new("x").client(&[]))).await;
    for (target, reason, hint) in [
        ("/x", "not_a_proxy_request", "this is a forward proxy"),
        ("*", "not_a_proxy_request", "this is a forward proxy"),
        ("https://api.test/", "scheme_not_supported", "CONNECT"),
        ("ftp://api.test/", "scheme_not_supported", "http://"),
        ("http://user:pw@api.test/", "bad_authority", "user information"),
        ("http://0x7f.1/", "bad_authority", "IPv4"),
        ("http://api.test/#x", "bad_target", "fragment"),
        ("http://api.test?x", "bad_target", "/ after the host"),
    ] {
        let mut agent = bench.agent().await;
        let answer = agent
            .request(format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (400, Some(reason)),
            "{target}"
        );
        assert!(answer.text().contains(hint), "{target}: {}", answer.text());
        assert_eq!(bench.event().await.refused().as_str(), reason);
    }
}

#[tokio::test]
async fn a_connect_that_contradicts_itself_is_refused() {
    let bench = Bench::start(Script::direct(TestAuthority::new("x").client(&[]))).await;
    for (head, status, reason) in [
        (
            "CONNECT api.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
            421,
            "authority_mismatch",
        ),
        (
            "CONNECT api.test HTTP/1.1\r\nHost: api.test\r\n\r\n",
            400,
            "bad_authority",
        ),
        (
            "CONNECT https://api.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n",
            400,
            "bad_authority",
        ),
        (
            "CONNECT api.test\0.evil:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "malformed_head",
        ),
        ("CONNECT a@api.test:443 HTTP/1.1\r\n\r\n", 400, "bad_authority"),
        ("CONNECT 2130706433:443 HTTP/1.1\r\n\r\n", 400, "bad_authority"),
        (
            "CONNECT [fe80::1%25eth0]:443 HTTP/1.1\r\n\r\n",
            400,
            "bad_authority",
        ),
    ] {
        let mut agent = bench.agent().await;
        let answer = agent.request(head).await;
        assert_eq!(
            (answer.status, answer.header("x-refused")),
            (status, Some(reason)),
            "{head:?}"
        );
    }
}

#[tokio::test]
async fn what_is_judged_is_what_is_forwarded_byte_for_byte() {
    let origin = Origin::http(|request: Seen| async move { text(request.uri().to_string()) }).await;
    let mut bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    bench.event().await;
    for target in [
        "/",
        "//",
        "//evil.test/x",
        "/a/../b",
        "/a/%2e%2e/b",
        "/%2F%5c%00",
        "/a;x=1/..;/b",
        "/a\\b",
        "/a//b?c?d",
        "/?q=%zz&'()*+,$!~[]|{}^",
        "/%",
        "/a%2",
        "/..",
        "/.",
        "/;",
        "/:443",
        "/@acme%2Fpkg",
        "/?",
        "/A/b",
    ] {
        let answer = agent.request(get(&name, target)).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.text(), target);
        let (head, _) = bench.event().await.admitted();
        assert_eq!(head.target(), target.as_bytes());
        bench.event().await.finished();
    }
}

#[tokio::test]
async fn methods_that_lead_elsewhere_are_refused() {
    let origin = origin().await;
    let bench = Bench::before(&origin).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent
        .request(format!("TRACE / HTTP/1.1\r\nHost: {name}\r\n\r\n"))
        .await;
    assert_eq!(
        (answer.status, answer.header("x-refused")),
        (405, Some("method_not_supported"))
    );
    let agent = bench.tunnel_http2(&name).await;
    let mut client = h2_client::<Empty<bytes::Bytes>>(agent).await;
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(&name)
        .body(Empty::new())
        .unwrap();
    let refused = within(client.send_request(request)).await;
    assert!(refused.map_or(true, |response| response.status() != 200));
    assert_eq!(origin.connections(), 0);
}
