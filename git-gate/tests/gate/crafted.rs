//! Objects and refs that no ordinary client makes: each is a way to have something passed over by whoever reads a push.

use contract::gate::GatePolicy;

use super::evasion::object;
use super::fixture::{Gate, Upstream, Work, git, ok, token};
use super::hostile::post;

/// A blob that is in no tree yet.
fn blob(work: &Work, content: &str) -> String {
    work.write(".git/blob", content);
    work.git(&["hash-object", "-w", ".git/blob"])
}

/// Commits `path` as `mode` and `id`, whatever the id names.
fn commit_entry(work: &Work, mode: &str, id: &str, path: &str) -> String {
    work.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("{mode},{id},{path}"),
    ]);
    work.git(&["commit", "-qm", "an entry"]);
    work.git(&["rev-parse", "HEAD"])
}

fn has(upstream: &Upstream, id: &str) -> bool {
    let output = git(&upstream.bare()).args(["cat-file", "-e", id]).output();
    output.unwrap().status.success()
}

#[test]
fn a_submodule_that_becomes_a_file_with_the_same_id_is_read() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let id = blob(&work, &format!("key = {}\n", token()));
    commit_entry(&work, "160000", &id, "s");
    commit_entry(&work, "100644", &id, "s");
    work.push_refused(&["HEAD:refs/heads/try"]);
    assert!(!has(&upstream, &id));
}

#[test]
fn a_submodule_upstream_does_not_vouch_for_a_file_with_the_same_id() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let id = blob(&work, &format!("key = {}\n", token()));
    commit_entry(&work, "160000", &id, "s");
    work.push_ok(&["HEAD:refs/heads/try"]);
    for path in ["other", "s"] {
        commit_entry(&work, "100644", &id, path);
        work.push_refused(&["HEAD:refs/heads/try"]);
        assert!(!has(&upstream, &id), "{path}");
    }
}

#[test]
fn a_folder_in_place_of_a_protected_file_is_a_change_of_it() {
    let upstream = Upstream::start();
    let mut gate = Gate::with(
        &upstream,
        GatePolicy {
            protected_paths: Vec::new(),
            ..GatePolicy::default()
        },
    );
    let work = gate.clone_work();
    work.write("CODEOWNERS", "* @someone\n");
    work.commit("who must agree");
    work.push_ok(&["HEAD:refs/heads/main"]);
    gate.config.remotes[0].policy = GatePolicy::default();
    gate.write_config();
    fs_err::remove_file(work.path().join("CODEOWNERS")).unwrap();
    work.write("CODEOWNERS/nobody", "\n");
    work.commit("nobody must");
    let said = work.push_refused(&["HEAD:refs/heads/main"]);
    assert!(said.contains("policy.protected_paths"), "{said}");
}

/// An upstream whose protected file was mended, with the commits before and after.
fn mended(upstream: &Upstream) -> (String, String) {
    let other = tempfile::tempdir().unwrap();
    ok(git(other.path())
        .args(["clone", "-q"])
        .arg(upstream.bare())
        .arg("."));
    let mut tips = Vec::new();
    for content in ["leaks\n", "mended\n"] {
        fs_err::write(other.path().join("CODEOWNERS"), content).unwrap();
        ok(git(other.path()).args(["add", "-A"]));
        ok(git(other.path()).args(["commit", "-qm", content]));
        tips.push(ok(git(other.path()).args(["rev-parse", "HEAD"])));
    }
    ok(git(other.path()).args(["push", "-q", "origin", "main"]));
    (tips.remove(0), tips.remove(0))
}

/// A merge of two commits with the files of the second.
fn merge(work: &Work, first: &str, second: &str) -> String {
    let tree = format!("{second}^{{tree}}");
    work.git(&["commit-tree", "-m", "merge", "-p", first, "-p", second, &tree])
}

