use super::*;
use crate::apply::fixture::{Fixture, wait};
use crate::proposals::decide::{self, Lasts};
use contract::{Addition, Guard};
use serde_json::json;
use std::time::Duration;

const LONG: Option<Duration> = Some(Duration::from_secs(3600));

/// Approves an ask of these paths and methods, and gives its proposal.
fn approved(fixture: &Fixture, number: u32, host: &str, paths: &[&str], methods: &[&str], lasts: Lasts) {
    let mut arguments = json!({"host": host, "justification": "x"});
    if !paths.is_empty() {
        arguments["path_allowlist"] = json!(paths);
    }
    if !methods.is_empty() {
        arguments["methods"] = json!(methods);
    }
    let ask = json!({"tool": "egress-block", "arguments": arguments});
    let id = fixture.propose(&format!("p-{number:08}"), ask);
    let considered = fixture.consider(&id, lasts);
    let carried = wait(decide::approve(&fixture.context, &fixture.target, &considered)).unwrap();
    assert!(carried.told.contains("is live since"), "{}", carried.told);
}

fn for_good(fixture: &Fixture, number: u32, host: &str, paths: &[&str], methods: &[&str]) {
    approved(fixture, number, host, paths, methods, Lasts::default());
}

fn found(fixture: &Fixture, argument: &str) -> Option<Revocation> {
    meant(&fixture.target, &fixture.context.environment, argument).unwrap()
}

/// Revokes it as the command does, and gives what was shown.
fn revoked(fixture: &Fixture, argument: &str) -> Revocation {
    let revocation = found(fixture, argument).unwrap();
    let event = AuditEvent::Revoking {
        host: revocation.host.clone(),
        changes: revocation.change.changes(),
    };
    let (context, target, change) = (&fixture.context, &fixture.target, &revocation.change);
    let (proposal, grant) = (revocation.proposal.as_ref(), revocation.grant.as_ref());
    let now = wait(carry_out(context, target, change, event, proposal, grant)).unwrap();
    assert_eq!(now, change.statement);
    revocation
}

/// The lasting route, as `paths methods`; `-` for no filter, nothing for no route.
fn route(fixture: &Fixture, host: &str) -> String {
    let table = egress::table(&fixture.target).unwrap();
    let Some(route) = table.lasting(&host.parse().unwrap()) else {
        return String::new();
    };
    let list = |items: Option<Vec<String>>| items.map_or_else(|| "-".to_owned(), |items| items.join(","));
    let paths = route
        .path_allowlist
        .as_ref()
        .map(|paths| paths.iter().map(ToString::to_string).collect());
    let methods = route
        .methods
        .as_ref()
        .map(|methods| methods.iter().map(ToString::to_string).collect());
    format!("{} {}", list(paths), list(methods))
}

fn added_by(fixture: &Fixture, host: &str) -> Vec<Addition> {
    let table = egress::table(&fixture.target).unwrap();
    table.lasting(&host.parse().unwrap()).unwrap().added_by.clone()
}

fn edited(fixture: &Fixture, from: &str, to: &str) {
    let before = egress::table(&fixture.target).unwrap();
    let text = before.render().unwrap();
    assert!(text.contains(from), "{text}");
    let after = RouteTable::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
    let change = egress::to(&fixture.target, &fixture.context.environment, &before, after).unwrap();
    let event = AuditEvent::Editing {
        changes: change.changes(),
    };
    wait(carry_out(
        &fixture.context,
        &fixture.target,
        &change,
        event,
        None,
        None,
    ))
    .unwrap();
}

/// A bottle whose manifest names `api.example` with `/x/` and `GET`, and a running egress.
fn fixture() -> (Fixture, crate::apply::fixture::FakeGuard) {
    let fixture = Fixture::new();
    let guard = fixture.guard(Guard::Egress, None);
    (fixture, guard)
}

