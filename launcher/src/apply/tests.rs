use super::fixture::{Fixture, context, slug, wait};
use super::revoke::{self, Revocation};
use crate::audit::Note;
use crate::error::Result;
use crate::home::Home;
use crate::kill_points::injected::{self, KILL_AT};
use crate::proposals::Queue;
use crate::proposals::decide::{self, Lasts};
use crate::proposals::settle::{self, Carried};
use contract::audit::AuditEvent;
use contract::{Application, Guard, ProposalId, ProposalStatus};
use serde_json::json;
use std::time::Duration;

const ONCE: Lasts = Lasts {
    for_: None,
    once: true,
};

fn approve(fixture: &Fixture, id: &ProposalId) -> Result<Carried> {
    approve_for(fixture, id, Lasts::default())
}

fn approve_for(fixture: &Fixture, id: &ProposalId, lasts: Lasts) -> Result<Carried> {
    let considered = fixture.consider(id, lasts);
    wait(decide::approve(&fixture.context, &fixture.target, &considered))
}

fn status(fixture: &Fixture, id: &ProposalId) -> ProposalStatus {
    fixture.item(id).status
}

fn revoke(fixture: &Fixture, argument: &str) -> Revocation {
    let found = revoke::meant(&fixture.target, &fixture.context.environment, argument);
    let revocation = found.unwrap().unwrap();
    let event = AuditEvent::Revoking {
        host: revocation.host.clone(),
        changes: revocation.change.changes(),
    };
    let (proposal, grant) = (revocation.proposal.as_ref(), revocation.grant.as_ref());
    wait(revoke::carry_out(
        &fixture.context,
        &fixture.target,
        &revocation.change,
        event,
        proposal,
        grant,
    ))
    .unwrap();
    revocation
}

#[test]
fn an_approved_route_is_mirrored_in_the_seat_then_live_then_audited() {
    let fixture = Fixture::with_seat();
    let _guards = fixture.both_guards();
    let id = fixture.propose_host("new.example");
    let carried = approve(&fixture, &id).unwrap();
    assert_eq!(carried.state.state, Application::Applied);
    assert!(
        carried.state.statement.starts_with("new.example is live since 2"),
        "{carried:?}"
    );
    assert!(fixture.routes().contains("- host: new.example") && fixture.pipelock().contains("new.example"));
    assert_eq!(status(&fixture, &id), ProposalStatus::Applied);
    let story = [
        "proposed",
        "decided approved",
        "applying",
        "acknowledged pipelock",
        "acknowledged egress",
        "outcome applied",
    ];
    assert_eq!(fixture.audited(), story);
}

#[test]
fn a_bottle_without_a_seat_says_so_in_the_audit() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    approve(&fixture, &id).unwrap();
    assert!(fixture.audited().contains(&"no_guard pipelock".to_owned()));
}

#[test]
fn when_the_seat_refuses_egress_is_left_as_it_was() {
    let fixture = Fixture::with_seat();
    let _guards = [
        fixture.guard(Guard::Egress, None),
        fixture.guard(Guard::Pipelock, Some("new.example")),
    ];
    let before = (fixture.routes(), fixture.pipelock());
    let id = fixture.propose_host("new.example");
    let carried = approve(&fixture, &id).unwrap();
    assert_eq!(carried.state.state, Application::Failed);
    for told in [
        "pipelock refuses it: it will not have that",
        "pipelock has in force what it had before",
    ] {
        assert!(carried.told.contains(told), "{}", carried.told);
    }
    let statement = &carried.state.statement;
    assert!(
        !statement.contains("pipelock"),
        "the agent is told too much: {statement}"
    );
    assert_eq!((fixture.routes(), fixture.pipelock()), before);
    let audited = fixture.audited();
    assert_eq!(audited.last().unwrap(), "outcome failed");
    assert!(!audited.contains(&"acknowledged egress".to_owned()));
}

