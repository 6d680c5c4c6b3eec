//! The operator's loop on a bottle that consists of files: what is shown, what is asked, and how each command ends.

use super::Bottle;
use contract::place::{config, run};
use contract::{Applied, Ask, Proposal, SCHEMA_VERSION, Sha256Hex, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ROUTES: &str = "schema_version: 1\ngeneration: 1\nroutes:\n- host: api.example\n";
const METADATA: &str = r#"{"schema_version":1,"agent_name":"dev","bottle":"box","copy_cwd":false,"started_at":"2026-11-21T00:00:00.000Z","compose_project":"claude-bottle-dev-ab1cd","launch_nonce":"n-0011"}"#;

/// A bottle with egress and supervise.
fn bottle() -> Bottle {
    let bottle = Bottle::new()
        .write("state/dev-ab1cd/metadata.json", METADATA)
        .write("state/dev-ab1cd/.lock", "")
        .write("state/dev-ab1cd/.ready", "")
        .write("state/dev-ab1cd/egress/config/routes.yaml", ROUTES);
    for folder in ["egress/run", "supervise/proposals", "supervise/responses"] {
        fs_err::create_dir_all(state(&bottle).join(folder)).unwrap();
    }
    bottle
}

fn state(bottle: &Bottle) -> PathBuf {
    bottle.home().join("state/dev-ab1cd")
}

fn propose(bottle: &Bottle, id: &str, host: &str) {
    let arguments = serde_json::json!({"host": host, "path_allowlist": ["/simple/"], "methods": ["GET"], "justification": "I need it\u{1b}[2J\nproposal  p-fake"});
    propose_ask(
        bottle,
        id,
        serde_json::json!({"tool": "egress-block", "arguments": arguments}),
    );
}

fn propose_ask(bottle: &Bottle, id: &str, ask: serde_json::Value) {
    let ask: Ask = serde_json::from_value(ask).unwrap();
    let proposal = Proposal {
        schema_version: SCHEMA_VERSION,
        proposal_id: id.parse().unwrap(),
        asked_at: Timestamp::from(std::time::SystemTime::now()),
        dedup_key: ask.dedup_key(),
        ask,
        asked_by: None,
    };
    let path = state(bottle).join(format!("supervise/proposals/{id}.json"));
    fs_err::write(path, serde_json::to_string(&proposal).unwrap()).unwrap();
}

/// An egress that acknowledges whatever it reads, until dropped.
struct Egress(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Drop for Egress {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().unwrap().join();
    }
}

fn egress(bottle: &Bottle) -> Egress {
    let (stop, state) = (Arc::new(AtomicBool::new(false)), state(bottle));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut last = None;
        while !stopped.load(Ordering::Relaxed) {
            let hash =
                Sha256Hex::of(&fs_err::read(state.join("egress/config").join(config::ROUTES)).unwrap());
            if last.as_ref() != Some(&hash) {
                let applied = Applied {
                    schema_version: SCHEMA_VERSION,
                    file_sha256: hash.clone(),
                    effective_sha256: hash.clone(),
                    generation: 1,
                    launch_nonce: "n-0011".parse().unwrap(),
                    at: Timestamp::from_millis(0),
                    error: None,
                };
                let folder = state.join("egress/run");
                fs_err::write(folder.join(".new"), serde_json::to_string(&applied).unwrap()).unwrap();
                fs_err::rename(folder.join(".new"), folder.join(run::APPLIED)).unwrap();
                last = Some(hash);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    Egress(stop, Some(thread))
}

#[test]
fn everything_to_decide_by_is_shown_and_the_agents_words_are_quoted() {
    let bottle = bottle();
    propose(&bottle, "p-00000001", "pypi.org");
    let told = bottle.run(&["proposals", "p-00000001"]);
    let told = young(&told);
    insta::assert_snapshot!(told, @r"
    exit 0
    --- stdout
    proposal  p-00000001  egress-block  0 s ago
    bottle    dev-ab1cd
    asks for  pypi.org GET /simple/
    its words (untrusted: the agent wrote them)
      | I need it\u{1b}[2J
      | proposal  p-fake
    mind      new_host: no bottle of yours has had pypi.org before
              registry: pypi.org is a package registry: what is installed from there runs in the bottle
    note      this bottle has no pipelock; nothing changes there
    would be enforced
    --- routes.yaml (in force)
    +++ routes.yaml (to be)
    @@ -1,4 +1,11 @@
     schema_version: 1
    -generation: 1
    +generation: 2
     routes:
     - host: api.example
    +- host: pypi.org
    +  path_allowlist:
    +  - /simple/
    +  methods:
    +  - GET
    +  added_by:
    +  - proposal_id: p-00000001
    --- stderr
    ");
}

/// The age may be a second more.
fn young(told: &str) -> String {
    told.replace(" 1 s ago", " 0 s ago")
        .replace(" 2 s ago", " 0 s ago")
}

#[test]
fn without_a_terminal_a_yes_is_needed_and_nothing_is_decided_without_it() {
    let bottle = bottle();
    propose(&bottle, "p-00000001", "pypi.org");
    let told = bottle.run(&["approve"]);
    assert!(told.starts_with("exit 2\n") && told.contains("--yes"), "{told}");
    assert_eq!(
        fs_err::read_dir(state(&bottle).join("supervise/responses"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn of_several_pending_ones_none_is_taken_for_meant() {
    let bottle = bottle();
    propose(&bottle, "p-00000001", "pypi.org");
    propose(&bottle, "p-00000002", "docs.example");
    for command in [&["approve", "--yes"][..], &["reject", "--reason", "no"]] {
        let told = bottle.run(command);
        assert!(told.starts_with("exit 2\n"), "{told}");
        assert!(
            told.contains("p-00000001") && told.contains("p-00000002"),
            "{told}"
        );
    }
}

#[test]
fn the_only_pending_one_is_approved_enforced_listed_audited_and_revoked() {
    let bottle = bottle();
    let _egress = egress(&bottle);
    propose(&bottle, "p-00000001", "pypi.org");
    let told = bottle.run(&["approve", "--yes", "--for", "2h"]);
    assert!(
        told.starts_with("exit 0\n--- stdout\npypi.org is live since "),
        "{told}"
    );
    assert!(told.contains("bottle revoke g-00000001"), "{told}");
    let routes = bottle.run(&["routes", "show"]);
    assert!(
        routes.contains("pypi.org") && routes.contains("g-00000001"),
        "{routes}"
    );
    assert!(
        bottle
            .run(&["approve", "p-00000001", "--yes"])
            .starts_with("exit 1\n")
    );
    let revoked = bottle.run(&["revoke", "p-00000001", "--yes"]);
    assert!(revoked.starts_with("exit 0\n"), "{revoked}");
    assert!(!bottle.run(&["routes", "show", "--json"]).contains("pypi.org"));
    let of_it = bottle.run(&["audit", "--of", "g-00000001"]);
    assert!(
        of_it.contains("approved until") && of_it.contains("revoking pypi.org"),
        "{of_it}"
    );
    let verified = bottle.run(&["audit", "--verify"]);
    assert!(
        verified.starts_with("exit 0\n") && verified.contains("whole"),
        "{verified}"
    );
    let log = bottle.home().join("audit/dev-ab1cd.jsonl");
    fs_err::write(
        &log,
        fs_err::read_to_string(&log)
            .unwrap()
            .replace("pypi.org", "good.org"),
    )
    .unwrap();
    let verified = bottle.run(&["audit", "--verify"]);
    assert!(
        verified.starts_with("exit 1\n") && verified.contains("NOT WHOLE"),
        "{verified}"
    );
}

#[test]
fn a_revocation_says_what_another_approval_keeps_in_force_and_the_audit_says_so_too() {
    let bottle = bottle();
    let _egress = egress(&bottle);
    for id in ["p-00000001", "p-00000002"] {
        // The same path for the same methods.
        propose(&bottle, id, "pypi.org");
        let approved = bottle.run(&["approve", id, "--yes"]);
        assert!(approved.starts_with("exit 0\n"), "{approved}");
    }
    let shown = bottle.run(&["revoke", "p-00000001", "--yes"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    let stays = "revokes   pypi.org (p-00000001)\nstays     pypi.org/simple/: p-00000002\n          GET pypi.org: p-00000002\nwould be enforced\n";
    assert!(shown.contains(stays), "{shown}");
    assert!(bottle.run(&["routes", "show", "--json"]).contains("pypi.org"));
    let story = bottle.run(&["audit", "--of", "p-00000001"]);
    assert!(
        story.contains("others still grant pypi.org/simple/: p-00000002"),
        "{story}"
    );
    let again = bottle.run(&["revoke", "p-00000001", "--yes"]);
    assert!(again.starts_with("exit 2\n"), "{again}");
    assert!(
        bottle
            .run(&["revoke", "p-00000002", "--yes"])
            .starts_with("exit 0\n")
    );
    assert!(!bottle.run(&["routes", "show", "--json"]).contains("pypi.org"));
}

#[test]
fn of_two_that_revoke_overlapping_approvals_at_once_none_does_what_it_did_not_show() {
    let bottle = bottle();
    let _egress = egress(&bottle);
    let ids = ["p-00000001", "p-00000002"];
    for id in ids {
        propose(&bottle, id, "pypi.org");
        assert!(bottle.run(&["approve", id, "--yes"]).starts_with("exit 0\n"));
    }
    let revoke = |id| bottle.run(&["revoke", id, "--yes"]);
    let told = std::thread::scope(|scope| {
        ids.map(|id| scope.spawn(move || revoke(id)))
            .map(|thread| thread.join().unwrap())
    });
    let refused: Vec<&&str> = ids
        .iter()
        .zip(&told)
        .filter(|(_, told)| !told.starts_with("exit 0\n"))
        .map(|(id, told)| {
            assert!(told.starts_with("exit 5\n"), "{told}");
            id
        })
        .collect();
    let is_there = || bottle.run(&["routes", "show", "--json"]).contains("pypi.org");
    assert!(refused.len() < 2, "{told:?}");
    assert_eq!(is_there(), refused.len() == 1, "{told:?}");
    for id in refused {
        let again = revoke(id);
        assert!(again.starts_with("exit 0\n"), "{again}");
    }
    assert!(!is_there());
    assert!(bottle.run(&["audit", "--verify"]).contains("whole"));
}

#[test]
fn a_damaged_bottle_keeps_no_permission_of_another_from_being_revoked() {
    let bottle = bottle()
        .write(
            "state/bad-00000/metadata.json",
            &METADATA.replace("dev-ab1cd", "bad-00000"),
        )
        .write("state/bad-00000/egress/config/routes.yaml", "routes: [")
        .write("audit/bad-00000.jsonl", "no entry\n");
    let _egress = egress(&bottle);
    propose(&bottle, "p-00000001", "pypi.org");
    let approved = bottle.run(&["approve", "--yes"]);
    assert!(approved.starts_with("exit 0\n"), "{approved}");
    let revoked = bottle.run(&["revoke", "p-00000001", "--yes"]);
    assert!(
        revoked.starts_with("exit 0\n") && revoked.contains("bad-00000: "),
        "{revoked}"
    );
    assert!(!bottle.run(&["routes", "show", "dev-ab1cd"]).contains("pypi.org"));
    let story = bottle.run(&["audit", "--of", "p-00000001"]);
    assert!(
        story.starts_with("exit 0\n") && story.contains("revoking pypi.org") && story.contains("bad-00000: "),
        "{story}"
    );
}

#[test]
fn a_rejected_proposal_is_told_by_its_exit_code() {
    let bottle = bottle();
    propose(&bottle, "p-00000001", "pypi.org");
    let told = bottle.run(&["reject", "--reason", "use the mirror"]);
    assert!(
        told.starts_with("exit 0\n--- stdout\np-00000001 is rejected\n"),
        "{told}"
    );
    assert!(
        bottle
            .run(&["approve", "p-00000001", "--yes"])
            .starts_with("exit 3\n")
    );
    assert!(bottle.run(&["proposals"]).contains("nobody asks for anything"));
    assert!(bottle.run(&["proposals", "--all"]).contains("rejected"));
}

#[test]
fn an_edit_is_what_is_approved() {
    // Which refusal it follows is the agent's to say, and not for the operator to rewrite.
    let script =
        "#!/bin/sh\ngrep -q denial_id \"$1\" && exit 1\nexec sed -i s/pypi.org/docs.example/ \"$1\"\n";
    let bottle = bottle().write("edit", script);
    let editor = bottle.home().join("edit");
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let bottle = bottle
        .set("PATH", "/usr/bin:/bin")
        .set("EDITOR", editor.to_str().unwrap());
    let _egress = egress(&bottle);
    let arguments = serde_json::json!({"host": "pypi.org", "justification": "x", "denial_id": "e-00000001"});
    let ask = serde_json::json!({"tool": "egress-block", "arguments": arguments});
    propose_ask(&bottle, "p-00000001", ask);
    let told = bottle.run(&["approve", "--edit", "--yes", "--json"]);
    assert!(
        told.contains("\"state\": \"modified\"") && told.contains("edited to docs.example"),
        "{told}"
    );
    assert!(!bottle.run(&["routes", "show"]).contains("pypi.org"));
}

#[test]
fn live_routes_are_edited_checked_and_applied() {
    let bottle = bottle().write(
        "edit",
        "#!/bin/sh\nexec sed -i s/api.example/new.example/ \"$1\"\n",
    );
    let editor = bottle.home().join("edit");
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let bottle = bottle.set("PATH", "/usr/bin:/bin");
    let bottle = bottle.set("EDITOR", editor.to_str().unwrap());
    let _egress = egress(&bottle);
    let told = bottle.run(&["routes", "edit", "--yes"]);
    assert!(told.starts_with("exit 0\n"), "{told}");
    assert!(bottle.run(&["routes", "show"]).contains("new.example"));
    assert!(bottle.run(&["audit"]).contains("editing: routes.yaml"));
    fs_err::write(&editor, "#!/bin/sh\necho 'routes: all' > \"$1\"\n").unwrap();
    let told = bottle.run(&["routes", "edit", "--yes"]);
    assert!(told.starts_with("exit 2\n"), "{told}");
    assert!(bottle.run(&["routes", "show"]).contains("new.example"));
}

#[test]
fn an_edit_on_a_bottle_without_that_guard_is_refused_by_name() {
    let bottle = bottle();
    fs_err::remove_dir_all(state(&bottle).join("egress")).unwrap();
    for (command, guard) in [("routes", "egress"), ("pipelock", "pipelock")] {
        let told = bottle.run(&[command, "edit"]);
        assert!(told.starts_with("exit 1\n"), "{told}");
        assert!(told.contains(&format!("dev-ab1cd has no {guard}")), "{told}");
    }
}

#[test]
fn the_watch_runs_the_operators_command_with_the_facts_in_its_environment() {
    let bottle = bottle();
    let seen = bottle.home().join("seen");
    let config = format!(
        "notify: [/bin/sh, -c, 'printf \"%s %s\" \"$BOTTLE_PROPOSAL_ID\" \"$BOTTLE_ASKED\" > {0}.new && mv {0}.new {0}']\n",
        seen.display()
    );
    let bottle = bottle.write("config.yaml", &config).set("PATH", "/usr/bin:/bin");
    propose(&bottle, "p-00000001", "pypi.org");
    let mut watching = bottle
        .command(&["proposals", "--watch"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !seen.exists() {
        assert!(watching.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert_eq!(
        fs_err::read_to_string(seen).unwrap(),
        "p-00000001 pypi.org GET /simple/"
    );
}

#[test]
fn json_is_json_whatever_an_agent_wrote() {
    let bottle = bottle();
    propose(&bottle, "p-00000001", "pypi.org");
    let path = state(&bottle).join("supervise/proposals/p-00000001.json");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(
        &path,
        text.replace("I need it", "I \u{202e}need\u{200b} \u{9b}it"),
    )
    .unwrap();
    for command in [
        &["proposals", "--json"][..],
        &["proposals", "p-00000001", "--json"],
        &["audit", "--json"],
    ] {
        let output = bottle.command(command).output().unwrap();
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(read.to_string().contains("p-00000001"), "{read}");
        assert!(!String::from_utf8(output.stdout).unwrap().contains('\u{202e}'));
    }
}

#[test]
fn a_proposal_that_was_listed_is_not_approved_as_another() {
    let bottle = bottle();
    let _egress = egress(&bottle);
    propose(&bottle, "p-00000001", "pypi.org");
    assert!(bottle.run(&["proposals"]).contains("pypi.org"));
    propose(&bottle, "p-00000001", "evil.example");
    let told = bottle.run(&["approve", "p-00000001", "--yes"]);
    assert!(
        told.starts_with("exit 2\n") && told.contains("cannot be answered"),
        "{told}"
    );
    assert!(!bottle.run(&["routes", "show"]).contains("evil.example"));
}

#[test]
fn an_ask_too_long_for_an_environment_calls_the_operator_all_the_same() {
    let bottle = bottle();
    let seen = bottle.home().join("seen");
    let config = format!(
        "notify: [/bin/sh, -c, 'printf %s \"$BOTTLE_ASKED\" > {0}.new && mv {0}.new {0}']\n",
        seen.display()
    );
    let bottle = bottle.write("config.yaml", &config).set("PATH", "/usr/bin:/bin");
    let paths: Vec<String> = (0..64)
        .map(|number| format!("/{number:02}{}", "x".repeat(2045)))
        .collect();
    let arguments = serde_json::json!({"host": "a.example", "path_allowlist": paths, "justification": "x"});
    propose_ask(
        &bottle,
        "p-00000001",
        serde_json::json!({"tool": "egress-block", "arguments": arguments}),
    );
    let mut watching = bottle
        .command(&["proposals", "--watch"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while !seen.exists() && begun.elapsed() < Duration::from_secs(30) {
        assert!(watching.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert!(
        fs_err::read_to_string(seen)
            .unwrap()
            .starts_with("a.example /00xxx")
    );
}

/// What the other end of a terminal receives until it has seen all of these.
fn until_seen(terminal: &mut impl std::io::Read, words: &[&str]) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if words.iter().all(|word| text.contains(word)) {
            return text;
        }
        let count = terminal.read(&mut buffer).unwrap();
        assert!(count > 0, "the terminal was closed: {text}");
        seen.extend_from_slice(buffer.get(..count).unwrap());
    }
}

fn lines_of(path: &std::path::Path, count: usize) -> Vec<String> {
    let begun = std::time::Instant::now();
    loop {
        let text = fs_err::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "only this: {text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whoever_watches_is_called_by_bell_notification_and_hook_once_for_each_proposal() {
    let bottle = bottle();
    let (hook, told) = (bottle.home().join("hook"), bottle.home().join("told"));
    let script = format!(
        "#!/bin/sh\necho \"$1 $BOTTLE_PROPOSAL_ID $BOTTLE_SLUG $BOTTLE_TOOL $BOTTLE_AGE_SECONDS $BOTTLE_ASKED\" >> {}\n",
        told.display()
    );
    fs_err::write(&hook, script).unwrap();
    fs_err::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = format!("notify: [\"{}\", asks]\n", hook.display());
    fs_err::write(bottle.home().join("config.yaml"), config).unwrap();
    propose(&bottle, "p-00000001", "pypi.org");
    make_older(&bottle, "p-00000001");

    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut watch = bottle
        .command(&["proposals", "--watch"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::from(terminal.slave))
        .spawn()
        .unwrap();
    let mut screen = std::fs::File::from(terminal.master);
    let asked = "dev-ab1cd asks for pypi.org GET /simple/";
    let osc_9 = format!("\u{1b}]9;bottle: {asked}\u{7}");
    let osc_777 = format!("\u{1b}]777;notify;bottle;{asked}\u{7}\u{7}");
    until_seen(&mut screen, &[&osc_9, &osc_777]);
    // A second one, while it watches.
    propose(&bottle, "p-00000002", "docs.example");
    let seen = until_seen(&mut screen, &["asks for docs.example GET /simple/\u{7}\u{7}"]);
    assert!(!seen.contains("pypi.org"), "called twice: {seen:?}");

    let lines = lines_of(&told, 2);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(watch.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert!(watch.wait().unwrap().success());
    let mut rows = String::new();
    std::io::Read::read_to_string(&mut watch.stdout.take().unwrap(), &mut rows).unwrap();
    assert!(
        rows.contains("p-00000001") && rows.contains("h  pypi.org"),
        "{rows}"
    );

    assert_eq!(lines.len(), 2, "{lines:?}");
    let first: Vec<&str> = lines[0].splitn(6, ' ').collect();
    assert_eq!(first[..4], ["asks", "p-00000001", "dev-ab1cd", "egress-block"]);
    assert!(first[4].parse::<u64>().unwrap() >= 7200, "its age: {first:?}");
    assert_eq!(first[5], "pypi.org GET /simple/");
    assert!(lines[1].starts_with("asks p-00000002 "), "{lines:?}");
}

/// As if it had been asked two hours ago.
fn make_older(bottle: &Bottle, id: &str) {
    let path = state(bottle).join(format!("supervise/proposals/{id}.json"));
    let mut proposal: Proposal = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    let before = std::time::SystemTime::now() - Duration::from_secs(7200);
    proposal.asked_at = Timestamp::from(before);
    fs_err::write(&path, serde_json::to_string(&proposal).unwrap()).unwrap();
}
