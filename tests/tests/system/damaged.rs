//! A bottle whose state directory cannot be read, or is gone while its containers run, is ended on the operator's word alone, and nothing
//! that tells of it is lost; another home's is never touched.

use crate::{curl, home, internet, starting};
use system_tests::docker::{docker, everything_named};
use system_tests::home::{Bottle, Home};

/// Bytes of the access events that outlived a bottle.
fn events(home: &Home, slug: &str) -> usize {
    let path = home.path().join("events").join(format!("{slug}.jsonl.zst"));
    fs_err::metadata(path).map_or(0, |file| file.len().try_into().unwrap())
}

fn asked(bottle: &Bottle<'_>) {
    assert_eq!(curl(bottle, "http://_egress.local/allowlist").unwrap().0, "200");
}

/// Standard error of a command that ends well.
fn told(home: &Home, arguments: &[&str]) -> String {
    let output = home.run(arguments).unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
    told
}

#[test]
fn a_bottle_with_a_damaged_state_is_stopped_by_its_labels_and_its_remains_are_kept() {
    let internet = internet().unwrap();
    let (mine, theirs) = (home(&internet).unwrap(), home(&internet).unwrap());
    let bottle = mine.start("tester").unwrap();
    asked(&bottle);
    fs_err::write(bottle.state().join("agent/workspace/work"), "days of it").unwrap();
    fs_err::remove_file(bottle.state().join(".lock")).unwrap();
    fs_err::create_dir(bottle.state().join(".lock")).unwrap();
    let left_alone = told(&theirs, &["cleanup", "--yes"]);
    assert!(left_alone.contains("nothing to remove"), "{left_alone}");
    let slug = bottle.slug().to_owned();
    let stopped = told(&mine, &["stop", &slug]);
    let first_said = stopped.find(&format!("container {}", bottle.agent()));
    assert!(first_said < stopped.find("stopping"), "{stopped}");
    assert_eq!(everything_named(&slug).unwrap(), Vec::<String>::new());
    let aside = mine.path().join("damaged").join(&slug);
    assert_eq!(
        fs_err::read_to_string(aside.join("state/agent/workspace/work")).unwrap(),
        "days of it"
    );
    let logs = fs_err::read_to_string(aside.join("containers.log")).unwrap();
    assert!(
        logs.contains(&format!("{}  | ", bottle.guard("egress"))) && logs.contains("_egress.local"),
        "{logs}"
    );
    assert!(events(&mine, &slug) > 0);
    assert!(!mine.state().contains(&slug));
}

#[test]
fn without_state_directories_cleanup_ends_nothing_unasked_and_then_its_own_alone() {
    let internet = internet().unwrap();
    let (mine, theirs) = (home(&internet).unwrap(), home(&internet).unwrap());
    let bottle = mine.start("tester").unwrap();
    let other = theirs.start("tester").unwrap();
    asked(&bottle);
    let (state, away) = (mine.path().join("state"), mine.path().join("away"));
    fs_err::rename(&state, &away).unwrap();
    let left_alone = told(&mine, &["cleanup"]);
    let said = format!("{}: its state directory", bottle.slug());
    assert!(
        left_alone.contains(&said) && left_alone.contains("left alone"),
        "{left_alone}"
    );
    assert!(mine.succeed(&["list"]).unwrap().contains("orphaned"));
    asked(&bottle);
    let ended = told(&mine, &["cleanup", "--yes"]);
    assert!(
        ended.contains(&format!("container {}", bottle.agent())),
        "{ended}"
    );
    assert_eq!(everything_named(bottle.slug()).unwrap(), Vec::<String>::new());
    assert!(events(&mine, bottle.slug()) > 0);
    asked(&other);
    // It was only away: nothing of it is taken for what a crash left.
    fs_err::rename(&away, &state).unwrap();
    told(&mine, &["cleanup"]);
    assert!(bottle.state().join("metadata.json").is_file());
    told(&mine, &["cleanup", "--discard", bottle.slug()]);
    assert_eq!(mine.state(), Vec::<String>::new());
}

#[test]
fn a_session_whose_state_directory_was_deleted_takes_its_bottle_down_when_it_ends() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let mut child = starting(&home);
    let slug = system_tests::asking::eventually(|| {
        let slugs = home.state();
        let ready = |slug: &&String| home.path().join("state").join(slug).join(".ready").exists();
        Ok(slugs.iter().find(ready).cloned())
    })
    .unwrap();
    let agent = format!("claude-bottle-{slug}");
    // The session itself, not only its container.
    system_tests::asking::eventually(|| Ok(docker(["top", &agent])?.contains("bash").then_some(()))).unwrap();
    fs_err::remove_dir_all(home.path().join("state")).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(everything_named(&slug).unwrap(), Vec::<String>::new());
    assert!(
        home.path()
            .join("damaged")
            .join(&slug)
            .join("containers.log")
            .is_file()
    );
}

#[test]
fn a_bottle_without_logs_finds_its_work_again_when_its_state_directory_comes_back() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    let work = bottle.state().join("agent/workspace/work");
    fs_err::write(&work, "days of it").unwrap();
    let (state, away) = (home.path().join("state"), home.path().join("away"));
    // Its networks and volumes are left.
    for container in [bottle.agent(), bottle.guard("egress"), bottle.guard("pipelock")] {
        docker(["rm", "--force", &container]).unwrap();
    }
    fs_err::rename(&state, &away).unwrap();
    told(&home, &["stop", bottle.slug()]);
    fs_err::rename(&away, &state).unwrap();
    told(&home, &["cleanup"]);
    assert!(work.is_file());
    told(&home, &["cleanup", "--discard", bottle.slug()]);
}
