//! What a gate is for: clone, fetch, push, and the upstream's own answer.

use super::fixture::{AGENT_SECRET, Gate, Upstream, git, ok, text, token};
use contract::gate::GatePolicy;
use contract::{Decision, DenialReason};

#[test]
fn a_clean_push_arrives_upstream_and_the_next_clone_has_it() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.write("src/main.rs", "fn main() {}\n");
    let commit = work.commit("a program");
    work.push_ok(&["main", "HEAD:refs/heads/feature/x"]);
    assert_eq!(upstream.tip("refs/heads/main"), commit);
    assert_eq!(upstream.tip("refs/heads/feature/x"), commit);
    assert_eq!(gate.mirrored("refs/heads/main"), commit);
    work.git(&["tag", "-a", "v1", "-m", "one"]);
    work.push_ok(&["v1"]);
    assert!(!upstream.tip("refs/tags/v1").is_empty());
    let again = gate.clone_work();
    assert_eq!(again.git(&["rev-parse", "HEAD"]), commit);
    assert_eq!(again.git(&["tag"]), "v1");
    let event = gate.event(|event| {
        event
            .git
            .as_ref()
            .is_some_and(|place| place.reference.as_deref() == Some("refs/tags/v1"))
    });
    assert_eq!(event.decision, Decision::Allowed);
}

#[test]
fn shallow_and_partial_clones_and_old_protocols_are_served() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    for number in 0..5 {
        work.write("file", format!("{number}\n"));
        work.commit("more");
    }
    work.push_ok(&["main"]);
    let at = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("shallow", &["clone", "-q", "--depth=1"][..]),
        ("partial", &["clone", "-q", "--filter=blob:none"]),
        ("zero", &["-c", "protocol.version=0", "clone", "-q"]),
        ("one", &["-c", "protocol.version=1", "clone", "-q"]),
    ] {
        ok(git(at.path()).args(arguments).args([gate.url().as_str(), name]));
        let file = fs_err::read_to_string(at.path().join(name).join("file")).unwrap();
        assert_eq!(file, "4\n", "{name}");
    }
    assert_eq!(
        ok(git(&at.path().join("shallow")).args(["rev-list", "--count", "HEAD"])),
        "1"
    );
    let shallow = at.path().join("shallow");
    fs_err::write(shallow.join("file"), "from a shallow clone\n").unwrap();
    ok(git(&shallow).args(["commit", "-qam", "shallow"]));
    ok(git(&shallow).args(["push", "-q", "origin", "main"]));
    assert_eq!(
        upstream.tip("refs/heads/main"),
        ok(git(&shallow).args(["rev-parse", "HEAD"]))
    );
}

#[test]
fn what_someone_else_pushed_upstream_is_fetched() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let other = tempfile::tempdir().unwrap();
    ok(git(other.path())
        .args(["clone", "-q"])
        .arg(upstream.bare())
        .arg("."));
    fs_err::write(other.path().join("other"), "x\n").unwrap();
    ok(git(other.path()).args(["add", "-A"]));
    ok(git(other.path()).args(["commit", "-qm", "other"]));
    ok(git(other.path()).args(["push", "-q", "origin", "main"]));
    let theirs = upstream.tip("refs/heads/main");
    // The mirror may be as old as it is allowed to be, and no older.
    super::fixture::wait_for("the other's commit", || {
        work.git(&["fetch", "-q"]);
        work.git(&["rev-parse", "origin/main"]) == theirs
    });
}

#[test]
fn a_push_behind_the_upstream_is_refused_and_loses_nothing() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let (one, two) = (gate.clone_work(), gate.clone_work());
    one.write("one", "1\n");
    let first = one.commit("one");
    one.push_ok(&["main"]);
    two.write("two", "2\n");
    two.commit("two");
    let said = two.push_refused(&["main"]);
    assert!(
        said.contains("fetch first") || said.contains("non-fast-forward"),
        "{said}"
    );
    let said = two.push_refused(&["--force", "main"]);
    assert!(said.contains("policy.force"), "{said}");
    assert_eq!(upstream.tip("refs/heads/main"), first);
}

#[test]
fn a_branch_that_may_be_rewritten_is_and_no_other() {
    let upstream = Upstream::start();
    let policy = GatePolicy {
        force: vec!["refs/heads/agent/*".parse().unwrap()],
        delete: vec!["refs/heads/agent/*".parse().unwrap()],
        ..GatePolicy::default()
    };
    let gate = Gate::with(&upstream, policy);
    let work = gate.clone_work();
    for name in ["agent/a", "mine"] {
        work.git(&["checkout", "-q", "-B", name, "origin/main"]);
        work.write("file", "1\n");
        work.commit("one");
        work.push_ok(&[name]);
        work.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    }
    work.push_refused(&["--force", "mine"]);
    work.push_ok(&["--force", "agent/a"]);
    assert_eq!(
        upstream.tip("refs/heads/agent/a"),
        work.git(&["rev-parse", "agent/a"])
    );
    let said = work.push_refused(&[":mine"]);
    assert!(said.contains("policy.delete"), "{said}");
    work.push_ok(&[":agent/a"]);
    assert_eq!(upstream.tip("refs/heads/agent/a"), "");
    assert_eq!(gate.mirrored("refs/heads/agent/a"), "");
}