#[test]
fn a_path_that_two_approvals_grant_goes_with_the_second_revocation_in_either_order() {
    for [first, second] in [["p-00000001", "p-00000002"], ["p-00000002", "p-00000001"]] {
        let (fixture, _guard) = fixture();
        for_good(&fixture, 1, "api.example", &["/y/"], &[]);
        for_good(&fixture, 2, "api.example", &["/y/", "/z/"], &["GET"]);
        assert_eq!(route(&fixture, "api.example"), "/x/,/y/,/z/ GET");
        let shown = revoked(&fixture, first);
        assert!(
            shown.stays.contains(&format!("api.example/y/: {second}")),
            "{:?}",
            shown.stays
        );
        let left = route(&fixture, "api.example");
        match first {
            "p-00000001" => assert_eq!(left, "/x/,/y/,/z/ GET"),
            _ => assert_eq!(left, "/x/,/y/ GET"),
        }
        assert!(found(&fixture, first).is_none(), "it is revoked already");
        revoked(&fixture, second);
        assert_eq!(route(&fixture, "api.example"), "/x/ GET");
        let audited = fixture.audited();
        let revocations = audited.iter().filter(|entry| *entry == "revoking").count();
        assert_eq!(
            (revocations, audited.last().unwrap().as_str()),
            (2, "outcome applied")
        );
    }
}

#[test]
fn requests_go_back_to_the_approval_that_still_grants_them() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "api.example", &["/y/"], &[]);
    for_good(&fixture, 2, "api.example", &["/y/"], &[]);
    assert_eq!(added_by(&fixture, "api.example").len(), 1);
    let shown = revoked(&fixture, "p-00000001");
    assert!(!shown.change.is_nothing());
    let added = added_by(&fixture, "api.example");
    assert_eq!(added.len(), 1);
    assert_eq!(added[0].proposal_id.as_str(), "p-00000002");
    assert_eq!(added[0].path_allowlist, ["/y/".parse().unwrap()]);
}

#[test]
fn of_a_host_that_an_approval_brought_another_ones_part_stays_and_no_more() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "new.example", &["/a/", "/b/"], &["GET", "POST"]);
    for_good(&fixture, 2, "new.example", &["/b/c/"], &["GET"]);
    assert_eq!(route(&fixture, "new.example"), "/a/,/b/,/b/c/ GET,POST");
    let shown = revoked(&fixture, "p-00000001");
    assert_eq!(
        shown.stays,
        ["new.example/b/c/: p-00000002", "GET new.example: p-00000002"]
    );
    assert_eq!(route(&fixture, "new.example"), "/b/c/ GET");
    assert_eq!(
        added_by(&fixture, "new.example")[0].proposal_id.as_str(),
        "p-00000002"
    );
    revoked(&fixture, "p-00000002");
    assert_eq!(route(&fixture, "new.example"), "");
}

#[test]
fn a_host_that_was_brought_without_filters_is_narrowed_to_what_others_asked_for() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "new.example", &[], &[]);
    for_good(&fixture, 2, "new.example", &["/a/"], &["GET"]);
    assert_eq!(route(&fixture, "new.example"), "- -");
    revoked(&fixture, "p-00000001");
    assert_eq!(route(&fixture, "new.example"), "/a/ GET");
}

#[test]
fn an_approval_without_paths_keeps_those_that_it_was_approved_with_and_never_gets_more() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "new.example", &["/a/"], &["GET"]);
    for_good(&fixture, 2, "new.example", &[], &["POST"]);
    revoked(&fixture, "p-00000001");
    assert_eq!(route(&fixture, "new.example"), "/a/ POST");
}

#[test]
fn a_method_that_the_manifest_has_stays_whoever_asked_for_it_again() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "api.example", &[], &["GET", "POST"]);
    for_good(&fixture, 2, "api.example", &[], &["POST", "PUT"]);
    let shown = revoked(&fixture, "p-00000001");
    assert_eq!(
        shown.stays,
        ["GET api.example: your own routes", "POST api.example: p-00000002"]
    );
    assert_eq!(route(&fixture, "api.example"), "/x/ GET,POST,PUT");
    revoked(&fixture, "p-00000002");
    assert_eq!(route(&fixture, "api.example"), "/x/ GET");
}

