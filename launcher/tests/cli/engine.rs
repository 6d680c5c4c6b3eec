//! Which engine is taken, and what is said of one that is not: against a fake that answers a few requests.

use super::Bottle;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// Answers on a socket of its own until the test's process ends.
struct Engine {
    _folder: tempfile::TempDir,
    socket: PathBuf,
}

impl Engine {
    fn new(version: &'static str, api: &'static str, security: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                std::thread::spawn(move || answer(stream, version, api, security));
            }
        });
        Self {
            _folder: folder,
            socket,
        }
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

fn answer(mut stream: UnixStream, version: &str, api: &str, security: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else { return };
    // To the end of the head; nothing here has a body.
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let path = request.split([' ', '?']).nth(1).unwrap_or_default();
    let (status, body) = match path {
        "/version" => (
            "200 OK",
            format!(r#"{{"Version":"{version}","ApiVersion":"{api}","Os":"linux","Arch":"amd64"}}"#),
        ),
        "/info" => (
            "200 OK",
            format!(
                r#"{{"Driver":"overlay2","SecurityOptions":["name=seccomp,profile=builtin"{security}],"MemoryLimit":true,"PidsLimit":true}}"#
            ),
        ),
        "/containers/json" | "/networks" | "/images/json" => ("200 OK", "[]".to_owned()),
        "/volumes" => ("200 OK", r#"{"Volumes":null,"Warnings":null}"#.to_owned()),
        _ => ("404 Not Found", r#"{"message":"no such thing"}"#.to_owned()),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

#[test]
fn an_engine_older_than_20_10_is_refused_with_its_version() {
    let engine = Engine::new("19.03.15", "1.40", "");
    let told = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .run(&["list"])
        .replace(&engine.host(), "ENGINE");
    insta::assert_snapshot!(told, @r"
    exit 6
    --- stdout
    --- stderr
    error: the engine at ENGINE is version 19.03.15 (API 1.40); a bottle needs Docker 20.10 (API 1.41) or newer
    hint: update Docker, or name another engine with DOCKER_HOST
    ");
}

#[test]
fn an_engine_on_another_machine_is_refused_without_being_asked() {
    let told = Bottle::new()
        .set("DOCKER_HOST", "ssh://me@build.example")
        .run(&["list"]);
    insta::assert_snapshot!(told, @r"
    exit 6
    --- stdout
    --- stderr
    error: DOCKER_HOST names the engine `ssh://me@build.example`: it is on another machine
    hint: bottle works with an engine on this machine; give its socket, as in DOCKER_HOST=unix:///var/run/docker.sock
    ");
}

#[test]
fn without_an_engine_the_error_says_what_to_run() {
    let told = Bottle::new()
        .set("DOCKER_HOST", "unix:///no/such/engine.sock")
        .run(&["stop", "--all"]);
    insta::assert_snapshot!(told, @r"
    exit 6
    --- stdout
    --- stderr
    error: no Docker engine answers at unix:///no/such/engine.sock (chosen by DOCKER_HOST)
    cause: No such file or directory (os error 2)
    hint: install and start Docker (`sudo systemctl start docker`), or say where it is with DOCKER_HOST
    hint: `bottle doctor` checks what this machine lacks
    ");
}

#[test]
fn on_a_rootless_engine_containers_run_as_their_own_root() {
    let user = |security: &'static str| {
        let engine = Engine::new("28.2.2", "1.50", security);
        let bottle = Bottle::new().set("DOCKER_HOST", &engine.host());
        let output = bottle.command(&["info", "--json"]).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (
            told["container_user"].as_str().unwrap().to_owned(),
            told["engine"]["users"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(
        user(r#","name=rootless""#),
        ("0:0".to_owned(), "rootless".to_owned())
    );
    assert_ne!(user("").0, "0:0");
}

#[test]
fn a_home_without_bottles_lists_none() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let bottle = Bottle::new().set("DOCKER_HOST", &engine.host());
    assert!(
        bottle
            .run(&["list", "--json"])
            .starts_with("exit 0\n--- stdout\n[]\n")
    );
    assert!(bottle.run(&["cleanup"]).contains("there is nothing to remove"));
    assert_eq!(bottle.tree(), Vec::<String>::new());
}

#[test]
fn a_bottle_that_is_not_there_is_a_mistake_of_the_command_line() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let told = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .run(&["attach", "nobody"]);
    insta::assert_snapshot!(told, @r"
    exit 2
    --- stdout
    --- stderr
    error: there is no bottle `nobody`
    hint: `bottle list` shows those that there are
    ");
}

#[test]
fn of_a_bottle_that_is_over_the_logs_lead_to_what_was_kept() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let told = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .write("events/dev-ab1cd.jsonl.zst", "")
        .run(&["logs", "dev-ab1cd"]);
    insta::assert_snapshot!(told, @r"
    exit 2
    --- stdout
    --- stderr
    error: dev-ab1cd has ended, and its containers' logs went with it
    hint: what its guards decided is kept, one JSON line each: `zstdcat HOME/events/dev-ab1cd.jsonl.zst`
    ");
}

#[test]
fn a_state_directory_that_cannot_be_read_is_told_by_name_and_hides_no_other() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let bottle = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .write("state/bad-00000/.lock/not-a-file", "")
        .write("state/dead-00000/.lock", "")
        // In the way of what would be set aside.
        .write("damaged", "")
        .write("state/torn-00000/.lock", "")
        .write("state/torn-00000/metadata.json", "{\"schema_version\":");
    // On a disk that is not mounted.
    let away = bottle.home().join("state/away-00000");
    std::os::unix::fs::symlink(bottle.home().join("not-mounted"), away).unwrap();
    let listed = bottle.run(&["list"]);
    assert!(listed.starts_with("exit 0\n"), "{listed}");
    let row = |slug: &str, state: &str| {
        let mut lines = listed.lines();
        assert!(
            lines.any(|line| line.starts_with(slug) && line.contains(state)),
            "{slug} is not {state}: {listed}"
        );
    };
    row("bad-00000", "damaged");
    row("away-00000", "damaged");
    row("dead-00000", "stopped");
    row("torn-00000", "stopped");
    assert!(
        listed.contains("bad-00000: its state directory cannot be read"),
        "{listed}"
    );
    let doctor = bottle.run(&["doctor"]);
    assert!(
        doctor.contains("state directories that cannot be read, or are gone: away-00000, bad-00000"),
        "{doctor}"
    );
    let proposals = bottle.run(&["proposals"]);
    assert!(proposals.starts_with("exit 0\n"), "{proposals}");
    let cleaned = bottle.run(&["cleanup"]);
    assert!(
        cleaned.contains("removed bottle dead-00000") && cleaned.contains("removed bottle torn-00000"),
        "{cleaned}"
    );
    assert!(!cleaned.contains("removed bottle away-00000"), "{cleaned}");
    assert!(
        cleaned.contains("bad-00000: its state directory cannot be read"),
        "{cleaned}"
    );
    let left = bottle.tree();
    assert!(
        left.contains(&"state/bad-00000/.lock/not-a-file".to_owned()),
        "{left:?}"
    );
    assert!(!left.contains(&"state/dead-00000".to_owned()), "{left:?}");
}

#[test]
fn a_damaged_state_directory_is_moved_aside_whole_and_removed_on_the_operators_word_alone() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let bottle = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .write("state/bad-00000/.lock/not-a-file", "")
        .write("state/bad-00000/agent/workspace/work", "days of it")
        // Its own lock can be had, and is waited for.
        .write("state/half-00000/.lock", "")
        .write("state/half-00000/.launcher/not-a-file", "")
        .write("elsewhere/.ready", "");
    let away = bottle.home().join("state/away-00000");
    std::os::unix::fs::symlink("../not-mounted", &away).unwrap();
    let in_the_way = bottle.home().join(".salvage.lock");
    fs_err::create_dir(&in_the_way).unwrap();
    let not_removed = bottle.run(&["stop", "bad-00000"]);
    assert!(
        not_removed.starts_with("exit 1\n")
            && not_removed.contains("is ended, and nothing of it was removed"),
        "{not_removed}"
    );
    let hint = "hint: make room and try again, or give it up: `bottle cleanup --discard bad-00000`\n";
    assert!(not_removed.contains(hint), "{not_removed}");
    assert!(bottle.run(&["list"]).contains("bad-00000"));
    fs_err::remove_dir(&in_the_way).unwrap();
    for slug in ["bad-00000", "away-00000", "half-00000"] {
        let told = bottle.run(&["stop", slug]);
        assert!(told.starts_with("exit 0\n"), "{told}");
        let aside = format!("{slug} is down; what is left of it is in HOME/damaged/{slug}\n");
        assert!(told.contains(&aside), "{told}");
    }
    let left = bottle.tree();
    for kept in [
        "damaged/bad-00000/state/.lock/not-a-file",
        "damaged/bad-00000/state/agent/workspace/work",
        "damaged/away-00000/state",
        "damaged/half-00000/state/.launcher/not-a-file",
    ] {
        assert!(left.contains(&kept.to_owned()), "{kept}: {left:?}");
    }
    assert!(!left.iter().any(|path| path.starts_with("state/")), "{left:?}");
    let leads = fs_err::read_link(bottle.home().join("damaged/away-00000/state")).unwrap();
    assert!(leads.is_absolute() && leads.ends_with("not-mounted"), "{leads:?}");
    // The disk is back, and with it a state directory that nothing says anything of any more.
    std::os::unix::fs::symlink("../elsewhere", &away).unwrap();
    let cleaned = bottle.run(&["cleanup"]);
    assert!(cleaned.contains("there is nothing to remove"), "{cleaned}");
    assert!(bottle.run(&["list"]).contains("preserved"));
    let discarded = bottle.run(&["cleanup", "--discard", "bad-00000"]);
    assert!(
        discarded.contains("removed the kept state of bad-00000"),
        "{discarded}"
    );
    let left = bottle.tree();
    assert!(!left.iter().any(|path| path.contains("bad-00000")), "{left:?}");
    assert!(left.contains(&"damaged/away-00000".to_owned()), "{left:?}");
}

#[test]
fn what_a_bottle_left_when_its_disk_was_away_keeps_its_state_once_that_is_back() {
    let engine = Engine::new("20.10.24", "1.41", "");
    // Ended while nothing was there that `state` leads to, so what it wrote is beside the link.
    let bottle = Bottle::new().set("DOCKER_HOST", &engine.host()).write(
        "damaged/dev-ab1cd/containers.log",
        "claude-bottle-egress-dev-ab1cd  | 2026-11-21T00:00:00Z up\n",
    );
    let disk = tempfile::tempdir().unwrap();
    let work = disk.path().join("bottles/dev-ab1cd/agent/workspace/work");
    fs_err::create_dir_all(work.parent().unwrap()).unwrap();
    fs_err::write(&work, "days of it").unwrap();
    fs_err::write(disk.path().join("bottles/dev-ab1cd/.lock"), "").unwrap();
    fs_err::write(disk.path().join("bottles/dev-ab1cd/.ready"), "").unwrap();
    std::os::unix::fs::symlink(disk.path().join("bottles"), bottle.home().join("state")).unwrap();
    let told = bottle.run(&["cleanup"]);
    assert!(told.contains("left alone, since it is kept: dev-ab1cd"), "{told}");
    assert!(work.is_file());
    let told = bottle.run(&["logs", "dev-ab1cd"]);
    assert!(told.contains("2026-11-21T00:00:00Z up"), "{told}");
    bottle.run(&["cleanup", "--discard", "dev-ab1cd"]);
    assert!(!work.exists() && !bottle.home().join("damaged").exists());
}

#[test]
fn the_logs_of_a_bottle_that_was_set_aside_are_shown_from_there() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let bottle = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .write("events/dev-ab1cd.jsonl.zst", "")
        .write(
            "damaged/dev-ab1cd/containers.log",
            "claude-bottle-egress-dev-ab1cd  | 2026-11-21T00:00:00Z up\n",
        );
    let told = bottle.run(&["logs", "dev-ab1cd", "--json"]);
    assert!(
        told.starts_with(
            "exit 0\n--- stdout\n{\"from\":\"egress\",\"time\":\"2026-11-21T00:00:00Z\",\"text\":\"up\"}\n"
        ),
        "{told}"
    );
}

#[test]
fn to_discard_what_was_set_aside_is_not_to_discard_a_bottle_whose_name_begins_so() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let bottle = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .write("damaged/dev-ab1cd/containers.log", "")
        .write("state/dev-ab1cd-00000/.preserve", "");
    let told = bottle.run(&["cleanup", "--discard", "dev-ab1cd"]);
    assert!(told.contains("removed the kept state of dev-ab1cd\n"), "{told}");
    assert!(bottle.home().join("state/dev-ab1cd-00000").exists());
    assert!(!bottle.home().join("damaged").exists());
}

#[test]
fn the_questions_of_a_damaged_bottle_that_is_discarded_are_expired_and_audited() {
    let engine = Engine::new("20.10.24", "1.41", "");
    let ask: contract::Ask = serde_json::from_value(serde_json::json!({"tool": "egress-block",
        "arguments": {"host": "api.example", "justification": "x"}}))
    .unwrap();
    let proposal = contract::Proposal {
        schema_version: contract::SCHEMA_VERSION,
        proposal_id: "p-00000001".parse().unwrap(),
        asked_at: contract::Timestamp::from_millis(0),
        dedup_key: ask.dedup_key(),
        ask,
        asked_by: None,
    };
    let bottle = Bottle::new()
        .set("DOCKER_HOST", &engine.host())
        .write("state/bad-00000/.lock/not-a-file", "")
        .write("state/bad-00000/supervise/responses/.keep", "")
        .write(
            "state/bad-00000/supervise/proposals/p-00000001.json",
            &serde_json::to_string(&proposal).unwrap(),
        );
    let told = bottle.run(&["cleanup", "--discard", "bad-00000"]);
    assert!(told.contains("removed the kept state of bad-00000"), "{told}");
    let audited = fs_err::read_to_string(bottle.home().join("audit/bad-00000.jsonl")).unwrap();
    assert!(audited.contains(r#""kind":"expired""#), "{audited}");
    let left = bottle.tree();
    assert!(!left.iter().any(|path| path.starts_with("damaged")), "{left:?}");
}
