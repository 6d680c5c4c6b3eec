//! Upstreams that hang, send too much, or send what is broken: told to whoever asked, and nobody else's concern.

use std::process::{Command, Stdio};

use contract::DenialReason;
use contract::gate::{Caps, GatePolicy, Identity};

use super::fixture::{Gate, Upstream, git, ok, text, wait_for};

fn policy(caps: Caps) -> GatePolicy {
    GatePolicy {
        caps,
        ..GatePolicy::default()
    }
}

fn stalls_after_two_seconds() -> GatePolicy {
    policy(Caps {
        stall_seconds: 2,
        ..Caps::default()
    })
}

/// What is said to a client that is refused.
#[track_caller]
fn refused(gate: &Gate, arguments: &[&str]) -> String {
    let at = tempfile::tempdir().unwrap();
    let output = git(at.path()).args(arguments).arg(gate.url()).output().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
    text(&output)
}

fn no_half_pack_is_left(gate: &Gate) {
    let folder = gate.mirror().join("objects/pack");
    wait_for("half a pack to go", || {
        fs_err::read_dir(&folder)
            .unwrap()
            .all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with("tmp_"))
    });
}

#[test]
fn an_upstream_that_hangs_is_given_up_and_holds_nobody_else() {
    let upstream = Upstream::start();
    let hangs = upstream.root.path().join("hangs");
    let waiting = upstream.root.path().join("waiting");
    let other = upstream.repository("acme/other.git");
    ok(git(&other)
        .args(["fetch", "-q"])
        .arg(upstream.bare())
        .arg("main:main"));
    upstream.forced(&format!(
        "case \"$SSH_ORIGINAL_COMMAND\" in *app.git*) if [ -e {0} ]; then touch {1}; exec sleep 600; fi;; esac\n\
         exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
        hangs.display(),
        waiting.display()
    ));
    let app = upstream.remote(stalls_after_two_seconds());
    let mut second = app.clone();
    second.upstream = upstream.url("acme/other.git").parse().unwrap();
    let elsewhere = second.upstream.route();
    let gate = Gate::of(vec![app, second]);
    let elsewhere = format!("{}/{elsewhere}", gate.address);
    let work = gate.clone_work();
    work.write("file", "x\n");
    let commit = work.commit("one");
    let at = tempfile::tempdir().unwrap();
    ok(git(at.path()).args(["ls-remote", &elsewhere]));

    fs_err::write(&hangs, "").unwrap();
    wait_for("the mirror to be too old", || {
        let asking = git(at.path())
            .args(["ls-remote", &gate.url()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Others are served meanwhile.
        ok(git(at.path()).args(["ls-remote", &elsewhere]));
        let output = asking.wait_with_output().unwrap();
        !output.status.success() && text(&output).contains("sent nothing for 2 s")
    });
    assert!(waiting.exists());
    let said = work.push_refused(&["main"]);
    assert!(said.contains("max_stall_seconds"), "{said}");
    gate.event(|event| event.reason == Some(DenialReason::UpstreamUnreachable));

    fs_err::remove_file(&hangs).unwrap();
    work.push_ok(&["main"]);
    assert_eq!(upstream.tip("refs/heads/main"), commit);
}

#[test]
fn an_upstream_that_hangs_in_the_middle_of_a_pack_leaves_nothing_of_it() {
    let upstream = Upstream::start();
    grow(&upstream, 1 << 20);
    let hangs = upstream.root.path().join("hangs");
    upstream.forced(&format!(
        "if [ -e {} ]; then sh -c \"$SSH_ORIGINAL_COMMAND\" | (head -c 300000; exec sleep 600); else exec sh -c \"$SSH_ORIGINAL_COMMAND\"; fi",
        hangs.display()
    ));
    fs_err::write(&hangs, "").unwrap();
    let gate = Gate::with(&upstream, stalls_after_two_seconds());
    let said = refused(&gate, &["ls-remote"]);
    assert!(said.contains("sent nothing for 2 s"), "{said}");
    no_half_pack_is_left(&gate);
    fs_err::remove_file(&hangs).unwrap();
    gate.clone_work();
}

#[test]
fn an_upstream_that_closes_its_output_and_stays_is_given_up() {
    let upstream = Upstream::start();
    let stays = upstream.root.path().join("stays");
    upstream.forced(&format!(
        "sh -c \"$SSH_ORIGINAL_COMMAND\"; if [ -e {} ]; then exec sleep 600 >/dev/null 2>&1; fi",
        stays.display()
    ));
    fs_err::write(&stays, "").unwrap();
    let gate = Gate::with(&upstream, stalls_after_two_seconds());
    let said = refused(&gate, &["ls-remote"]);
    assert!(said.contains("sent nothing for 2 s"), "{said}");
    fs_err::remove_file(&stays).unwrap();
    gate.clone_work();
}

#[test]
fn an_upstream_that_talks_without_end_is_heard_for_a_moment() {
    let upstream = Upstream::start();
    upstream.forced("exec yes 'no room here' >&2");
    let gate = Gate::with(&upstream, stalls_after_two_seconds());
    let said = refused(&gate, &["ls-remote"]);
    assert!(said.contains("no room here") && said.len() < 1000, "{said}");
}

#[test]
fn an_upstream_that_sends_more_than_the_mirror_may_hold_is_cut() {
    let upstream = Upstream::start();
    let gate = Gate::with(
        &upstream,
        policy(Caps {
            mirror_bytes: 1 << 20,
            ..Caps::default()
        }),
    );
    let work = gate.clone_work();
    let before = work.git(&["rev-parse", "HEAD"]);
    grow(&upstream, 4 << 20);
    let at = tempfile::tempdir().unwrap();
    wait_for("the mirror to be too old", || {
        let output = git(at.path()).args(["ls-remote", &gate.url()]).output().unwrap();
        !output.status.success() && text(&output).contains("max_mirror_bytes")
    });
    no_half_pack_is_left(&gate);
    assert_eq!(gate.mirrored("refs/heads/main"), before);
}

#[test]
fn what_an_upstream_sends_is_checked_and_what_old_tools_wrote_is_not_held_against_it() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let blob = object(&upstream, "blob", b"x\n");
    // Such a mode was written by old tools.
    let honest = commit_of(&upstream, "0100644", "file", &blob);
    ok(git(&upstream.bare()).args(["update-ref", "refs/heads/old", &honest]));
    let work = gate.clone_work();
    assert_eq!(work.git(&["rev-parse", "origin/old"]), honest);

    // Such people made commits in well-known repositories: none of theirs can be mended.
    let tree = ok(git(&upstream.bare()).args(["rev-parse", "old^{tree}"]));
    let mut commits = Vec::new();
    for who in [
        "<> 1 +0000",
        "A<a@example.com> 1 +0000",
        "A 1 +0000",
        "A> <a@example.com> 1 +0000",
        "A <a@example.com <b> 1 +0000",
        "A <a@example.com> <a@example.com> 1 +0000",
        "A <a@example.com> 99999999999999999999 +0000",
        "A <a@example.com> 01 +0000",
        "A <a@example.com>1 +0000",
        "A <a@example.com> 1 +51800",
    ] {
        let text = format!("tree {tree}\nauthor {who}\ncommitter A <a@example.com> 1 +0000\n\nx\n");
        commits.push(object(&upstream, "commit", text.as_bytes()));
    }
    for commit in &commits {
        ok(git(&upstream.bare()).args(["update-ref", &format!("refs/heads/{}", &commit[..9]), commit]));
    }
    let at = tempfile::tempdir().unwrap();
    wait_for("the mirror to be too old", || {
        let listed = ok(git(at.path()).args(["ls-remote", &gate.url()]));
        commits.iter().all(|commit| listed.contains(commit))
    });

    let bad = commit_of(&upstream, "100644", "..", &blob);
    ok(git(&upstream.bare()).args(["update-ref", "refs/heads/bad", &bad]));
    let at = tempfile::tempdir().unwrap();
    wait_for("the mirror to be too old", || {
        let output = git(at.path()).args(["ls-remote", &gate.url()]).output().unwrap();
        !output.status.success() && text(&output).contains("hasDotdot")
    });
    assert_eq!(gate.mirrored("refs/heads/bad"), "");
    no_half_pack_is_left(&gate);
}

/// One more commit upstream, with so many bytes that nothing compresses.
fn grow(upstream: &Upstream, bytes: usize) {
    let other = tempfile::tempdir().unwrap();
    ok(git(other.path())
        .args(["clone", "-q"])
        .arg(upstream.bare())
        .arg("."));
    let noise: Vec<u8> = (0..bytes).map(|_| rand::random::<u8>()).collect();
    fs_err::write(other.path().join("noise"), noise).unwrap();
    ok(git(other.path()).args(["add", "-A"]));
    ok(git(other.path()).args(["commit", "-qm", "noise"]));
    ok(git(other.path()).args(["push", "-q", "origin", "main"]));
}

fn object(upstream: &Upstream, kind: &str, raw: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), raw).unwrap();
    ok(git(&upstream.bare())
        .args(["hash-object", "-w", "--literally", "-t", kind])
        .arg(file.path()))
}

