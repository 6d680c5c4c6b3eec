//! Inspectors hold back and cut; nothing that they have not let through leaves.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mitm::{Cut, Ended, Inspector, Released};

use crate::bodies::{echo, echo_http2, post, post_chunked, scripted};
use crate::harness::*;

/// Keeps the last `keep` bytes back, and cuts where `needle` stands.
struct Watch {
    needle: &'static [u8],
    keep: usize,
    held: BytesMut,
    defers: bool,
}

impl Watch {
    fn over(needle: &'static str, keep: usize, defers: bool) -> Box<dyn Inspector> {
        Box::new(Self {
            needle: needle.as_bytes(),
            keep,
            held: BytesMut::new(),
            defers,
        })
    }

    fn look(&self) -> Result<(), Cut> {
        let found = self
            .held
            .windows(self.needle.len())
            .any(|window| window == self.needle);
        if found {
            Err(Cut {
                denial: denial(403, "found it"),
            })
        } else {
            Ok(())
        }
    }
}

impl Inspector for Watch {
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut> {
        self.held.extend_from_slice(&data);
        self.look()?;
        let free = self.held.len().saturating_sub(self.keep);
        released.push(self.held.split_to(free).freeze());
        Ok(())
    }

    fn finish(&mut self, released: &mut Released) -> Result<(), Cut> {
        self.look()?;
        released.push(self.held.split().freeze());
        Ok(())
    }

    fn defers_head(&self) -> bool {
        self.defers
    }
}

#[tokio::test]
async fn a_request_inspector_cuts_before_the_last_byte_and_the_agent_reads_the_denial() {
    let origin = echo().await;
    let mut script = Script::direct(origin.trust());
    script.request_inspector = Some(Arc::new(|| Watch::over("secret", 5, false)));
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    for body in [
        "3\r\nab \r\n",
        "6\r\nsecret\r\n",
        "a\r\nmy secret!\r\n",
        "3\r\nsec\r\n3\r\nret\r\n",
    ] {
        let mut agent = bench.tunnel(&name).await;
        agent
            .send(format!("{}{body}0\r\n\r\n", post_chunked(&name)))
            .await;
        let answer = read_answer(&mut agent, "POST").await;
        bench.event().await;
        bench.event().await.admitted();
        let outcome = bench.event().await.finished();
        if body.starts_with("3\r\nab") {
            assert_eq!((answer.status, answer.text()), (200, "ab "));
            assert_eq!((outcome.ended, outcome.bytes_up), (Ended::Complete, 3));
        } else {
            assert_eq!((answer.status, answer.text()), (403, "found it"), "{body:?}");
            assert_eq!(
                outcome.ended,
                Ended::RequestCut {
                    logged: "found it".into()
                }
            );
            assert_eq!(outcome.status.unwrap(), 403);
            assert!(outcome.bytes_up < 6, "{}", outcome.bytes_up);
        }
    }
}

#[tokio::test]
async fn a_request_that_is_cut_after_the_response_began_breaks_the_response() {
    for origin in [echo().await, echo_http2().await] {
        let mut script = Script::direct(origin.trust());
        script.request_inspector = Some(Arc::new(|| Watch::over("secret", 5, false)));
        let mut bench = Bench::start(script).await;
        let name = origin.name();
        let mut agent = bench.tunnel(&name).await;
        agent
            .send(format!("{}8\r\n01234567\r\n", post_chunked(&name)))
            .await;
        assert_eq!(read_head(&mut agent).await.unwrap().0, 200);
        assert_eq!(agent.take(8).await, "3\r\n012\r\n");
        agent.send("6\r\nsecret\r\n0\r\n\r\n").await;
        assert_eq!(agent.rest().await, "");
        bench.event().await;
        bench.event().await.admitted();
        let outcome = bench.event().await.finished();
        assert_eq!(
            (outcome.ended, outcome.bytes_up),
            (
                Ended::RequestCut {
                    logged: "found it".into()
                },
                3
            )
        );
    }
}