#[test]
fn when_egress_refuses_both_guards_go_back() {
    let fixture = Fixture::with_seat();
    let _guards = [
        fixture.guard(Guard::Egress, Some("new.example")),
        fixture.guard(Guard::Pipelock, None),
    ];
    let before = (fixture.routes(), fixture.pipelock());
    let id = fixture.propose_host("new.example");
    let carried = approve(&fixture, &id).unwrap();
    assert_eq!(carried.state.state, Application::Failed);
    assert_eq!((fixture.routes(), fixture.pipelock()), before);
    assert_eq!(status(&fixture, &id), ProposalStatus::Failed);
}

#[test]
fn a_dead_guard_is_no_approval_and_what_it_reads_when_it_comes_up_is_the_old_policy() {
    let mut fixture = Fixture::new();
    fixture.target.patience = Duration::from_millis(50);
    let before = fixture.routes();
    let id = fixture.propose_host("new.example");
    let carried = approve(&fixture, &id).unwrap();
    assert_eq!(carried.state.state, Application::Failed);
    assert!(carried.told.contains("does not answer"), "{}", carried.told);
    assert_eq!(fixture.routes(), before);
    assert_eq!(fixture.audited().last().unwrap(), "outcome failed");
}

#[test]
fn of_operators_at_once_one_decides() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    let considered = fixture.consider(&id, Lasts::default());
    let yes = || {
        wait(decide::approve(
            &context(&fixture.home).0,
            &fixture.target,
            &considered,
        ))
        .is_ok()
    };
    let no = || wait(decide::reject(&fixture.target, &considered.item, "no")).is_ok();
    let won = std::thread::scope(|scope| {
        let threads = [scope.spawn(yes), scope.spawn(no), scope.spawn(yes)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let audited = fixture.audited();
    let decided = audited.iter().filter(|entry| entry.starts_with("decided"));
    assert_eq!(decided.count(), 1, "{audited:?}");
    let applied = fixture.routes().contains("new.example");
    assert_eq!(applied, status(&fixture, &id) == ProposalStatus::Applied);
}

#[test]
fn a_proposal_that_was_edited_or_torn_after_it_was_shown_is_not_decided() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    let considered = fixture.consider(&id, Lasts::default());
    let refused = || wait(decide::approve(&fixture.context, &fixture.target, &considered)).unwrap_err();
    fixture.propose_host("evil.example");
    assert_eq!(refused().kind().exit_code(), 5);
    assert!(refused().to_string().contains("changed after it was shown"));
    fs_err::write(fixture.proposal_file(&id), "{\"schema_version\":1,").unwrap();
    assert_eq!(refused().kind().exit_code(), 5);
    assert_eq!(fixture.routes(), super::fixture::ROUTES);
    assert_eq!(fixture.audited(), [""; 0]);
}

#[test]
fn an_answer_to_another_hash_is_none_and_is_told() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    approve(&fixture, &id).unwrap();
    fixture.propose_host("evil.example");
    let queue = Queue::of_home(&fixture.home).unwrap();
    assert!(queue.items.is_empty());
    let told = queue.unreadable.join("\n");
    assert!(told.contains("changed after it was answered"), "{told}");
    wait(settle::all(&fixture.context, &fixture.home));
    assert!(!fixture.routes().contains("evil"));
}

#[test]
fn when_the_policy_changed_since_it_was_shown_nothing_is_decided() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    let considered = fixture.consider(&id, Lasts::default());
    let path = fixture.target.state.egress_config().join("routes.yaml");
    fs_err::write(
        path,
        super::fixture::ROUTES.replace("api.example", "other.example"),
    )
    .unwrap();
    let refused = wait(decide::approve(&fixture.context, &fixture.target, &considered)).unwrap_err();
    assert_eq!(refused.kind().exit_code(), 5);
    assert_eq!(status(&fixture, &id), ProposalStatus::Pending);
}

