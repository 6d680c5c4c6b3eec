//! `http://_egress.local/allowlist`.

use contract::LiveTable;
use http::StatusCode;

use crate::agent::{Way, ask, get};
use crate::bottle::{Bottle, TOKEN};

const ROUTES: &str = "
- {host: api.example, path_allowlist: [/repos/], methods: [GET], auth: {scheme: token, token_ref: T, token_env: EGRESS_TOKEN_0}}
- {host: open.example}
- {host: once.example, grant_id: g-0001, once: true}
- {host: over.example, grant_id: g-0002, expires_at: 2001-01-01T00:00:00Z}
";

#[tokio::test]
async fn the_live_table_is_answered_without_an_upstream_and_without_a_value() {
    let bottle = Bottle::start(ROUTES);
    let got = bottle
        .send(Way::AbsoluteForm, &get("_egress.local", "/allowlist"))
        .await;
    assert_eq!(got.status, StatusCode::OK);
    let live: LiveTable = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(live.generation, 1);
    assert_eq!(live.policy_sha256, bottle.applied().effective_sha256);
    let hosts: Vec<&str> = live.routes.iter().map(|route| route.host.as_str()).collect();
    assert_eq!(
        hosts,
        ["api.example", "open.example", "once.example"],
        "an ended grant is not in force"
    );
    assert_eq!(
        serde_json::to_value(&live.routes[0]).unwrap(),
        serde_json::json!({
            "host": "api.example",
            "path_allowlist": ["/repos/"],
            "methods": ["GET"],
            "auth_scheme": "token",
            "token_env": "EGRESS_TOKEN_0",
        })
    );
    assert!(!got.text().contains(TOKEN));
    assert!(bottle.seat.seen().is_empty() && bottle.seat.tunnels().is_empty());
    assert_eq!(bottle.events(1).await[0].rule.as_deref(), Some("introspection"));
}

#[tokio::test]
async fn nothing_else_about_its_host_is_special() {
    let bottle = Bottle::start(ROUTES);
    let got = bottle
        .send(Way::AbsoluteForm, &get("_egress.local", "/elsewhere"))
        .await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    let got = bottle
        .send(Way::AbsoluteForm, &ask("POST", "_egress.local", "/allowlist"))
        .await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    for way in [Way::TunnelHttp1, Way::TunnelHttp2] {
        let got = bottle.send(way, &get("_egress.local", "/allowlist")).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN);
    }
    let got = bottle
        .send(Way::AbsoluteForm, &get("_egress.local:8080", "/allowlist"))
        .await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
}
