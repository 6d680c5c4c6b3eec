//! A changed table reaches open connections; a bad one changes nothing.

use contract::{Decision, DenialReason};
use futures_util::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio_tungstenite::tungstenite::Message;

use crate::agent::{Connection, EVERY_WAY, TUNNELS, Way, ask, get, open_websocket};
use crate::bottle::{Bottle, table};

const BEFORE: &str = "- {host: open.example}\n";
const AFTER: &str = "- {host: open.example, path_allowlist: [/ok/]}\n- {host: new.example}\n";

#[tokio::test]
async fn a_reload_reaches_connections_that_are_open() {
    for way in EVERY_WAY {
        let bottle = Bottle::start(BEFORE);
        let mut connection = Connection::open(&bottle.socket, &bottle.authority, way, "open.example")
            .await
            .unwrap();
        assert_eq!(
            connection.send(&get("open.example", "/x")).await.status,
            StatusCode::OK
        );
        assert_eq!(
            bottle.send(way, &get("new.example", "/x")).await.denial().reason,
            DenialReason::HostNotAllowed
        );

        let applied = bottle.write_routes(&table(2, AFTER)).await;
        assert_eq!((applied.generation, applied.error), (2, None));
        let got = connection.send(&get("open.example", "/x")).await;
        assert_eq!(got.denial().reason, DenialReason::PathNotAllowed, "{way:?}");
        assert_eq!(
            bottle.send(way, &get("new.example", "/x")).await.status,
            StatusCode::OK
        );
        let generations: Vec<u64> = bottle
            .events(4)
            .await
            .iter()
            .map(|event| event.generation)
            .collect();
        assert_eq!(generations, [1, 1, 2, 2]);
    }
}

#[tokio::test]
async fn a_file_that_cannot_come_into_force_leaves_the_old_policy() {
    let bottle = Bottle::start(BEFORE);
    let no_such_slot = "- {host: open.example}
- {host: new.example, auth: {scheme: Bearer, token_ref: NEW, token_env: EGRESS_TOKEN_9}}
";
    for text in ["nonsense".to_owned(), table(2, no_such_slot)] {
        let applied = bottle.write_routes(&text).await;
        assert!(applied.error.is_some() && applied.generation == 1, "{applied:?}");
        for way in EVERY_WAY {
            assert_eq!(
                bottle.send(way, &get("open.example", "/x")).await.status,
                StatusCode::OK
            );
            assert_eq!(
                bottle.send(way, &get("new.example", "/x")).await.status,
                StatusCode::FORBIDDEN
            );
        }
    }
}

/// Sends a body of which all but the last byte arrived before the table became `after`.
async fn held_over_a_reload(
    way: crate::agent::Way,
    host: &str,
    before: &str,
    after: &str,
) -> (Bottle, crate::agent::Got) {
    let bottle = Bottle::start(before);
    let mut connection = Connection::open(&bottle.socket, &bottle.authority, way, host)
        .await
        .unwrap();
    let (sender, pieces) = tokio::sync::mpsc::channel(4);
    let request = ask("POST", host, "/x");
    let sending = connection.send_streamed(&request, 8, pieces);
    let revoking = async {
        sender.send("1234567".into()).await.unwrap();
        // Admission notes the single use on disk: the request is known to be inside.
        while !bottle.spent() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        bottle.write_routes(&table(2, after)).await;
        sender.send("8".into()).await.unwrap();
        drop(sender);
    };
    let (got, ()) = tokio::join!(sending, revoking);
    (bottle, got)
}

fn granted(host: &str, more: &str) -> String {
    format!(
        "- {{host: {host}, grant_id: g-0001, once: true, auth: {{scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}}{more}}}\n"
    )
}

