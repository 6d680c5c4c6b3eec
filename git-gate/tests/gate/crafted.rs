//! Objects and refs that no ordinary client makes: each is a way to have something passed over by whoever reads a push.

use contract::gate::GatePolicy;

use super::fixture::{Gate, Upstream, Work, git, token};

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