#[test]
fn a_merge_does_not_bring_back_what_the_upstream_has_mended_at_a_protected_path() {
    let upstream = Upstream::start();
    let (old, new) = mended(&upstream);
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let back = merge(&work, &new, &old);
    for reference in ["main", "new"] {
        let said = work.push_refused(&[&format!("{back}:refs/heads/{reference}")]);
        assert!(
            said.contains("policy.protected_paths") && said.contains("CODEOWNERS"),
            "{said}"
        );
    }
    assert_eq!(upstream.tip("refs/heads/main"), new);
    assert_eq!(upstream.tip("refs/heads/new"), "");

    // A branch off an older commit has changed nothing, and bringing it up to date is no change either.
    work.git(&["checkout", "-q", "-b", "branch", &old]);
    work.write("file", "x\n");
    work.commit("one");
    work.push_ok(&["branch"]);
    work.git(&["merge", "-q", "-m", "up to date", "origin/main"]);
    work.push_ok(&["branch"]);
    // Nor may a branch go back to it.
    let back = merge(&work, "branch", &old);
    work.push_refused(&[&format!("{back}:refs/heads/branch")]);
}

#[test]
fn a_new_branch_that_joins_two_of_the_upstream_s_has_at_a_protected_path_what_either_has() {
    let upstream = Upstream::start();
    let (old, new) = mended(&upstream);
    let other = tempfile::tempdir().unwrap();
    ok(git(other.path())
        .args(["clone", "-q"])
        .arg(upstream.bare())
        .arg("."));
    fs_err::write(other.path().join("CODEOWNERS"), "of develop\n").unwrap();
    ok(git(other.path()).args(["commit", "-qam", "develop"]));
    ok(git(other.path()).args(["push", "-q", "origin", "HEAD:develop"]));
    ok(git(other.path()).args(["checkout", "-q", "main"]));
    ok(git(other.path()).args(["reset", "-q", "--hard", "HEAD^"]));
    fs_err::write(other.path().join("file"), "x\n").unwrap();
    ok(git(other.path()).args(["add", "-A"]));
    ok(git(other.path()).args(["commit", "-qm", "main goes on"]));
    ok(git(other.path()).args(["push", "-q", "origin", "main"]));
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.git(&["checkout", "-q", "-b", "feature", "origin/develop"]);
    work.write("mine", "x\n");
    work.commit("one");
    work.git(&["merge", "-q", "-m", "what is new in main", "origin/main"]);
    work.push_ok(&["feature"]);
    let ours = merge(&work, "origin/develop", "origin/main");
    work.push_ok(&[&format!("{ours}:refs/heads/ours")]);
    // What both have behind them is neither's.
    let tree = format!("{old}^{{tree}}");
    let back = work.git(&[
        "commit-tree",
        "-m",
        "back",
        "-p",
        "origin/main",
        "-p",
        "origin/develop",
        "-p",
        &old,
        &tree,
    ]);
    let said = work.push_refused(&[&format!("{back}:refs/heads/back")]);
    assert!(said.contains("policy.protected_paths"), "{said}");
    // However often it was brought up to date.
    let mut tip = work.git(&["rev-parse", "feature"]);
    for number in 0..3 {
        let side = work.git(&[
            "commit-tree",
            "-m",
            &number.to_string(),
            "-p",
            &new,
            "main^{tree}",
        ]);
        tip = merge(&work, &side, &tip);
    }
    work.push_ok(&[&format!("{tip}:refs/heads/often")]);
}

