//! Invariant 2: no guard that is down, slow or misconfigured ever means *open*.

use crate::{curl, home, internet};
use std::time::{Duration, Instant};
use system_tests::docker::docker;

#[test]
fn with_egress_dead_nothing_passes_and_it_comes_back_by_itself() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("egress")).unwrap();
    docker(["stop", "--time", "2", &bottle.guard("egress")]).unwrap();
    let (status, _) = curl(&bottle, "https://open.test.example/while-down").unwrap();
    assert_eq!(status, "000");
    assert!(internet.seen_at("/while-down").unwrap().is_empty());
    // A guard never dials a network that it is on itself, and finds out which these are when it starts: what stands for the
    // internet is joined anew.
    internet.cut_off(&bottle.guard("egress")).unwrap();
    docker(["start", &bottle.guard("egress")]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while curl(&bottle, "http://_egress.local/allowlist").unwrap().0 != "200" {
        assert!(
            Instant::now() < deadline,
            "egress does not answer after a restart"
        );
    }
    internet.reach_from(&bottle.guard("egress")).unwrap();
    while curl(&bottle, "https://open.test.example/again").unwrap().0 != "200" {
        assert!(Instant::now() < deadline, "egress does not serve after a restart");
    }
}

#[test]
fn a_paused_guard_is_a_closed_guard() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("egress")).unwrap();
    docker(["pause", &bottle.guard("egress")]).unwrap();
    let (said, code) = bottle
        .sh("curl --silent --max-time 2 https://open.test.example/while-paused")
        .unwrap();
    docker(["unpause", &bottle.guard("egress")]).unwrap();
    assert_eq!((said.as_str(), code), ("", 28), "curl should time out");
    // The connection that waited was given up by its client: whatever the guard makes of it, an answer went nowhere.
    assert_eq!(curl(&bottle, "https://open.test.example/after").unwrap().0, "200");
}

#[test]
fn routes_that_do_not_parse_leave_the_old_policy_in_force_and_say_so() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("egress")).unwrap();
    let routes = bottle.state().join("egress/config/routes.yaml");
    let before = fs_err::read_to_string(&routes).unwrap();
    let opened = "schema_version: 1\ngeneration: 2\nroutes:\n- host: closed.test.example\n  hosst: oops\n";
    let beside = routes.with_extension("new");
    fs_err::write(&beside, opened).unwrap();
    fs_err::rename(&beside, &routes).unwrap();
    let applied = wait_for_ack(&bottle.state(), opened);
    assert!(
        applied["error"]
            .as_str()
            .is_some_and(|error| error.contains("hosst")),
        "{applied}"
    );
    assert_eq!(curl(&bottle, "https://open.test.example/still").unwrap().0, "200");
    assert_ne!(
        curl(&bottle, "https://closed.test.example/still").unwrap().0,
        "200"
    );
    assert!(
        internet
            .seen()
            .unwrap()
            .iter()
            .all(|seen| seen.host != "closed.test.example")
    );

    // And a file that does parse is applied to the same running guard.
    let closed = before
        .replace("generation: 1", "generation: 3")
        .replace("open.test.example", "moved.test.example");
    fs_err::write(&beside, &closed).unwrap();
    fs_err::rename(&beside, &routes).unwrap();
    let applied = wait_for_ack(&bottle.state(), &closed);
    assert_eq!(
        (applied["generation"].as_u64(), &applied["error"]),
        (Some(3), &serde_json::Value::Null)
    );
    assert_ne!(curl(&bottle, "https://open.test.example/gone").unwrap().0, "200");
    assert!(internet.seen_at("/gone").unwrap().is_empty());
}

fn wait_for_ack(state: &std::path::Path, written: &str) -> serde_json::Value {
    let hash = contract::Sha256Hex::of(written.as_bytes());
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs_err::read_to_string(state.join("egress/run/applied.json")).unwrap();
        let applied: serde_json::Value = serde_json::from_str(&text).unwrap();
        if applied["file_sha256"] == hash.as_str() {
            return applied;
        }
        assert!(Instant::now() < deadline, "no ack of what was written: {applied}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_guard_that_cannot_read_its_policy_at_start_serves_nothing() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("egress")).unwrap();
    docker(["stop", "--time", "2", &bottle.guard("egress")]).unwrap();
    fs_err::write(
        bottle.state().join("egress/config/routes.yaml"),
        "routes: everything",
    )
    .unwrap();
    docker(["start", &bottle.guard("egress")]).unwrap();
    let (status, _) = curl(&bottle, "https://open.test.example/misconfigured").unwrap();
    assert_eq!(status, "000");
    assert!(internet.seen_at("/misconfigured").unwrap().is_empty());
}