#[test]
fn what_was_taken_back_is_not_applied() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    let considered = fixture.consider(&id, Lasts::default());
    fixture.withdraw(&id);
    let refused = wait(decide::approve(&fixture.context, &fixture.target, &considered)).unwrap_err();
    assert_eq!(refused.kind().exit_code(), 5);
    assert_eq!(fixture.routes(), super::fixture::ROUTES);
    assert_eq!(fixture.audited(), ["proposed", "withdrawn"]);
}

#[test]
fn a_rejection_is_final_and_its_reason_cannot_act_on_a_terminal() {
    let fixture = Fixture::new();
    let id = fixture.propose_host("new.example");
    wait(decide::reject(
        &fixture.target,
        &fixture.item(&id),
        "not today\u{1b}[2J\u{202e}",
    ))
    .unwrap();
    assert_eq!(status(&fixture, &id), ProposalStatus::Rejected);
    assert_eq!(fixture.audited(), ["proposed", "decided rejected"]);
    let again = decide::refuse_answered(&fixture.item(&id)).unwrap_err();
    assert_eq!(again.kind().exit_code(), 3);
    let audit = fs_err::read_to_string(fixture.home.audit(&slug())).unwrap();
    assert!(!audit.contains('\u{202e}') && audit.contains("not today"));
}

#[test]
fn a_permission_that_ends_is_a_grant_of_the_proposals_own_digits_and_can_be_revoked() {
    let fixture = Fixture::with_seat();
    let _guards = fixture.both_guards();
    let id = fixture.propose_host("new.example");
    let lasts = Lasts {
        for_: Some(Duration::from_secs(3600)),
        once: true,
    };
    let carried = approve_for(&fixture, &id, lasts).unwrap();
    assert_eq!(carried.state.grant_id.unwrap().as_str(), "g-00000001");
    assert!(
        carried.told.contains(" since 2")
            && carried.told.contains(", until 2")
            && carried.told.ends_with("Z, for one request"),
        "{}",
        carried.told
    );
    assert!(fixture.routes().contains("grant_id: g-00000001") && fixture.routes().contains("once: true"));
    assert_eq!(revoke(&fixture, "p-00000001").host.as_str(), "new.example");
    assert!(!fixture.routes().contains("new.example") && !fixture.pipelock().contains("new.example"));
    let story = [
        "revoking",
        "acknowledged pipelock",
        "acknowledged egress",
        "outcome applied",
    ];
    assert!(fixture.audited().ends_with(&story.map(str::to_owned)));
}

#[test]
fn revoking_what_was_approved_for_good_takes_away_what_it_added_and_no_more() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let arguments = json!({"host": "api.example", "path_allowlist": ["/x/", "/y/"], "methods": ["POST"], "justification": "x"});
    let id = fixture.propose(
        "p-00000002",
        json!({"tool": "egress-block", "arguments": arguments}),
    );
    approve(&fixture, &id).unwrap();
    assert!(fixture.routes().contains("/y/") && fixture.routes().contains("POST"));
    revoke(&fixture, id.as_str());
    let expected = super::fixture::ROUTES.replace("generation: 1", "generation: 3");
    assert_eq!(fixture.routes(), expected);
}

#[test]
fn a_permission_that_was_written_and_ended_before_it_was_told_is_not_said_to_have_changed_nothing() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    let lasts = Lasts {
        for_: Some(Duration::from_secs(3600)),
        once: false,
    };
    approve_for(&fixture, &id, lasts).unwrap();
    let mut item = fixture.item(&id);
    let decision = contract::OperatorDecision::Approved {
        modified: None,
        expires_at: Some("2026-01-01T00:00:00.000Z".parse().unwrap()),
        once: false,
    };
    let (context, target) = (&fixture.context, &fixture.target);
    let change = decide::change_of(context, target, &item, &decision).unwrap();
    item.response.as_mut().unwrap().decision = decision;
    let lock = wait(target.lock()).unwrap();
    let carried = wait(settle::carry_out(context, target, &lock, &item, change, true)).unwrap();
    assert!(
        carried.told.ends_with("it may have been in force until then"),
        "{}",
        carried.told
    );
}