#[test]
fn no_link_or_submodule_stands_in_for_a_protected_folder_or_file() {
    let upstream = Upstream::start();
    let owners = tempfile::tempdir().unwrap();
    ok(git(owners.path())
        .args(["clone", "-q"])
        .arg(upstream.bare())
        .arg("."));
    fs_err::write(owners.path().join("CODEOWNERS"), "docs").unwrap();
    ok(git(owners.path()).args(["add", "-A"]));
    ok(git(owners.path()).args(["commit", "-qm", "owners"]));
    ok(git(owners.path()).args(["push", "-q", "origin", "main"]));
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let id = work.git(&["rev-parse", "HEAD:CODEOWNERS"]);
    for (mode, path) in [
        ("120000", ".buildkite"),
        ("120000", ".GitHub/workflows"),
        ("160000", ".github"),
        // The very content that is there, and another meaning.
        ("120000", "CODEOWNERS"),
    ] {
        work.git(&["reset", "-q", "--hard", "origin/main"]);
        commit_entry(&work, mode, &id, path);
        let said = work.push_refused(&["HEAD:refs/heads/try"]);
        assert!(said.contains("policy.protected_paths"), "{path}: {said}");
    }
    work.git(&["reset", "-q", "--hard", "origin/main"]);
    commit_entry(&work, "120000", &id, "buildkite");
    work.push_ok(&["HEAD:refs/heads/try"]);
}

/// A push of nothing but a ref, as raw bytes.
fn move_ref(gate: &Gate, old: &str, new: &str, reference: &str) -> String {
    let line = format!("{old} {new} {reference}\0report-status side-band-64k\n");
    let mut body = format!("{:04x}{line}0000PACK\0\0\0\x02\0\0\0\0", line.len() + 4).into_bytes();
    body.extend_from_slice(
        b"\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e",
    );
    post(gate, "git-receive-pack", "", &body)
}

fn refs(upstream: &Upstream) -> String {
    let output = git(&upstream.bare()).arg("for-each-ref").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_name_that_is_no_ref_s_reaches_nobody() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let (head, zero) = (work.git(&["rev-parse", "HEAD"]), "0".repeat(40));
    let before = refs(&upstream);
    for name in [
        "refs/heads/../tags/x",
        "refs/heads/a:refs/heads/b",
        "refs/heads/a..b",
        "refs/heads/@{1}",
        "refs/heads/*",
        "refs/heads/a\x1b[2J",
        "refs/heads/a.lock",
        "refs/heads//a",
        "HEAD",
        "refs/for/main",
        "refs/heads/a\nrefs/heads/b",
        &format!("refs/heads/a\n{zero} {head} refs/heads/b"),
        &format!("refs/heads/{}", "a/".repeat(600) + "a"),
    ] {
        let said = move_ref(&gate, &zero, &head, name);
        assert!(!said.contains("ok refs/"), "{name:?}: {said}");
        assert_eq!(refs(&upstream), before, "{name:?}");
    }
    // The same request with a good name does come through.
    let said = move_ref(&gate, &zero, &head, "refs/heads/good");
    assert!(said.contains("ok refs/heads/good"), "{said}");
}

#[test]
fn where_a_ref_is_is_not_the_client_s_to_say() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let (first, zero) = (work.git(&["rev-parse", "HEAD"]), "0".repeat(40));
    work.commit("second");
    work.push_ok(&["HEAD:refs/heads/main"]);
    let second = work.git(&["rev-parse", "HEAD"]);
    // As if it were new, and as if it were no rewriting.
    for old in [&zero, &first] {
        let said = move_ref(&gate, old, &first, "refs/heads/main");
        assert!(said.contains("policy.force"), "{said}");
    }
    assert_eq!(upstream.tip("refs/heads/main"), second);
}

#[test]
fn a_folder_of_more_names_than_memory_is_for_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let id = work.git(&["rev-parse", "HEAD:README"]);
    let id: Vec<u8> = (0..20)
        .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let mut raw = Vec::new();
    for number in 0..600_000 {
        raw.extend_from_slice(format!("100644 {number:08}\0").as_bytes());
        raw.extend_from_slice(&id);
    }
    let tree = object(&work, "tree", &raw);
    let commit = work.git(&["commit-tree", "-m", "many", "-p", "HEAD", &tree]);
    let said = work.push_refused(&[&format!("{commit}:refs/heads/many")]);
    assert!(said.contains("at most 16777216 are taken"), "{said}");
}