#[test]
fn each_ref_gets_the_upstream_s_own_answer() {
    let upstream = Upstream::start();
    upstream.hook("pre-receive", "echo 'welcome to acme' >&2; cat >/dev/null");
    upstream.hook(
        "update",
        "case \"$1\" in *locked) echo 'the branch is locked' >&2; exit 1;; esac",
    );
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.write("file", "open\n");
    let open = work.commit("open");
    work.write("file", "locked\n");
    let locked = work.commit("locked");
    let (done, said) = work.push(&[
        &format!("{open}:refs/heads/open"),
        &format!("{locked}:refs/heads/locked"),
    ]);
    assert!(!done, "{said}");
    assert!(
        said.contains("remote: welcome to acme") && said.contains("remote: the branch is locked"),
        "{said}"
    );
    assert!(
        said.contains("[remote rejected]") && said.contains("hook declined"),
        "{said}"
    );
    assert_eq!(upstream.tip("refs/heads/open"), open);
    assert_eq!(upstream.tip("refs/heads/locked"), "");
    assert_eq!(gate.mirrored("refs/heads/open"), open);
    assert_eq!(
        gate.mirrored("refs/heads/locked"),
        "",
        "the mirror claims what the upstream refused"
    );
    super::fixture::wait_for("what was refused to go", || {
        !git(&gate.mirror())
            .args(["cat-file", "-e", &locked])
            .output()
            .unwrap()
            .status
            .success()
    });
    assert!(
        git(&gate.mirror())
            .args(["cat-file", "-e", &open])
            .output()
            .unwrap()
            .status
            .success()
    );
    let said = work.push_refused(&[
        "--atomic",
        &format!("{locked}:refs/heads/open"),
        &format!("{locked}:refs/heads/locked"),
    ]);
    assert!(said.contains("atomic"), "{said}");
    assert_eq!(upstream.tip("refs/heads/open"), open);
}

#[test]
fn an_upstream_that_is_down_or_someone_else_refuses_everything_and_says_so() {
    let mut upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.write("file", "1\n");
    work.commit("one");
    upstream.down();
    let at = tempfile::tempdir().unwrap();
    super::fixture::wait_for("the mirror to be too old", || {
        let output = git(at.path()).args(["ls-remote", &gate.url()]).output().unwrap();
        !output.status.success() && text(&output).contains("cannot be reached")
    });
    work.push_refused(&["main"]);

    // The same address, another host key.
    fs_err::remove_file(upstream.root.path().join("host")).unwrap();
    ok(std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(upstream.root.path().join("host")));
    upstream.up();
    let said = work.push_refused(&["main"]);
    assert!(said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED"), "{said}");
    assert_ne!(upstream.tip("refs/heads/main"), work.git(&["rev-parse", "HEAD"]));
    gate.event(|event| event.reason == Some(DenialReason::UpstreamUnreachable));
}

#[test]
fn a_finding_is_told_logged_and_can_be_allowed_by_the_operator_alone() {
    let upstream = Upstream::start();
    let mut gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let value = token();
    work.write(
        "src/config.rs",
        format!("// one\nconst KEY: &str = \"{value}\"; // gitleaks:allow\n"),
    );
    work.write(".gitleaks.toml", "[allowlist]\npaths = ['''.*''']\n");
    work.write("ok", "ok\n");
    let commit = work.commit("a key");
    let said = work.push_refused(&["main"]);
    for wanted in [
        "src/config.rs:2",
        &commit[..10],
        "redacted",
        "not enough",
        "bottle git allow fp-",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains(&value[4..]), "{said}");
    let event = gate.event(|event| event.reason == Some(DenialReason::SecretFound));
    let place = event.git.unwrap();
    assert_eq!(event.decision, Decision::Denied);
    assert_eq!(
        (place.file.as_deref(), place.line),
        (Some("src/config.rs"), Some(2))
    );
    let fingerprint = place.fingerprint.unwrap().to_string();
    assert!(said.contains(&fingerprint), "{said}");

    gate.allow(&fingerprint, -1);
    work.push_refused(&["main"]);
    gate.allow(&fingerprint, 600);
    let said = work.push_ok(&["main"]);
    assert!(said.contains("allowed by the operator"), "{said}");
    assert_eq!(upstream.tip("refs/heads/main"), commit);
    // It is upstream now: moving the line is no leak.
    gate.config.allow.clear();
    gate.write_config();
    work.write("src/config.rs", format!("\n\nconst KEY: &str = \"{value}\";\n"));
    work.commit("moved");
    let said = work.push_ok(&["main"]);
    assert!(said.contains("has it already"), "{said}");
}

#[test]
fn a_value_of_the_agent_s_own_environment_goes_out_in_no_form() {
    use base64::Engine as _;
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let before = upstream.tip("refs/heads/main");
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{AGENT_SECRET}\n"));
    for content in [AGENT_SECRET, &encoded] {
        work.write("notes", content);
        work.commit("notes");
        let said = work.push_refused(&["main"]);
        assert!(
            said.contains("environment-secret") && said.contains("notes:1"),
            "{said}"
        );
        assert!(!said.contains("monkey"), "{said}");
        work.git(&["reset", "-q", "--hard", "origin/main"]);
    }
    work.write("file", "x\n");
    work.commit(&format!("a message with {AGENT_SECRET} in it"));
    let said = work.push_refused(&["main"]);
    assert!(said.contains("message:1"), "{said}");
    assert_eq!(upstream.tip("refs/heads/main"), before);
}