#[test]
fn revoking_brings_back_nothing_that_the_operator_took_out_meanwhile() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let arguments = json!({"host": "api.example", "path_allowlist": ["/y/"], "justification": "x"});
    let id = fixture.propose(
        "p-00000002",
        json!({"tool": "egress-block", "arguments": arguments}),
    );
    approve(&fixture, &id).unwrap();
    let before = super::egress::table(&fixture.target).unwrap();
    let text = before.render().unwrap().replace("  - /x/\n", "");
    let after = contract::RouteTable::parse(text.as_bytes()).unwrap();
    let environment = &fixture.context.environment;
    let change = super::egress::to(&fixture.target, environment, &before, after).unwrap();
    edit(&fixture.context, &fixture.target, &change);
    assert!(!fixture.routes().contains("/x/") && fixture.routes().contains("/y/"));
    revoke(&fixture, id.as_str());
    assert!(!fixture.routes().contains("api.example"), "{}", fixture.routes());
}

#[test]
fn a_grant_that_the_guard_ended_is_audited_once_and_leaves_the_table_with_the_next_change() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    approve_for(&fixture, &id, ONCE).unwrap();
    let end = json!({"at": "2026-11-21T00:00:01.000Z", "cause": "used"});
    let record = json!({"grant_id": "g-00000001", "host": "new.example", "first_seen": "2026-11-21T00:00:00.000Z", "end": end});
    let ledger = json!({"schema_version": 1, "grants": [record]}).to_string();
    fs_err::write(fixture.target.state.egress_run().join("grants.json"), ledger).unwrap();
    for _ in 0..2 {
        wait(settle::all(&fixture.context, &fixture.home));
    }
    let audited = fixture.audited();
    assert_eq!(audited.iter().filter(|entry| *entry == "grant_ended").count(), 1);
    let arguments = json!({"host": "next.example", "justification": "x"});
    let next = fixture.propose(
        "p-00000009",
        json!({"tool": "egress-block", "arguments": arguments}),
    );
    approve(&fixture, &next).unwrap();
    assert!(fixture.routes().contains("next.example") && !fixture.routes().contains("new.example"));
}

#[test]
fn a_host_is_let_in_at_the_seat_and_an_exemption_always_ends() {
    let fixture = Fixture::with_seat();
    let _guard = fixture.guard(Guard::Pipelock, None);
    let arguments = json!({"host": "seat.example", "justification": "x"});
    let host = fixture.propose(
        "p-00000003",
        json!({"tool": "pipelock-block", "arguments": arguments}),
    );
    approve(&fixture, &host).unwrap();
    assert!(fixture.pipelock().contains("seat.example"));
    let arguments = json!({"host": "seat.example", "rule": "aws-access-key-id", "justification": "x"});
    let rule = fixture.propose(
        "p-00000004",
        json!({"tool": "pipelock-block", "arguments": arguments}),
    );
    approve(&fixture, &rule).unwrap();
    let exemptions = super::seat::exemptions(&fixture.target).unwrap();
    assert_eq!(exemptions[0].id.as_str(), "g-00000004");
    assert!(exemptions[0].expires_at.is_some());
    assert_eq!(revoke(&fixture, "g-00000004").host.as_str(), "seat.example");
    assert_eq!(super::seat::exemptions(&fixture.target).unwrap(), []);
}

#[test]
fn a_bottle_without_the_guard_refuses_by_name() {
    let fixture = Fixture::new();
    let arguments = json!({"host": "seat.example", "justification": "x"});
    let id = fixture.propose(
        "p-00000003",
        json!({"tool": "pipelock-block", "arguments": arguments}),
    );
    let item = fixture.item(&id);
    let refused = decide::consider(&fixture.context, &fixture.target, &item, None, Lasts::default());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("dev-ab1cd has no pipelock"), "{refused}");
}