fn commit_of(upstream: &Upstream, mode: &str, name: &str, blob: &str) -> String {
    let mut tree = format!("{mode} {name}\0").into_bytes();
    tree.extend(
        (0..40)
            .step_by(2)
            .map(|at| u8::from_str_radix(&blob[at..at + 2], 16).unwrap()),
    );
    let tree = object(upstream, "tree", &tree);
    let text =
        format!("tree {tree}\nauthor A <a@example.com> 1 +0000\ncommitter A <a@example.com> 1 +0000\n\nx\n");
    object(upstream, "commit", text.as_bytes())
}

#[test]
fn a_key_that_only_an_ssh_agent_holds_signs_in() {
    let upstream = Upstream::start();
    let keys = tempfile::Builder::new().prefix("ag").tempdir().unwrap();
    let socket = keys.path().join("agent");
    let mut agent = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the agent", || socket.exists());
    let client = upstream.root.path().join("client");
    ok(Command::new("ssh-add")
        .arg("-q")
        .arg(&client)
        .env("SSH_AUTH_SOCK", &socket));
    fs_err::remove_file(&client).unwrap();
    let mut remote = upstream.remote(GatePolicy::default());
    remote.identity = Identity::Agent(socket.clone());
    let gate = Gate::of(vec![remote.clone()]);
    let work = gate.clone_work();
    work.write("file", "x\n");
    let commit = work.commit("one");
    work.push_ok(&["main"]);
    assert_eq!(upstream.tip("refs/heads/main"), commit);
    drop(gate);

    // Without the agent, nothing else signs in.
    agent.kill().unwrap();
    agent.wait().unwrap();
    let gate = Gate::of(vec![remote]);
    let said = refused(&gate, &["ls-remote"]);
    assert!(said.contains("Permission denied"), "{said}");
}
