//! A bottle's whole life with compose v1 (`docker-compose` 1.29), where `scripts/compose-v1` could get one: with Debian 12 it is the
//! compose that people have.

use crate::{curl, home, internet};
use serde_json::json;
use system_tests::asking::Asking;
use system_tests::docker::{docker, everything_named};
use system_tests::home::Home;
use system_tests::prefix::Prefix;

const OTHER_TOKEN: &str = "system-test-other-token-7d2f9c1b4e8a6035";

/// Makes a home's `bottle` use it; `false` where there is none.
fn with_v1(home: &mut Home) -> bool {
    let folder = Prefix::find().unwrap().fixture("compose-v1");
    if !folder.join("docker-compose").is_file() {
        // `scripts/compose-v1` has said why.
        return false;
    }
    // Before everything else lies a `docker` that has no compose.
    home.secret("PATH", &format!("{}:/usr/bin:/bin", folder.display()));
    true
}

#[test]
fn a_bottle_is_started_given_more_and_stopped_with_compose_v1() {
    let internet = internet().unwrap();
    let mut home = home(&internet).unwrap();
    if !with_v1(&mut home) {
        return;
    }
    home.secret("OTHER_TOKEN", OTHER_TOKEN);
    let manifest = home.path().join("bottles/box.md");
    let text = fs_err::read_to_string(&manifest).unwrap();
    fs_err::write(
        &manifest,
        text.replacen("egress:\n", "supervise: true\negress:\n", 1),
    )
    .unwrap();

    let bottle = home.start("tester").unwrap();
    let by = "{{index .Config.Labels \"com.docker.compose.version\"}}";
    let version = docker(["inspect", "--format", by, &bottle.agent()]).unwrap();
    assert!(version.starts_with("1."), "{version}");
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
    assert_eq!(curl(&bottle, "https://open.test.example/by-v1").unwrap().0, "200");

    // A credential that the running egress has not: egress is made anew by compose, and nothing else.
    let asking = Asking {
        home: &home,
        bottle: &bottle,
    };
    let arguments = json!({"host": "closed.test.example", "justification": "its API",
        "auth": {"scheme": "Bearer", "token_ref": "OTHER_TOKEN"}});
    asking.call("one", &arguments).unwrap();
    let id = asking.pending(1).unwrap().remove(0);
    let said = home.succeed(&["approve", &id, "--yes"]).unwrap();
    assert!(said.contains("closed.test.example is live since"), "{said}");
    let environment = docker([
        "inspect",
        "--format",
        "{{json .Config.Env}}",
        &bottle.guard("egress"),
    ])
    .unwrap();
    assert!(environment.contains(OTHER_TOKEN), "egress was not made anew");
    let again = curl(&bottle, "https://api.test.example/repos/acme/by-v1").unwrap();
    assert_eq!(again.0, "200", "{again:?}");
    home.succeed(&["revoke", &id, "--yes"]).unwrap();

    let slug = bottle.slug().to_owned();
    home.succeed(&["stop", &slug]).unwrap();
    assert_eq!(everything_named(&slug).unwrap(), Vec::<String>::new());
    assert_eq!(home.state(), Vec::<String>::new());
    let story = home.succeed(&["audit", &slug, "--of", &id]).unwrap();
    assert!(story.contains("applied: closed.test.example is live"), "{story}");
    let events = home.path().join("events").join(format!("{slug}.jsonl.zst"));
    let events = zstd::decode_all(fs_err::File::open(events).unwrap()).unwrap();
    let events = String::from_utf8(events).unwrap();
    for path in ["\"/by-v1\"", "\"/repos/acme/by-v1\""] {
        assert!(events.contains(path), "{events}");
    }
}
