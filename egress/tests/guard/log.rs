//! Every decision leaves one line.

use contract::{Decision, Guard};

use crate::agent::{EVERY_WAY, Way, ask, get};
use crate::bottle::Bottle;

#[tokio::test]
async fn an_event_says_who_what_where_and_how_much() {
    for way in EVERY_WAY {
        let bottle = Bottle::start("- {host: open.example}\n");
        let sent = ask(
            "POST",
            "open.example",
            "/repos/acme/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b?key=hush",
        )
        .body("12345");
        bottle.send(way, &sent).await;
        let event = bottle.events(1).await[0].clone();
        let way_in = match way {
            Way::AbsoluteForm => "absolute_form",
            Way::TunnelHttp1 => "connect_http1",
            Way::TunnelHttp2 => "connect_http2",
        };
        assert_eq!(
            (event.guard, event.decision, event.way_in.as_str()),
            (Guard::Egress, Decision::Allowed, way_in)
        );
        assert_eq!(event.path.as_deref(), Some("/repos/acme/‹redacted:40›"));
        assert_eq!((event.request_bytes, event.response_bytes), (5, 8));
        assert_eq!(
            (event.status, event.rule.as_deref()),
            (Some(200), Some("open.example"))
        );
        assert!(!bottle.log_text().contains("hush"));
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_told_and_logged() {
    let bottle = Bottle::start("- {host: open.example}\n");
    fs_err::remove_file(&bottle.seat.socket).unwrap();
    for (count, way) in EVERY_WAY.into_iter().enumerate() {
        let got = bottle.send(way, &get("open.example", "/x")).await;
        assert_eq!(got.status.as_u16(), 502, "{way:?}");
        let denial = got.denial();
        let event = bottle.events(count + 1).await[count].clone();
        assert_eq!(
            (event.decision, event.reason),
            (Decision::Failed, Some(denial.reason))
        );
    }
}

#[tokio::test]
async fn a_request_names_the_proposal_without_which_it_would_not_have_been_admitted() {
    let bottle = Bottle::start(
        "- host: open.example\n  path_allowlist: [/first/, /asked/]\n  methods: [GET, POST]\n  added_by:\n  \
         - {proposal_id: p-0001, path_allowlist: [/asked/]}\n  - {proposal_id: p-0002, methods: [POST]}\n",
    );
    let expected = [
        ("GET", "/first/x", None),
        ("GET", "/asked/x", Some("p-0001")),
        ("POST", "/asked/x", Some("p-0002")),
        ("POST", "/first/x", Some("p-0002")),
    ];
    for (count, (method, path, proposal)) in expected.into_iter().enumerate() {
        bottle
            .send(Way::TunnelHttp2, &ask(method, "open.example", path))
            .await;
        let event = bottle.events(count + 1).await[count].clone();
        assert_eq!(
            event.proposal_id.as_ref().map(contract::ProposalId::as_str),
            proposal,
            "{method} {path}"
        );
    }
}