#[test]
fn a_revocation_that_takes_nothing_away_is_audited_and_lets_the_other_one_take_it() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "api.example", &["/y/"], &[]);
    for_good(&fixture, 2, "api.example", &["/y/"], &[]);
    // The second one added nothing of its own.
    let shown = revoked(&fixture, "p-00000002");
    assert!(shown.change.is_nothing());
    assert!(
        shown
            .change
            .statement
            .contains("others still grant api.example/y/: p-00000001")
    );
    assert_eq!(fixture.audited().last().unwrap(), "outcome applied");
    assert!(found(&fixture, "p-00000002").is_none());
    assert!(revoked(&fixture, "p-00000001").stays.is_empty());
    assert_eq!(route(&fixture, "api.example"), "/x/ GET");
}

#[test]
fn permissions_that_end_keep_their_own_terms() {
    let (fixture, _guard) = fixture();
    let for_ = |for_, once| Lasts { for_, once };
    for_good(&fixture, 1, "api.example", &["/y/"], &[]);
    approved(&fixture, 2, "api.example", &["/y/"], &[], for_(LONG, false));
    approved(&fixture, 3, "api.example", &["/y/"], &["POST"], for_(None, true));
    let grants = |fixture: &Fixture| {
        let table = egress::table(&fixture.target).unwrap();
        let ids = table.routes().iter().filter_map(|route| route.grant.clone());
        ids.map(|grant| grant.grant_id.to_string()).collect::<Vec<_>>()
    };
    let shown = revoked(&fixture, "p-00000001");
    assert_eq!(route(&fixture, "api.example"), "/x/ GET");
    assert_eq!(grants(&fixture), ["g-00000002", "g-00000003"]);
    assert!(shown.stays[0].starts_with("api.example, until 2") && shown.stays[0].ends_with(": g-00000002"));
    assert_eq!(shown.stays[1], "api.example, for one request: g-00000003");
    // And the other way round: a grant takes nothing of another's along.
    for_good(&fixture, 4, "api.example", &["/y/"], &[]);
    revoked(&fixture, "g-00000002");
    assert_eq!(grants(&fixture), ["g-00000003"]);
    assert_eq!(route(&fixture, "api.example"), "/x/,/y/ GET");
}

#[test]
fn what_ended_in_between_keeps_nothing_in_force() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "new.example", &["/a/"], &[]);
    let once = Lasts {
        for_: None,
        once: true,
    };
    approved(&fixture, 2, "new.example", &["/a/"], &[], once);
    let end = json!({"at": "2026-11-21T00:00:01.000Z", "cause": "used"});
    let record = json!({"grant_id": "g-00000002", "host": "new.example", "first_seen": "2026-11-21T00:00:00.000Z", "end": end});
    let ledger = json!({"schema_version": 1, "grants": [record]}).to_string();
    fs_err::write(fixture.target.state.egress_run().join("grants.json"), ledger).unwrap();
    let shown = revoked(&fixture, "p-00000001");
    assert_eq!(shown.stays, [""; 0]);
    assert_eq!(route(&fixture, "new.example"), "");
}

#[test]
fn what_the_operator_wrote_by_hand_stays_and_what_was_taken_out_does_not_come_back() {
    let (fixture, _guard) = fixture();
    for_good(&fixture, 1, "new.example", &["/a/", "/b/"], &["GET"]);
    edited(&fixture, "  - /a/\n  - /b/\n", "  - /b/\n  - /own/\n");
    for_good(&fixture, 2, "new.example", &["/a/"], &[]);
    for_good(&fixture, 3, "new.example", &["/b/"], &[]);
    assert_eq!(route(&fixture, "new.example"), "/b/,/own/,/a/ GET");
    // The first one's /a/ was taken out: only the second's is there.
    revoked(&fixture, "p-00000002");
    assert_eq!(route(&fixture, "new.example"), "/b/,/own/ GET");
    revoked(&fixture, "p-00000001");
    assert_eq!(route(&fixture, "new.example"), "/b/,/own/ GET");
    revoked(&fixture, "p-00000003");
    assert_eq!(route(&fixture, "new.example"), "/own/ GET");
}

