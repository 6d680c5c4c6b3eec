use super::*;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const HEAD_BYTES: usize = 256;

fn gate(leg: Leg) -> (Gate<DuplexStream>, DuplexStream, Arc<Activity>) {
    // Longer than any machine is busy with something else.
    impatient_gate(leg, Duration::from_secs(60))
}

fn impatient_gate(leg: Leg, head: Duration) -> (Gate<DuplexStream>, DuplexStream, Arc<Activity>) {
    let (agent, inner) = tokio::io::duplex(1 << 16);
    let activity = Activity::new();
    (
        Gate::new(inner, leg, HEAD_BYTES, head, Arc::clone(&activity)),
        agent,
        activity,
    )
}

/// What comes through to the end, where each message is over as soon as its last byte has passed.
async fn pass(
    mut agent: DuplexStream,
    mut gate: Gate<DuplexStream>,
    activity: &Arc<Activity>,
    pieces: &[&[u8]],
) -> (Vec<u8>, Option<Stop>) {
    let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let writing = tokio::spawn(async move {
        for piece in pieces {
            agent.write_all(&piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut passed = Vec::new();
    while !matches!(gate.read_buf(&mut passed).await, Ok(0) | Err(_)) {
        if matches!(gate.at, At::Head) && gate.passable == 0 {
            drop(activity.under_way());
        }
    }
    writing.await.unwrap();
    (passed, gate.take_stop())
}

#[tokio::test]
async fn messages_pass_one_by_one_and_unchanged() {
    let messages: &[&[u8]] = &[
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        b"GET /d HTTP/1.1\r\n\r\n",
    ];
    let all = messages.concat();
    for step in [1, 2, 3, 7, 40, 1000] {
        let (gate, agent, activity) = gate(Leg::Tunnel);
        let pieces: Vec<_> = all.chunks(step).collect();
        let (passed, stop) = pass(agent, gate, &activity, &pieces).await;
        assert!(stop.is_none());
        assert_eq!(
            String::from_utf8_lossy(&passed),
            String::from_utf8_lossy(&all),
            "in steps of {step}"
        );
    }
}

#[tokio::test]
async fn nothing_of_a_refused_head_passes() {
    for step in [1, 5, 1000] {
        let (gate, agent, activity) = gate(Leg::Tunnel);
        let all = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        let pieces: Vec<_> = all.chunks(step).collect();
        let (passed, stop) = pass(agent, gate, &activity, &pieces).await;
        assert_eq!(passed, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(stop, Some(Stop::Refused(error)) if error.reason == Reason::AmbiguousFraming));
    }
}

#[tokio::test]
async fn no_further_head_passes_while_a_response_is_on_its_way() {
    let (mut gate, mut agent, activity) = gate(Leg::Tunnel);
    let head = b"GET / HTTP/1.1\r\n\r\n";
    agent.write_all(&head.repeat(2)).await.unwrap();
    let mut passed = Vec::new();
    gate.read_buf(&mut passed).await.unwrap();
    assert_eq!(passed, head);
    let mut second = Vec::new();
    let early = tokio::time::timeout(Duration::from_millis(30), gate.read_buf(&mut second)).await;
    assert!(early.is_err(), "the second head waits");
    // The end of the response wakes the reader.
    let reading = tokio::spawn(async move {
        gate.read_buf(&mut second).await.unwrap();
        second
    });
    tokio::task::yield_now().await;
    drop(activity.under_way());
    let second = tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("the reader wakes");
    assert_eq!(second.unwrap(), head);
}

#[tokio::test]
async fn an_agent_that_leaves_is_noticed_while_a_response_is_on_its_way() {
    let (mut gate, mut agent, _activity) = gate(Leg::Tunnel);
    agent.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut passed = Vec::new();
    gate.read_buf(&mut passed).await.unwrap();
    drop(agent);
    assert_eq!(gate.read_buf(&mut passed).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connect_is_taken_out_and_what_follows_is_kept() {
    let (mut gate, mut agent, _activity) = gate(Leg::Plain);
    agent
        .write_all(b"CONNECT a.com:443 HTTP/1.1\r\n\r\n\x16\x03")
        .await
        .unwrap();
    assert!(gate.first_head().await.unwrap());
    let Some(Stop::Connect(connect)) = gate.take_stop() else {
        panic!("a CONNECT")
    };
    assert_eq!(connect.authority.to_string(), "a.com:443");
    assert_eq!(&gate.into_parts().1[..], b"\x16\x03");
}

#[tokio::test]
async fn a_head_has_a_size_and_a_time() {
    let (mut gate, mut agent, _activity) = gate(Leg::Plain);
    agent.write_all(&[b'A'; HEAD_BYTES]).await.unwrap();
    assert!(gate.first_head().await.unwrap());
    assert!(matches!(gate.take_stop(), Some(Stop::Refused(error)) if error.reason == Reason::HeadTooLarge));

    let (mut gate, _agent, _activity) = impatient_gate(Leg::Plain, Duration::from_millis(30));
    assert!(gate.first_head().await.unwrap());
    assert!(matches!(gate.take_stop(), Some(Stop::Refused(error)) if error.reason == Reason::HeadTimeout));
}

#[tokio::test]
async fn a_head_of_exactly_the_limit_passes() {
    let (mut gate, mut agent, _activity) = gate(Leg::Tunnel);
    let filler = HEAD_BYTES - "GET / HTTP/1.1\r\nX: \r\n\r\n".len();
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(filler));
    agent.write_all(head.as_bytes()).await.unwrap();
    let mut passed = Vec::with_capacity(2 * HEAD_BYTES);
    gate.read_buf(&mut passed).await.unwrap();
    assert_eq!(passed.len(), HEAD_BYTES);
}

#[tokio::test]
async fn a_chunked_body_that_goes_wrong_ends_in_an_error() {
    let (mut gate, mut agent, _activity) = gate(Leg::Tunnel);
    agent
        .write_all(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc")
        .await
        .unwrap();
    let mut passed = Vec::new();
    gate.read_buf(&mut passed).await.unwrap();
    assert!(passed.ends_with(b"\r\n\r\n"), "the head passes");
    assert_eq!(
        gate.read_buf(&mut passed).await.unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
    assert_eq!(
        gate.read_buf(&mut passed).await.unwrap(),
        0,
        "and nothing after it"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The promise behind the gate: whatever it lets through, hyper reads as the same requests.
    #[test]
    fn hyper_reads_what_passes_as_the_same_requests(
        requests in prop::collection::vec(
            ("[A-Z]{1,7}", "/[!-~]{0,12}", prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), any::<bool>()),
            1..5,
        ),
        step in 1_usize..64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut wire = Vec::new();
            let mut expected = Vec::new();
            for (method, target, body, chunked) in &requests {
                let passes = crate::target::check(target.as_bytes(), Leg::Tunnel).is_ok();
                if method == "CONNECT" || !passes {
                    continue;
                }
                wire.extend(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n").bytes());
                match body {
                    Some(body) if *chunked => {
                        wire.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                        for chunk in body.chunks(7) {
                            wire.extend(format!("{:X}\r\n", chunk.len()).bytes());
                            wire.extend(chunk);
                            wire.extend(b"\r\n");
                        }
                        wire.extend(b"0\r\n\r\n");
                    }
                    Some(body) => {
                        wire.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                        wire.extend(body);
                    }
                    None => wire.extend(b"\r\n"),
                }
                expected.push((method.clone(), target.clone(), body.clone().unwrap_or_default()));
            }
            let seen = read_by_hyper(wire, step, expected.len()).await;
            prop_assert_eq!(seen, expected);
            Ok(())
        })?;
    }

    /// hyper answers what it cannot parse by itself, with an empty body and unreported. So it must never have to.
    #[test]
    fn hyper_refuses_nothing_that_passes(
        (leg, origin) in prop_oneof![Just((Leg::Plain, "http://a")), Just((Leg::Tunnel, "")), Just((Leg::Tunnel, "https://a"))],
        path in prop_oneof![4 => "/[!-~&&[^<>#`\"]]{0,8}", 1 => "[/*?#]?[!-~]{0,8}"],
        version in prop_oneof![8 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2")],
        fields in prop::collection::vec(
            prop_oneof![8 => "[A-Za-z-]{1,4}: ?[ -~\t\u{e9}]{0,6}", 1 => "[A-Za-z-]{0,4}[: ]{0,2}[ -~\t\u{0}\r\n]{0,6}"],
            0..3,
        ),
        framing in prop_oneof![
            4 => "(Content-Length: [0-9]{1,2}\r\n|Transfer-Encoding: chunked\r\n|)",
            1 => "(Content-Length: ?[0-9+, ]{0,3}\r\n){0,2}(Transfer-Encoding: ?(chunked|gzip|)\r\n){0,2}",
        ],
        body in prop_oneof!["[0-9a-f]{0,24}", "([1-3]\r\nabc\r\n){0,2}0\r\n\r\n", "[0-9a-f;\r\n]{0,24}"],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let wire = format!("GET {origin}{path} {version}\r\n{lines}{framing}\r\n{body}");
            let refused_by_hyper = serve_to_the_end(leg, wire.as_bytes()).await;
            prop_assert!(!refused_by_hyper, "{wire:?}");
            Ok(())
        })?;
    }
}

/// Whether hyper found something to refuse in what passed.
async fn serve_to_the_end(leg: Leg, wire: &[u8]) -> bool {
    use http_body_util::{BodyExt, Empty};
    let (gate, agent, activity) = gate(leg);
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let under_way = activity.under_way();
        async move {
            let _ = request.into_body().collect().await;
            drop(under_way);
            Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(gate), service);
    let (mut reader, mut writer) = tokio::io::split(agent);
    let wire = wire.to_vec();
    tokio::spawn(async move {
        let _ = writer.write_all(&wire).await;
        let _ = writer.shutdown().await;
    });
    tokio::spawn(async move { reader.read_to_end(&mut Vec::new()).await });
    served.await.is_err_and(|error| error.is_parse())
}

type SeenRequest = (String, String, Vec<u8>);

/// What hyper sees behind a gate; it must see `count` requests.
async fn read_by_hyper(wire: Vec<u8>, step: usize, count: usize) -> Vec<SeenRequest> {
    use http_body_util::{BodyExt, Empty};
    let (mut gate, agent, activity) = gate(Leg::Tunnel);
    // This is not about time, on however busy a machine.
    gate.head_timeout = Duration::from_secs(20);
    let (record, mut recorded) = tokio::sync::mpsc::unbounded_channel();
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (record, under_way) = (record.clone(), activity.under_way());
        async move {
            let (method, target) = (request.method().to_string(), request.uri().to_string());
            let body = request.into_body().collect().await?.to_bytes().to_vec();
            let _ = record.send((method, target, body));
            drop(under_way);
            Ok::<_, hyper::Error>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let served = tokio::spawn(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(hyper_util::rt::TokioIo::new(gate), service),
    );
    let (mut reader, mut writer) = tokio::io::split(agent);
    let reading = tokio::spawn(async move { reader.read_to_end(&mut Vec::new()).await });
    for piece in wire.chunks(step) {
        writer.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), recorded.recv()).await;
        seen.push(
            next.expect("hyper sees every request")
                .expect("the service lives"),
        );
    }
    writer.shutdown().await.unwrap();
    let _ = served.await;
    let _ = reading.await;
    while let Ok(more) = recorded.try_recv() {
        seen.push(more);
    }
    seen
}