#[tokio::test]
async fn a_request_whose_body_is_held_is_not_sent_after_its_route_was_revoked() {
    for way in TUNNELS {
        let before = granted("api.example", "");
        for (after, reason) in [
            (
                "- {host: other.example}\n".to_owned(),
                DenialReason::HostNotAllowed,
            ),
            (
                granted("api.example", ", methods: [GET]"),
                DenialReason::MethodNotAllowed,
            ),
            (
                granted("api.example", ", path_allowlist: [/y/]"),
                DenialReason::PathNotAllowed,
            ),
            // The credential that was put in is not this route's.
            ("- {host: api.example}\n".to_owned(), DenialReason::HostNotAllowed),
            // One use was spent, and it was not this one.
            (before.replace("g-0001", "g-0002"), DenialReason::HostNotAllowed),
        ] {
            let (bottle, got) = held_over_a_reload(way, "api.example", &before, &after).await;
            assert_eq!(got.denial().reason, reason, "{way:?} {after}");
            assert!(bottle.seat.seen().is_empty() && bottle.seat.tunnels().is_empty());
            let event = bottle.events(1).await[0].clone();
            assert_eq!(
                (event.decision, event.reason),
                (contract::Decision::Denied, Some(reason))
            );
        }
    }
}

#[tokio::test]
async fn a_request_whose_body_is_held_is_sent_when_its_route_outlives_a_reload() {
    for way in TUNNELS {
        let before = granted("api.example", "");
        let after = format!("{before}- {{host: other.example}}\n");
        let (bottle, got) = held_over_a_reload(way, "api.example", &before, &after).await;
        assert_eq!((got.status, bottle.seat.seen().len()), (StatusCode::OK, 1));
    }
}

const TWO_HOSTS: &str = "- {host: open.example}\n- {host: h2.example}\n";

#[tokio::test]
async fn a_stream_under_way_is_cut_when_its_route_is_withdrawn_and_not_before() {
    for way in EVERY_WAY {
        let bottle = Bottle::start(TWO_HOSTS);
        let mut response = begin_events(&bottle, way, "open.example").await;
        bottle.write_routes(&table(2, "- {host: open.example}\n")).await;
        bottle.seat.next_event();
        let event = response.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(event, "data: 2\n\n", "{way:?}");
        bottle.write_routes(&table(3, "- {host: h2.example}\n")).await;
        assert!(response.frame().await.unwrap().is_err(), "{way:?}");
        let logged = bottle.events(1).await[0].clone();
        assert_eq!(
            (logged.decision, logged.reason, logged.status, logged.generation),
            (Decision::Failed, Some(DenialReason::HostNotAllowed), Some(200), 1),
            "{way:?}"
        );
    }
}

async fn begin_events(bottle: &Bottle, way: Way, host: &str) -> Response<Incoming> {
    let mut connection = Connection::open(&bottle.socket, &bottle.authority, way, host)
        .await
        .unwrap();
    let mut response = connection.begin(&get(host, "/events")).await.unwrap();
    bottle.seat.next_event();
    let event = response.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(event, "data: 1\n\n");
    // The connection lives as long as the test's runtime.
    std::mem::forget(connection);
    response
}

#[tokio::test]
async fn a_websocket_is_closed_when_its_route_is_withdrawn() {
    let bottle = Bottle::start(TWO_HOSTS);
    let opened = open_websocket(&bottle.socket, &bottle.authority, &get("open.example", "/x")).await;
    let mut socket = opened.expect("an upgrade");
    bottle
        .write_routes(&table(2, "- {host: open.example, path_allowlist: [/ok/]}\n"))
        .await;
    let Some(Ok(Message::Close(Some(said)))) = socket.next().await else {
        panic!("a close frame")
    };
    assert_eq!(
        (u16::from(said.code), said.reason.as_str()),
        (1008, "egress: path_not_allowed")
    );
    let logged = bottle.events(1).await[0].clone();
    assert_eq!(
        (logged.decision, logged.reason, logged.way_in.as_str()),
        (Decision::Failed, Some(DenialReason::PathNotAllowed), "websocket")
    );
}

#[tokio::test]
async fn a_stream_under_way_is_cut_when_its_grant_ends() {
    let ends = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    let routes = format!(
        "- {{host: open.example, grant_id: g-0001, expires_at: \"{}\"}}\n",
        contract::Timestamp::from(ends)
    );
    let bottle = Bottle::start(&routes);
    let mut response = begin_events(&bottle, Way::TunnelHttp2, "open.example").await;
    assert!(response.frame().await.unwrap().is_err());
    let logged = bottle.events(1).await[0].clone();
    assert_eq!(logged.reason, Some(DenialReason::GrantEnded));
}
