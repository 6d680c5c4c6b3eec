//! Invariant 2: no guard that is down, slow or misconfigured ever means *open*.

use crate::{curl, home, internet};
use std::time::{Duration, Instant};
use system_tests::docker::docker;

#[test]
fn with_a_guard_dead_nothing_passes_and_it_comes_back_by_itself() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
    assert_eq!(
        curl(&bottle, "https://open.test.example/before").unwrap().0,
        "200"
    );
    for guard in ["egress", "pipelock"] {
        docker(["stop", "--time", "2", &bottle.guard(guard)]).unwrap();
        let (status, _) = curl(&bottle, &format!("https://open.test.example/without-{guard}")).unwrap();
        assert_ne!(status, "200", "without {guard}");
        assert!(
            internet.seen_at(&format!("/without-{guard}")).unwrap().is_empty(),
            "without {guard}"
        );
        // The seat never dials a network that it is on itself, and finds out which these are when it starts: what stands for
        // the internet is joined anew.
        internet.cut_off(&bottle.guard("pipelock")).unwrap();
        docker(["start", &bottle.guard(guard)]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let applied = bottle.state().join(guard).join("run/applied.json");
        let started = docker([
            "inspect",
            "--format",
            "{{.State.StartedAt}}",
            &bottle.guard(guard),
        ])
        .unwrap();
        while !acknowledged_since(&applied, &started) {
            assert!(Instant::now() < deadline, "{guard} says nothing after a restart");
            std::thread::sleep(Duration::from_millis(10));
        }
        internet.reach_from(&bottle.guard("pipelock")).unwrap();
        while curl(&bottle, "https://open.test.example/again").unwrap().0 != "200" {
            assert!(
                Instant::now() < deadline,
                "{guard} does not serve after a restart"
            );
        }
    }
}

/// Whether a guard has acknowledged its files since its container was started; both times are RFC 3339 in UTC.
fn acknowledged_since(applied: &std::path::Path, started: &str) -> bool {
    let Ok(text) = fs_err::read_to_string(applied) else {
        return false;
    };
    let applied: serde_json::Value = serde_json::from_str(&text).unwrap();
    let to_the_second = |time: &str| time.get(..19).map(str::to_owned);
    let at = applied["at"].as_str().unwrap();
    to_the_second(at) >= to_the_second(started)
}

#[test]
fn a_paused_guard_is_a_closed_guard() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
    for guard in ["egress", "pipelock"] {
        docker(["pause", &bottle.guard(guard)]).unwrap();
        let (said, code) = bottle
            .sh("curl --silent --max-time 2 https://open.test.example/while-paused")
            .unwrap();
        docker(["unpause", &bottle.guard(guard)]).unwrap();
        assert_eq!(
            (said.as_str(), code),
            ("", 28),
            "curl should time out without {guard}"
        );
        // The connection that waited was given up by its client: whatever the guard makes of it, an answer went nowhere.
        assert_eq!(
            curl(&bottle, "https://open.test.example/after").unwrap().0,
            "200",
            "{guard}"
        );
    }
}

#[test]
fn routes_that_do_not_parse_leave_the_old_policy_in_force_and_say_so() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
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
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
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