#[test]
fn a_dockerfile_is_stored_and_the_answer_says_that_nothing_is_rebuilt_yet() {
    let fixture = Fixture::new();
    let arguments = json!({"dockerfile": "FROM debian:12\n", "justification": "jq"});
    let id = fixture.propose(
        "p-00000005",
        json!({"tool": "capability-block", "arguments": arguments}),
    );
    let carried = approve(&fixture, &id).unwrap();
    assert_eq!(carried.state.statement, super::capability::STATEMENT);
    let stored = fs_err::read_to_string(fixture.target.state.approved_dockerfile()).unwrap();
    assert_eq!(stored, "FROM debian:12\n");
    assert!(fixture.target.state.preserve().is_file());
}

#[test]
fn a_credential_that_nobody_has_is_a_failure_and_not_half_a_route() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(Guard::Egress, None);
    let auth = json!({"scheme": "Bearer", "token_ref": "NO_SUCH_TOKEN"});
    let arguments = json!({"host": "new.example", "auth": auth, "justification": "x"});
    let id = fixture.propose(
        "p-00000006",
        json!({"tool": "egress-block", "arguments": arguments}),
    );
    let carried = approve(&fixture, &id).unwrap();
    assert_eq!(carried.state.state, Application::Failed);
    assert!(carried.told.contains("NO_SUCH_TOKEN"), "{}", carried.told);
    assert_eq!(fixture.routes(), super::fixture::ROUTES);
}

#[test]
fn what_nobody_answered_when_the_session_ends_is_expired_and_audited() {
    let fixture = Fixture::new();
    let id = fixture.propose_host("new.example");
    for _ in 0..2 {
        settle::session_over(&fixture.home, &slug()).unwrap();
    }
    assert_eq!(status(&fixture, &id), ProposalStatus::Expired);
    assert_eq!(fixture.audited(), ["proposed", "expired"]);
    let late = decide::refuse_answered(&fixture.item(&id)).unwrap_err();
    assert_eq!(late.kind().exit_code(), 4);
}

#[test]
fn a_revocation_whose_end_was_not_noted_when_the_session_ends_has_one_in_the_audit() {
    let fixture = Fixture::new();
    let id = fixture.propose_host("new.example");
    let revoking = AuditEvent::Revoking {
        host: "new.example".parse().unwrap(),
        changes: Vec::new(),
    };
    let note = Note::operator(revoking).joined(Some(&id), None);
    fixture.target.audit().append([note]).unwrap();
    for _ in 0..2 {
        settle::session_over(&fixture.home, &slug()).unwrap();
    }
    assert_eq!(
        fixture.audited(),
        ["revoking", "outcome failed", "proposed", "expired"]
    );
}

#[test]
fn questions_of_a_bottle_whose_metadata_and_grants_are_damaged_are_ended_all_the_same() {
    let fixture = Fixture::new();
    let id = fixture.propose_host("new.example");
    let state = &fixture.target.state;
    fs_err::write(state.metadata(), "{\"schema").unwrap();
    fs_err::write(state.egress_run().join("grants.json"), "{\"schema").unwrap();
    let told = settle::session_over(&fixture.home, &slug())
        .unwrap_err()
        .to_string();
    assert!(told.contains("grants"), "{told}");
    assert_eq!(status(&fixture, &id), ProposalStatus::Expired);
    assert_eq!(fixture.audited(), ["proposed", "expired"]);
    let nobody = "nobody-00000".parse().unwrap();
    settle::session_over(&fixture.home, &nobody).unwrap();
    assert!(!fixture.home.audit(&nobody).exists());
}

#[test]
fn a_full_disk_leaves_the_old_policy_and_is_finished_later() {
    for point in [
        "written and synced",
        "linked",
        "renamed",
        "folder synced",
        "audit written",
        "audit synced",
    ] {
        let fixture = Fixture::with_seat();
        let _guards = fixture.both_guards();
        let id = fixture.propose_host("new.example");
        let considered = fixture.consider(&id, Lasts::default());
        let approving = || wait(decide::approve(&fixture.context, &fixture.target, &considered));
        let refused = injected::failing(point, approving);
        assert_eq!(refused.unwrap_err().kind().exit_code(), 6, "{point}");
        assert_eq!(fixture.routes(), super::fixture::ROUTES, "{point}");
        settled(&fixture, &id, point);
    }
}

