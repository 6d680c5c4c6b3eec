//! Grants end in the guard itself.

use contract::{Decision, DenialReason, GrantEndCause, GrantLedger};
use http::StatusCode;

use crate::agent::{Way, get};
use crate::bottle::Bottle;

const ROUTES: &str = "
- {host: once.example, grant_id: g-0001, once: true}
- {host: over.example, grant_id: g-0002, expires_at: 2001-01-01T00:00:00Z}
- {host: both.example, path_allowlist: [/lasting/]}
- {host: both.example, path_allowlist: [/once/], grant_id: g-0003, once: true}
";

fn ledger(bottle: &Bottle) -> GrantLedger {
    let path = bottle.directory.path().join("run/grants.json");
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_single_use_grant_admits_one_request_also_across_a_restart() {
    let mut bottle = Bottle::start(ROUTES);
    let got = bottle
        .send(Way::TunnelHttp1, &get("once.example", "/first"))
        .await;
    assert_eq!(got.status, StatusCode::OK);
    let spent = ledger(&bottle)
        .grants
        .into_iter()
        .find(|record| record.grant_id.as_str() == "g-0001");
    assert_eq!(spent.unwrap().end.unwrap().cause, GrantEndCause::Used);
    let event = bottle.events(1).await[0].clone();
    assert_eq!(event.grant_id.unwrap().as_str(), "g-0001");

    for way in [Way::TunnelHttp1, Way::TunnelHttp2, Way::AbsoluteForm] {
        let got = bottle.send(way, &get("once.example", "/second")).await;
        assert_eq!(got.denial().reason, DenialReason::GrantEnded, "{way:?}");
    }
    bottle.restart().await;
    let got = bottle
        .send(Way::TunnelHttp1, &get("once.example", "/third"))
        .await;
    assert_eq!(got.denial().reason, DenialReason::GrantEnded);
    assert_eq!(bottle.seat.seen().len(), 1);
}

#[tokio::test]
async fn of_many_at_once_one_gets_the_single_use() {
    let bottle = Bottle::start(ROUTES);
    let tries = (0..8).map(|_| async {
        let got = bottle.send(Way::AbsoluteForm, &get("once.example", "/x")).await;
        got.status == StatusCode::OK
    });
    let won = futures_util::future::join_all(tries).await;
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
    assert_eq!(bottle.seat.seen().len(), 1);
}

#[tokio::test]
async fn a_grant_whose_time_is_over_admits_nothing() {
    let bottle = Bottle::start(ROUTES);
    for way in [Way::TunnelHttp1, Way::TunnelHttp2, Way::AbsoluteForm] {
        let got = bottle.send(way, &get("over.example", "/x")).await;
        assert_eq!(got.denial().reason, DenialReason::GrantEnded, "{way:?}");
    }
    let events = bottle.events(3).await;
    assert!(events.iter().all(|event| event.decision == Decision::Denied));
    assert!(bottle.seat.tunnels().is_empty());
}

#[tokio::test]
async fn a_lasting_route_does_not_spend_a_grant_and_neither_does_a_refused_request() {
    let bottle = Bottle::start(ROUTES);
    let lasting = get("both.example", "/lasting/x");
    assert_eq!(
        bottle.send(Way::TunnelHttp1, &lasting).await.status,
        StatusCode::OK
    );
    let refused = get("both.example", "/once/x").header("authorization", "Bearer own");
    assert_eq!(
        bottle.send(Way::TunnelHttp1, &refused).await.status,
        StatusCode::FORBIDDEN
    );
    let once = get("both.example", "/once/x");
    assert_eq!(bottle.send(Way::TunnelHttp1, &once).await.status, StatusCode::OK);
    assert_eq!(
        bottle.send(Way::TunnelHttp1, &once).await.status,
        StatusCode::FORBIDDEN
    );
}
