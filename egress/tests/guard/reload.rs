//! A changed table reaches open connections; a bad one changes nothing.

use contract::DenialReason;
use http::StatusCode;

use crate::agent::{Connection, EVERY_WAY, get};
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