#[tokio::test]
async fn a_deferred_head_never_reaches_an_upstream_when_the_body_is_cut_at_once() {
    let origin = echo().await;
    let mut script = Script::direct(origin.trust());
    script.request_inspector = Some(Arc::new(|| Watch::over("secret", usize::MAX, true)));
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(format!("{}a secret", post(&name, "/", 8))).await;
    assert_eq!((answer.status, answer.text()), (403, "found it"));
    assert_eq!(origin.connections(), 0);
    // The same inspector lets a clean body through, with its length.
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(format!("{}harmless", post(&name, "/", 8))).await;
    assert_eq!((answer.status, answer.text()), (200, "harmless"));
}

#[tokio::test]
async fn a_response_inspector_cuts_the_stream_before_the_last_byte() {
    for (head, rest) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n01234567", " secret"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n",
            "6\r\nsecret\r\n0\r\n\r\n",
        ),
    ] {
        let (origin, told) = scripted().await;
        let mut script = Script::direct(origin.trust());
        script.response_inspector = Some(Arc::new(|| Watch::over("secret", 5, false)));
        let mut bench = Bench::start(script).await;
        let name = origin.name();
        let mut agent = bench.tunnel(&name).await;
        agent.send(get(&name, "/")).await;
        told.send(head).unwrap();
        // The first part arrives but for what is held back; then comes the rest, and nothing of it.
        assert_eq!(read_head(&mut agent).await.unwrap().0, 200);
        let first = if head.contains("chunked") {
            "3\r\n012\r\n"
        } else {
            "012"
        };
        assert_eq!(agent.take(first.len()).await, first);
        told.send(rest).unwrap();
        assert_eq!(agent.rest().await, "");
        bench.event().await;
        bench.event().await.admitted();
        let outcome = bench.event().await.finished();
        assert_eq!(
            (outcome.ended, outcome.bytes_down),
            (
                Ended::ResponseCut {
                    logged: "found it".into()
                },
                3
            )
        );
    }
}

#[tokio::test]
async fn a_response_inspector_that_holds_back_delivers_everything_in_the_end() {
    let origin = echo().await;
    let mut script = Script::direct(origin.trust());
    script.response_inspector = Some(Arc::new(|| Watch::over("secret", 7, false)));
    let bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    for body in ["x", "harmless", "0123456789abcdef"] {
        let answer = agent
            .request(format!("{}{body}", post(&name, "/", body.len())))
            .await;
        assert_eq!((answer.text(), answer.complete), (body, true));
    }
}

#[tokio::test]
async fn the_policy_may_refuse_a_response_by_its_head() {
    let origin = echo().await;
    let mut script = Script::direct(origin.trust());
    script.response = Some(Arc::new(|_, _| Err(denial(403, "not this head"))));
    let mut bench = Bench::start(script).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(get(&name, "/")).await;
    assert_eq!((answer.status, answer.text()), (403, "not this head"));
    bench.event().await;
    bench.event().await.admitted();
    let outcome = bench.event().await.finished();
    assert_eq!(
        outcome.ended,
        Ended::ResponseDenied {
            logged: "not this head".into()
        }
    );
}

#[tokio::test]
async fn a_body_that_never_comes_keeps_a_deferred_head_for_a_bounded_time() {
    let origin = echo().await;
    let mut script = Script::direct(origin.trust());
    script.request_inspector = Some(Arc::new(|| Watch::over("secret", usize::MAX, true)));
    let mut limits = mitm::Limits::default();
    limits.timeouts.deferred = std::time::Duration::from_millis(50);
    let mut bench = Bench::with_limits(script, limits).await;
    let name = origin.name();
    let mut agent = bench.tunnel(&name).await;
    let answer = agent.request(format!("{}half", post(&name, "/", 8))).await;
    assert_eq!(answer.status, 408);
    assert_eq!(origin.connections(), 0);
    bench.event().await;
    bench.event().await.admitted();
    assert_eq!(bench.event().await.refused(), mitm::Reason::RequestBodyTimeout);
    let outcome = bench.event().await.finished();
    assert_eq!(outcome.ended, Ended::Refused(mitm::Reason::RequestBodyTimeout));
}
