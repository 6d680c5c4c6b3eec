//! Every case of the vendored corpus, through a real process. The oracle is what the upstream saw: a request is contained when
//! nothing of it arrived, a WebSocket when not every frame did, a response when it did not come back byte for byte.

use std::path::Path;

use pipelock_config::ResponseScanning;
use serde::Deserialize;

use crate::client::{self, Answer};
use crate::namespace;
use crate::seat::{Seat, model};
use crate::upstream::Upstream;

#[derive(Debug, Clone, Deserialize)]
struct Case {
    id: String,
    transport: String,
    payload: Payload,
    expected_verdict: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Payload {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    frames: Vec<Frame>,
    #[serde(default)]
    response_body: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Frame {
    opcode: String,
    #[serde(default = "yes")]
    fin: bool,
    #[serde(default)]
    rsv1: bool,
    payload: String,
}

fn get() -> String {
    "GET".to_owned()
}

fn yes() -> bool {
    true
}

impl Case {
    /// Scheme, authority and target.
    fn url(&self) -> (&str, &str, String) {
        let (scheme, rest) = self.payload.url.split_once("://").unwrap();
        let (authority, target) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let target = if target.is_empty() { "/" } else { target };
        (scheme, authority, target.replace(' ', "%20"))
    }

    fn is_attack(&self) -> bool {
        self.expected_verdict == "block"
    }

    fn is_response(&self) -> bool {
        self.payload.response_body.is_some()
    }

    /// Whether it got through.
    fn passes(&self, seat: &Seat, upstream: &Upstream) -> bool {
        let (scheme, authority, target) = self.url();
        let mut headers: Vec<(String, String)> = self.payload.headers.clone().into_iter().collect();
        if let Some(content_type) = &self.payload.content_type {
            headers.push(("Content-Type".to_owned(), content_type.clone()));
        }
        if self.transport == "websocket" {
            return self.frames_arrive(seat, upstream, authority, &target);
        }
        let expected = self.payload.response_body.clone().unwrap_or_default();
        upstream.answers("Content-Type: text/plain\r\n", expected.as_bytes());
        let body = self.payload.body.clone().unwrap_or_default();
        let answer = if scheme == "http" {
            let target = format!("http://{authority}{target}");
            let request = client::request(
                &self.payload.method,
                authority,
                &target,
                &headers,
                body.as_bytes(),
            );
            client::plain(&seat.socket(), &request)
        } else {
            let request = client::request(
                &self.payload.method,
                authority,
                &target,
                &headers,
                body.as_bytes(),
            );
            client::tunnelled(&seat.socket(), &seat.authority, authority, &request)
        };
        let arrived = !upstream.seen().is_empty();
        if self.is_response() {
            arrived && answer.body == expected.as_bytes()
        } else {
            arrived
        }
    }

    fn frames_arrive(&self, seat: &Seat, upstream: &Upstream, host: &str, target: &str) -> bool {
        let mut stream = match client::tunnel(&seat.socket(), &seat.authority, host) {
            Ok(stream) => stream,
            Err(Answer { .. }) => return false,
        };
        let upgrade = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: \
             13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut sent = upgrade.into_bytes();
        let mut expected = Vec::new();
        for frame in &self.payload.frames {
            let opcode = match frame.opcode.as_str() {
                "continuation" => 0,
                "text" => 1,
                "binary" => 2,
                other => panic!("{other}"),
            };
            sent.extend(client::frame(
                opcode,
                frame.fin,
                frame.rsv1,
                frame.payload.as_bytes(),
            ));
            expected.extend_from_slice(frame.payload.as_bytes());
        }
        sent.extend(client::frame(8, true, false, &1000_u16.to_be_bytes()));
        let _ = stream.write_all(&sent);
        client::finish(stream);
        // The upstream tells when its side is over, which is after the agent's.
        upstream.wait_for_messages() == expected
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/agent-egress-bench/cases");
    let mut cases = Vec::new();
    for category in fs_err::read_dir(&folder).unwrap() {
        for file in fs_err::read_dir(category.unwrap().path()).unwrap() {
            let text = fs_err::read_to_string(file.unwrap().path()).unwrap();
            cases.push(serde_json::from_str::<Case>(&text).unwrap());
        }
    }
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    cases
}

#[test]
fn attacks_of_the_corpus_are_contained_and_what_looks_like_them_is_not() {
    let cases = cases();
    assert_eq!(cases.len(), 48);
    let hosts: Vec<String> = cases
        .iter()
        .map(|case| case.url().1.to_owned())
        .filter(|host| host.parse::<contract::HostName>().is_ok())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let name = "corpus::attacks_of_the_corpus_are_contained_and_what_looks_like_them_is_not";
    namespace::inside(name, &hosts, || {
        let upstream = Upstream::start(&hosts);
        let mut model = model(&hosts);
        model
            .refused_hosts
            .push("exfil-collector.example.net".parse().unwrap());
        let requests = Seat::start(&model, &upstream.authority);
        model.response_scanning = ResponseScanning::Block;
        let responses = Seat::start(&model, &upstream.authority);
        let judged = |case: &&Case| {
            let seat = if case.is_response() { &responses } else { &requests };
            (
                case.is_attack(),
                case.is_response(),
                case.passes(seat, &upstream),
                case.id.clone(),
            )
        };
        let judged: Vec<_> = cases.iter().collect::<Vec<_>>().iter().map(judged).collect();
        let ids = |attack: bool, response: Option<bool>, passes: bool| -> Vec<&str> {
            judged
                .iter()
                .filter(|case| {
                    case.0 == attack && response.is_none_or(|one| case.1 == one) && case.2 == passes
                })
                .map(|case| case.3.as_str())
                .collect()
        };
        println!(
            "request attacks that got through: {:?}",
            ids(true, Some(false), true)
        );
        println!(
            "response attacks that got through: {:?}",
            ids(true, Some(true), true)
        );
        println!("harmless cases that were refused: {:?}", ids(false, None, false));
        assert_eq!(ids(true, Some(false), true), [""; 0]);
        assert!(ids(true, Some(true), true).len() <= 1);
        assert!(ids(false, None, false).len() <= 1);
    });
}