/// A credential's route after the revocations, in their order, of approvals that each asked for a credential or none.
fn auth_without(asked: &[&str], revoked: &[usize]) -> Option<contract::RouteAuth> {
    let fixture = Fixture::new();
    let route: Route = serde_json::from_value(json!({"host": "new.example", "path_allowlist": ["/a/"],
        "auth": {"scheme": "Bearer", "token_ref": "TOKEN", "token_env": "EGRESS_TOKEN_0"}}))
    .unwrap();
    let log = fixture.target.audit();
    let id = |number: usize| format!("p-{number:08}").parse::<ProposalId>().unwrap();
    let noted = |id: &ProposalId, events: Vec<AuditEvent>| {
        let notes = events
            .into_iter()
            .map(|event| Note::launcher(event).joined(Some(id), None));
        log.append(notes).unwrap();
    };
    let applied = || AuditEvent::Outcome {
        outcome: Outcome::Applied,
        now: String::new(),
    };
    for (number, token) in asked.iter().enumerate() {
        let mut asked = json!({"for": "route", "host": "new.example", "path_allowlist": ["/a/"]});
        if !token.is_empty() {
            asked["token_ref"] = json!(token);
        }
        let lasting = LastingChange {
            before: (number > 0).then(|| route.clone()),
            after: route.clone(),
        };
        let proposed = AuditEvent::Proposed {
            tool: "egress-block".to_owned(),
            proposal_sha256: Sha256Hex::of(b""),
            created_at: Timestamp::from_millis(0),
            asked: serde_json::from_value(asked).unwrap(),
            justification: String::new(),
            denial_id: None,
        };
        let applying = AuditEvent::Applying {
            changes: Vec::new(),
            lasting: Some(Box::new(lasting)),
            resumed: false,
        };
        noted(&id(number), vec![proposed, applying, applied()]);
    }
    let mut present = route;
    for number in revoked {
        let entries = crate::audit::read(&log).unwrap();
        let standing = Standing::of(&entries, &present.host, Some(&present));
        present = standing.without(&id(*number), &present).unwrap().route.unwrap();
        let (host, changes) = (present.host.clone(), Vec::new());
        noted(
            &id(*number),
            vec![AuditEvent::Revoking { host, changes }, applied()],
        );
    }
    present.auth
}

#[test]
fn a_credential_goes_with_the_last_approval_that_asked_for_it() {
    assert_eq!(auth_without(&["TOKEN", ""], &[0]), None);
    assert_eq!(auth_without(&["TOKEN", "OTHER"], &[0]), None);
    assert!(auth_without(&["TOKEN", "TOKEN"], &[0]).is_some());
    assert!(auth_without(&["TOKEN", "", "TOKEN"], &[2]).is_some());
    for order in [[0, 2], [2, 0]] {
        assert_eq!(auth_without(&["TOKEN", "", "TOKEN"], &order), None, "{order:?}");
    }
}

#[test]
fn in_whatever_order_approvals_are_revoked_what_one_alone_asked_for_goes_with_it() {
    for order in [["p-00000001", "p-00000003"], ["p-00000003", "p-00000001"]] {
        let (fixture, _guard) = fixture();
        for_good(&fixture, 1, "new.example", &["/a/"], &["GET"]);
        for_good(&fixture, 2, "new.example", &["/b/"], &[]);
        for_good(&fixture, 3, "new.example", &["/c/"], &["POST"]);
        for id in order {
            revoked(&fixture, id);
        }
        assert_eq!(route(&fixture, "new.example"), "/b/ GET", "{order:?}");
    }
}

#[test]
fn a_revocation_of_what_is_admitted_all_the_same_says_so() {
    let (fixture, _guard) = fixture();
    // Under the manifest's own `/x/`.
    for_good(&fixture, 1, "api.example", &["/x/y/"], &[]);
    let shown = revoked(&fixture, "p-00000001");
    assert_eq!(shown.stays, ["api.example/x/y/: your own routes"]);
    // Nothing that it has not.
    for_good(&fixture, 2, "api.example", &[], &[]);
    let shown = revoked(&fixture, "p-00000002");
    assert_eq!(shown.stays, ["api.example: your own routes"]);
    // Of a host that is open without it.
    for_good(&fixture, 3, "new.example", &[], &[]);
    for_good(&fixture, 4, "new.example", &["/a/"], &["POST"]);
    let shown = revoked(&fixture, "p-00000004");
    assert_eq!(
        shown.stays,
        ["new.example/a/: p-00000003", "POST new.example: p-00000003"]
    );
    assert!(shown.change.statement.contains("others still grant"));
}