/// After the next command: undecided, or applied exactly once, and everybody agrees on it.
fn settled(fixture: &Fixture, id: &ProposalId, point: &str) {
    wait(settle::all(&fixture.context, &fixture.home));
    let item = fixture.item(id);
    if item.response.is_none() {
        assert_eq!(item.status, ProposalStatus::Pending, "{point}");
        assert_eq!(fixture.routes(), super::fixture::ROUTES, "{point}");
        approve(fixture, id).unwrap();
    }
    let messages = fixture.captured.messages();
    assert_eq!(
        status(fixture, id),
        ProposalStatus::Applied,
        "{point}: {messages}"
    );
    let routes = fixture.routes();
    assert_eq!(routes.matches("- host: new.example").count(), 1, "{point}");
    assert!(
        routes.contains("generation: 2"),
        "{point}: applied twice: {routes}"
    );
    assert_eq!(fixture.pipelock().matches("new.example").count(), 1, "{point}");
    let audited = fixture.audited();
    for once in ["proposed", "decided approved", "outcome applied"] {
        let count = audited.iter().filter(|entry| *entry == once).count();
        assert_eq!(count, 1, "{point}: {once}: {audited:?}");
    }
}

/// The other process of the test below: approves, and is killed at the point that it was told.
#[test]
fn an_approval_that_is_killed() {
    let Some(root) = std::env::var_os("BOTTLE_TEST_KILLED_HOME") else {
        return;
    };
    let home = Home::at(root.into());
    let (context, _) = context(&home);
    let target = super::Target::of(&home, &slug()).unwrap();
    let queue = Queue::of_home(&home).unwrap();
    let item = queue.pending().next().unwrap();
    let considered = decide::consider(&context, &target, item, None, Lasts::default()).unwrap();
    wait(decide::approve(&context, &target, &considered)).unwrap();
}

#[test]
fn killed_at_any_fsync_link_or_rename_nothing_is_lost_and_nothing_applied_twice() {
    let mut at = 0;
    loop {
        at += 1;
        let fixture = Fixture::with_seat();
        let _guards = fixture.both_guards();
        let id = fixture.propose_host("new.example");
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "apply::tests::an_approval_that_is_killed"])
            .env("BOTTLE_TEST_KILLED_HOME", fixture.root())
            .env(KILL_AT, at.to_string())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        settled(&fixture, &id, &format!("point {at}"));
        if status.success() {
            break;
        }
    }
    // Answer 3, audit 2, state 3, a file of the seat 3, a file of egress 3, audit 2, state 3.
    assert!(at > 19, "only {at} points were passed");
}

/// Runs one of the tests above in another process that is killed at that point; whether it came to its end all the same.
fn killed_at(fixture: &Fixture, test: &str, at: usize) -> bool {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("apply::tests::{test}")])
        .env("BOTTLE_TEST_KILLED_HOME", fixture.root())
        .env(KILL_AT, at.to_string())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    status.success()
}

/// The other process of the tests below: what it is to be killed in.
fn target_to_be_killed() -> Option<(crate::cli::Context, super::Target)> {
    let home = Home::at(std::env::var_os("BOTTLE_TEST_KILLED_HOME")?.into());
    let (context, _) = context(&home);
    let target = super::Target::of(&home, &slug()).unwrap();
    Some((context, target))
}

#[test]
fn a_revocation_that_is_killed() {
    let Some((context, target)) = target_to_be_killed() else {
        return;
    };
    let found = revoke::meant(&target, &context.environment, "p-00000001").unwrap();
    let revocation = found.unwrap();
    let event = AuditEvent::Revoking {
        host: revocation.host.clone(),
        changes: revocation.change.changes(),
    };
    let (proposal, grant) = (revocation.proposal.as_ref(), revocation.grant.as_ref());
    wait(revoke::carry_out(
        &context,
        &target,
        &revocation.change,
        event,
        proposal,
        grant,
    ))
    .unwrap();
}

