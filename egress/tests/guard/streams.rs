//! What streams keeps streaming; what others say is passed on as they said it; who is believed.

use bytes::Bytes;
use contract::DenialReason;
use http::StatusCode;
use http_body_util::BodyExt as _;

use crate::agent::{Connection, EVERY_WAY, TUNNELS, Way, get};
use crate::bottle::Bottle;

const ROUTES: &str = "
- {host: api.example, auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}}
- {host: h2.example, auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}}
- {host: open.example}
";

#[tokio::test]
async fn each_event_of_a_stream_arrives_before_the_next_is_sent() {
    let bottle = Bottle::start(ROUTES);
    for (way, host) in [
        (Way::AbsoluteForm, "open.example"),
        (Way::TunnelHttp1, "api.example"),
        (Way::TunnelHttp2, "api.example"),
        (Way::TunnelHttp1, "h2.example"),
        (Way::TunnelHttp2, "h2.example"),
    ] {
        let mut connection = Connection::open(&bottle.socket, &bottle.authority, way, host)
            .await
            .unwrap();
        let mut response = connection.begin(&get(host, "/events")).await.unwrap();
        for number in 1..=3 {
            bottle.seat.next_event();
            let expected = format!("data: {number}\n\n");
            let mut arrived = Vec::new();
            while arrived.len() < expected.len() {
                let frame = response.frame().await.unwrap().unwrap();
                arrived.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
            }
            assert_eq!(String::from_utf8(arrived).unwrap(), expected, "{way:?} {host}");
        }
    }
}

#[tokio::test]
async fn a_refusal_by_the_seat_is_relayed_as_it_is() {
    let bottle = Bottle::start(ROUTES);
    for way in EVERY_WAY {
        let got = bottle.send(way, &get("open.example", "/seat-denied")).await;
        assert_eq!(
            (got.status, got.text().as_str()),
            (StatusCode::FORBIDDEN, "{\"denied_by\":\"pipelock\"}")
        );
        assert_eq!(got.headers["x-bottle-denied-by"], "pipelock");
    }
}

#[tokio::test]
async fn nobody_but_the_seat_speaks_for_a_guard() {
    let bottle = Bottle::start("- {host: open.example}\n- {host: through.example, inspect: false}\n");
    for way in TUNNELS {
        for (host, path) in [
            ("through.example", "/seat-denied"),
            ("through.example", "/egress-denied"),
            ("open.example", "/egress-denied"),
        ] {
            let got = bottle.send(way, &get(host, path)).await;
            assert_eq!(got.status, StatusCode::FORBIDDEN);
            assert!(
                !got.headers.contains_key("x-bottle-denied-by"),
                "{way:?} {host} {path}"
            );
        }
    }
}

#[tokio::test]
async fn alternative_services_are_not_offered_to_the_agent() {
    let bottle = Bottle::start(ROUTES);
    for way in TUNNELS {
        let got = bottle.send(way, &get("open.example", "/alt-svc")).await;
        assert!(got.status == StatusCode::OK && !got.headers.contains_key("alt-svc"));
    }
}

#[tokio::test]
async fn whoever_answers_must_be_the_one_that_the_route_expects() {
    let bottle = Bottle::start(
        "
- {host: seat.example}
- {host: through.example, inspect: false}
- {host: through.wrong.example}
- {host: wrong.example, inspect: false}
",
    );
    for way in TUNNELS {
        for host in ["seat.example", "through.example"] {
            assert_eq!(
                bottle.send(way, &get(host, "/x")).await.status,
                StatusCode::OK,
                "{host}"
            );
        }
        // A host that the seat should look into answers by itself; one that it should not look into is answered for.
        let before = bottle.seat.seen().len();
        for host in ["through.wrong.example", "wrong.example"] {
            let got = bottle.send(way, &get(host, "/x")).await;
            assert_eq!(got.denial().reason, DenialReason::UpstreamUnreachable, "{host}");
        }
        assert_eq!(bottle.seat.seen().len(), before);
    }
}
