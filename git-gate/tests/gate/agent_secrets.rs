//! The values that the agent itself has, in every place of a push that can hold bytes; and never in what the gate writes down.

use contract::Decision;

use super::evasion::object;
use super::fixture::{AGENT_KEY, AGENT_SECRET, Gate, Upstream, Work, git, ok};

/// Prepares a push, and says what to push.
type Row = (&'static str, fn(&Work) -> Vec<String>);

const TRY: &str = "HEAD:refs/heads/try";

fn file(work: &Work, name: &str, content: impl AsRef<[u8]>) -> Vec<String> {
    work.write(name, content);
    work.commit("a change");
    vec![TRY.to_owned()]
}

/// A submodule at a commit that nobody has: its id is said, and is any twenty bytes.
fn submodule(work: &Work, id: &str) -> Vec<String> {
    work.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},s")]);
    work.git(&["commit", "-qm", "a submodule"]);
    vec![TRY.to_owned()]
}

const ROWS: &[Row] = &[
    ("a file", |work| file(work, "notes", format!("x{AGENT_SECRET}y"))),
    ("a file, without the line's end that the variable has", |work| {
        file(work, "notes", AGENT_KEY)
    }),
    ("broken over lines", |work| {
        file(work, "notes", AGENT_SECRET.replace(' ', "\r\n\t"))
    }),
    ("folders' names", |work| file(work, AGENT_KEY, "x\n")),
    ("folders' names, and more", |work| {
        file(work, &format!("a/b{AGENT_KEY}c/d"), "x\n")
    }),
    ("a file's name", |work| {
        file(work, &format!("a/{AGENT_SECRET}.txt"), "x\n")
    }),
    ("a submodule's id", |work| {
        let id: String = AGENT_KEY
            .bytes()
            .chain(*b"++++")
            .map(|byte| format!("{byte:02x}"))
            .collect();
        submodule(work, &id)
    }),
    ("the author", |work| {
        ok(git(work.path()).env("GIT_AUTHOR_NAME", AGENT_SECRET).args([
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "x",
        ]));
        vec![TRY.to_owned()]
    }),
    ("the message", |work| {
        work.commit(&format!("a change\n\nwith {AGENT_SECRET}\n"));
        vec![TRY.to_owned()]
    }),
    ("a header", |work| {
        let (tree, parent) = (
            work.git(&["rev-parse", "HEAD^{tree}"]),
            work.git(&["rev-parse", "HEAD"]),
        );
        let raw = format!(
            "tree {tree}\nparent {parent}\nauthor A <a@example.com> 1 +0000\ncommitter A <a@example.com> 1 +0000\n\
             x-note purple\n monkey\n dishwasher\n\nmessage\n"
        );
        vec![format!(
            "{}:refs/heads/try",
            object(work, "commit", raw.as_bytes())
        )]
    }),
    ("a tag", |work| {
        work.git(&["tag", "-a", "try", "-m", AGENT_SECRET]);
        vec!["refs/tags/try".to_owned()]
    }),
    ("a branch's name", |_| {
        vec![format!("HEAD:refs/heads/x/{AGENT_KEY}")]
    }),
    ("a link", |work| {
        std::os::unix::fs::symlink(AGENT_SECRET, work.path().join("link")).unwrap();
        work.commit("a link");
        vec![TRY.to_owned()]
    }),
];

#[test]
fn no_place_of_a_push_carries_a_value_of_the_agent_s_own_and_no_event_shows_it() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let objects = || ok(git(&upstream.bare()).args(["cat-file", "--batch-check", "--batch-all-objects"]));
    let before = objects();
    for (name, prepare) in ROWS {
        let work = gate.clone_work();
        let refs = prepare(&work);
        let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
        let (done, said) = work.push(&refs);
        assert!(!done && said.contains("environment-secret"), "{name}: {said}");
        assert_eq!(objects(), before, "{name} left objects upstream");
        let event = gate.event(|event| event.decision == Decision::Denied);
        let event = serde_json::to_string(&event).unwrap();
        assert!(
            ![AGENT_SECRET, AGENT_KEY, "otter"]
                .iter()
                .any(|value| event.contains(value)),
            "{name}: {event}"
        );
    }
    // A path that is refused for what it asks is logged without the value, too.
    let url = format!("{}/localhost/{AGENT_KEY}.git", gate.address);
    let output = git(std::path::Path::new("/"))
        .args(["ls-remote", &url])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let event = gate.event(|event| event.decision == Decision::Denied);
    assert!(!event.path.unwrap().contains("otter"));
}

#[test]
fn what_is_like_such_a_value_comes_through() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    file(&work, "otter/lamp/kite", "purple monkeys and a dishwasher\n");
    let refs = submodule(&work, &"ab".repeat(20));
    work.push_ok(&[&refs[0]]);
}