#[test]
fn an_edit_of_routes_that_is_killed() {
    let Some((context, target)) = target_to_be_killed() else {
        return;
    };
    let before = super::egress::table(&target).unwrap();
    let text = before.render().unwrap() + "- host: edited.example\n";
    let after = contract::RouteTable::parse(text.as_bytes()).unwrap();
    let change = super::egress::to(&target, &context.environment, &before, after).unwrap();
    edit(&context, &target, &change);
}

#[test]
fn an_edit_of_the_seat_that_is_killed() {
    let Some((context, target)) = target_to_be_killed() else {
        return;
    };
    edit(&context, &target, &seat_edit(&target));
}

fn edit(context: &crate::cli::Context, target: &super::Target, change: &super::Change) {
    let event = AuditEvent::Editing {
        changes: change.changes(),
    };
    wait(revoke::carry_out(context, target, change, event, None, None)).unwrap();
}

fn seat_edit(target: &super::Target) -> super::Change {
    let arguments = json!({"host": "edited.example", "justification": "x"});
    let ask = serde_json::from_value(arguments).unwrap();
    super::seat::block(target, &ask, &"g-00000001".parse().unwrap(), None).unwrap()
}

/// Whatever moment it was killed at: the next command says in the audit what is true, the seat admits
/// every host that egress does unless it is being taken back, and no file is half of anything. Says whether the change is in force.
fn told_truly(fixture: &Fixture, host: &str, point: &str) -> bool {
    for _ in 0..2 {
        wait(settle::all(&fixture.context, &fixture.home));
    }
    let (routes, seat) = (fixture.routes(), fixture.pipelock());
    let table = contract::RouteTable::parse(routes.as_bytes()).unwrap();
    let audited = fixture.audited();
    // Of what is taken back, the seat refuses first: that closes, as it was meant.
    let is_revoked = audited.contains(&"revoking".to_owned());
    for route in table.routes().iter().filter(|_| !is_revoked) {
        assert!(seat.contains(route.host.as_str()), "{point}: {routes}\n{seat}");
    }
    let begun = audited
        .iter()
        .filter(|entry| *entry == "editing" || *entry == "revoking")
        .count();
    let is_there = table.knows(&host.parse().unwrap());
    if begun == 0 {
        return is_there;
    }
    assert_eq!(begun, 1, "{point}: {audited:?}");
    let last = audited.last().unwrap();
    assert!(last.starts_with("outcome "), "{point}: {audited:?}");
    is_there
}

#[test]
fn a_revocation_killed_at_any_fsync_or_rename_is_done_or_not_and_the_audit_says_which() {
    let mut at = 0;
    loop {
        at += 1;
        let fixture = Fixture::with_seat();
        let _guards = fixture.both_guards();
        let id = fixture.propose_host("new.example");
        approve(&fixture, &id).unwrap();
        let ended = killed_at(&fixture, "a_revocation_that_is_killed", at);
        let point = format!("point {at}");
        let is_there = told_truly(&fixture, "new.example", &point);
        let audited = fixture.audited();
        if audited.last().unwrap() == "outcome applied" && audited.contains(&"revoking".to_owned()) {
            assert!(!is_there, "{point}: {audited:?}");
        } else {
            // It can be done again.
            assert!(is_there, "{point}: {audited:?}");
            revoke(&fixture, "p-00000001");
            assert!(!fixture.routes().contains("new.example"), "{point}");
        }
        if ended {
            break;
        }
    }
    // Audit 2, a file of the seat 3, a file of egress 3, audit 2.
    assert!(at > 10, "only {at} points were passed");
}

#[test]
fn a_revocation_killed_at_any_point_leaves_in_force_what_another_approval_grants() {
    let mut at = 0;
    loop {
        at += 1;
        let fixture = Fixture::with_seat();
        let _guards = fixture.both_guards();
        approve(&fixture, &fixture.propose_host("new.example")).unwrap();
        let arguments = json!({"host": "new.example", "path_allowlist": ["/a/"], "justification": "x"});
        let ask = json!({"tool": "egress-block", "arguments": arguments});
        approve(&fixture, &fixture.propose("p-00000002", ask)).unwrap();
        let ended = killed_at(&fixture, "a_revocation_that_is_killed", at);
        let point = format!("point {at}");
        assert!(
            told_truly(&fixture, "new.example", &point),
            "{point}: the other's is gone"
        );
        let audited = fixture.audited();
        let done = audited.contains(&"revoking".to_owned()) && audited.last().unwrap() == "outcome applied";
        let is_narrowed = || {
            let table = super::egress::table(&fixture.target).unwrap();
            let route = table.lasting(&"new.example".parse().unwrap()).unwrap();
            route.path_allowlist.is_some()
        };
        assert_eq!(is_narrowed(), done, "{point}: {audited:?}");
        let again = revoke::meant(&fixture.target, &fixture.context.environment, "p-00000001").unwrap();
        assert_eq!(again.is_none(), done, "{point}");
        if !done {
            revoke(&fixture, "p-00000001");
            assert!(is_narrowed(), "{point}");
        }
        revoke(&fixture, "p-00000002");
        assert!(!fixture.routes().contains("new.example"), "{point}");
        if ended {
            break;
        }
    }
    assert!(at > 7, "only {at} points were passed");
}

#[test]
fn an_edit_killed_at_any_fsync_or_rename_is_done_or_not_and_the_audit_says_which() {
    for (test, points) in [
        ("an_edit_of_routes_that_is_killed", 10),
        ("an_edit_of_the_seat_that_is_killed", 7),
    ] {
        let mut at = 0;
        loop {
            at += 1;
            let fixture = Fixture::with_seat();
            let _guards = fixture.both_guards();
            let ended = killed_at(&fixture, test, at);
            let point = format!("{test}, point {at}");
            told_truly(&fixture, "edited.example", &point);
            let audited = fixture.audited();
            let in_force = match points {
                10 => fixture.routes().contains("edited.example"),
                _ => fixture.pipelock().contains("edited.example"),
            };
            let told = audited.last().is_some_and(|entry| entry == "outcome applied");
            assert_eq!(in_force, told, "{point}: {audited:?}");
            if ended {
                break;
            }
        }
        assert!(at > points, "{test}: only {at} points were passed");
    }
}

#[test]
fn a_queue_file_that_is_no_proposal_is_told_and_the_others_are_read() {
    let fixture = Fixture::new();
    let good = fixture.propose_host("new.example");
    let proposals = fixture.target.state.proposals();
    let text = fs_err::read_to_string(fixture.proposal_file(&good)).unwrap();
    let write = |name: &str, text: &str| fs_err::write(proposals.join(name), text).unwrap();
    write("p-00000010.json", "not json\u{1b}[2J");
    write("p-00000011.json", &text);
    let other_ask = text.replace("p-00000001", "p-00000012");
    write(
        "p-00000012.json",
        &other_ask.replace("new.example", "evil.example"),
    );
    write("p-00000013.json", &" ".repeat((1 << 20) + 1));
    write("notes.txt", "x");
    std::os::unix::fs::symlink("/etc/passwd", proposals.join("p-00000014.json")).unwrap();
    nix::unistd::mkfifo(&proposals.join("p-00000015.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let queue = Queue::of_home(&fixture.home).unwrap();
    assert_eq!(queue.items.len(), 1);
    let told = queue.unreadable.join("\n");
    for id in 10..=15 {
        assert!(told.contains(&format!("p-000000{id}")), "{told}");
    }
    assert!(!told.contains('\u{1b}') && !told.contains("root:"), "{told}");
}
