//! What a hostile or broken client sends, and what happens when things end in the middle.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use contract::gate::{Caps, GatePolicy};
use contract::{Decision, DenialReason};

use super::fixture::{Gate, Upstream, git, ok, text, token, wait_for};

/// The answer to raw bytes.
fn raw(gate: &Gate, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(gate.address.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(super::fixture::PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn post(gate: &Gate, service: &str, extra: &str, body: &[u8]) -> String {
    let route = gate.config.remotes[0].upstream.route();
    let mut request = format!(
        "POST /{route}/{service} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
         content-type: application/x-{service}-request\r\n{extra}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    raw(gate, &request)
}

fn is_alive(gate: &Gate) {
    ok(git(std::path::Path::new("/")).args(["ls-remote", &gate.url()]));
}

#[test]
fn names_that_lead_elsewhere_are_refused_and_logged() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    for path in [
        "/localhost/../../etc/passwd/info/refs?service=git-upload-pack",
        "/localhost/%2e%2e/x.git/info/refs?service=git-upload-pack",
        "/localhost/a%00.git/info/refs?service=git-upload-pack",
        "/localhost/other.git/info/refs?service=git-upload-pack",
        "/localhost/acme/app.git/HEAD",
        "/localhost/acme/app.git/objects/info/packs",
    ] {
        let answer = raw(
            &gate,
            format!("GET {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n").as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(
            answer.contains("x-bottle-denied-by: git-gate"),
            "{path}: {answer}"
        );
        let event = gate.event(|event| event.decision == Decision::Denied);
        assert!(event.reason.is_some(), "{path}");
    }
    let answer = raw(
        &gate,
        b"GET /a\0b HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    is_alive(&gate);
}

#[test]
fn broken_packs_and_bodies_are_refused_and_leave_nothing() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    is_alive(&gate);
    let zero = "0".repeat(40);
    let line = format!(
        "{zero} {} refs/heads/x\0report-status side-band-64k\n",
        "1".repeat(40)
    );
    let mut head = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    let before = head.clone();
    for pack in [
        &b""[..],
        b"PACK",
        b"PACK\0\0\0\x02\0\0\0\x01garbage that is no object at all",
        b"PACK\0\0\0\x02\xff\xff\xff\xff",
    ] {
        head.truncate(before.len());
        head.extend_from_slice(pack);
        let answer = post(&gate, "git-receive-pack", "", &head);
        assert!(!answer.contains("ok refs/heads/x"), "{answer}");
    }
    for (service, body) in [
        ("git-receive-pack", &b"zzzz"[..]),
        ("git-upload-pack", b"0032want nothing at all"),
        ("git-upload-pack", b"ffff"),
    ] {
        post(&gate, service, "", body);
    }
    // Not gzip; gzip cut short; a bomb.
    post(
        &gate,
        "git-upload-pack",
        "content-encoding: gzip\r\n",
        b"not gzip",
    );
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b'0'; 200 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    post(
        &gate,
        "git-upload-pack",
        "content-encoding: gzip\r\n",
        &bomb[..bomb.len() / 2],
    );
    post(&gate, "git-upload-pack", "content-encoding: gzip\r\n", &bomb);
    is_alive(&gate);
    assert_eq!(upstream.tip("refs/heads/x"), "");
    assert_eq!(gate.mirrored("refs/heads/x"), "");
    no_quarantine_is_left(&gate);
}

#[test]
fn a_file_that_unpacks_to_too_much_is_refused() {
    let upstream = Upstream::start();
    let policy = GatePolicy {
        caps: Caps {
            file_bytes: 10 << 20,
            ..Caps::default()
        },
        ..GatePolicy::default()
    };
    let gate = Gate::with(&upstream, policy);
    let work = gate.clone_work();
    work.write("zeros", vec![0; 200 << 20]);
    work.commit("a bomb");
    let said = work.push_refused(&["main"]);
    assert!(said.contains("caps.file_bytes"), "{said}");
    // An archive in an archive, each a thousand times as large.
    let mut inner = vec![0; 200 << 20];
    for _ in 0..2 {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&inner).unwrap();
        inner = encoder.finish().unwrap();
    }
    work.git(&["reset", "-q", "--hard", "origin/main"]);
    work.write("bomb.gz", inner);
    work.commit("a bomb in a bomb");
    let said = work.push_refused(&["main"]);
    assert!(said.contains("caps.unpacked"), "{said}");
    is_alive(&gate);
}

#[test]
fn caps_on_refs_and_bytes_refuse() {
    let upstream = Upstream::start();
    let policy = GatePolicy {
        caps: Caps {
            push_bytes: 1 << 20,
            ..Caps::default()
        },
        ..GatePolicy::default()
    };
    let gate = Gate::with(&upstream, policy);
    let work = gate.clone_work();
    let head = work.git(&["rev-parse", "HEAD"]);
    // git's own client takes minutes to read so many refusals.
    let mut body = Vec::new();
    for number in 0..50_000 {
        let capabilities = if number == 0 {
            "\0report-status side-band-64k"
        } else {
            ""
        };
        let line = format!("{} {head} refs/heads/n/{number}{capabilities}", "0".repeat(40));
        body.extend_from_slice(format!("{:04x}{line}", line.len() + 4).as_bytes());
    }
    // And a pack without objects.
    body.extend_from_slice(b"0000PACK\0\0\0\x02\0\0\0\0");
    body.extend_from_slice(
        b"\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e",
    );
    let said = post(&gate, "git-receive-pack", "", &body);
    assert!(said.contains("caps.refs"), "{}", &said[..said.len().min(2000)]);
    assert_eq!(upstream.tip("refs/heads/n/0"), "");
    let noise: Vec<u8> = (0..(2 << 20)).map(|_| rand::random::<u8>()).collect();
    work.write("noise", noise);
    work.commit("too much");
    work.push_refused(&["main"]);
    assert_eq!(upstream.tip("refs/heads/main"), head);
    is_alive(&gate);
}

#[test]
fn refs_and_paths_outside_the_policy_are_refused_by_name() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    for reference in ["refs/pull/1/head", "refs/notes/x", "refs/x/y"] {
        let said = work.push_refused(&[&format!("HEAD:{reference}")]);
        assert!(said.contains("policy.refs"), "{said}");
    }
    work.write(".github/workflows/ci.yml", "on: push\n");
    work.commit("ci");
    work.git(&["rm", "-q", ".github/workflows/ci.yml"]);
    work.commit("and gone again");
    let said = work.push_refused(&["main"]);
    assert!(
        said.contains("policy.protected_paths") && said.contains("ci.yml"),
        "{said}"
    );
    work.git(&["reset", "-q", "--hard", "origin/main"]);
    work.write(
        "large.bin",
        format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12\n",
            "0".repeat(64)
        ),
    );
    work.commit("lfs");
    let said = work.push_refused(&["main"]);
    assert!(said.contains("policy.lfs"), "{said}");
    gate.event(|event| event.reason == Some(DenialReason::LfsPointer));
}

#[test]
fn a_push_that_dies_in_the_middle_leaves_nothing_and_blocks_nobody() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let before = upstream.tip("refs/heads/main");
    let route = gate.config.remotes[0].upstream.route();
    let line = format!(
        "{} {} refs/heads/x\0report-status\n",
        "0".repeat(40),
        "1".repeat(40)
    );
    let head = format!(
        "POST /{route}/git-receive-pack HTTP/1.1\r\nhost: g\r\ncontent-type: application/x-git-receive-pack-request\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{:04x}{line}0000PACK\0\0\0\x02\0\0\x10\0\r\n",
        line.len() + 4 + 4 + 12,
        line.len() + 4
    );
    // Each a moment later than the last: git is ended before, while and after it makes its quarantine.
    for moment in 0..40 {
        let mut stream = TcpStream::connect(gate.address.trim_start_matches("http://")).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(250 * moment));
        drop(stream);
    }
    no_quarantine_is_left(&gate);
    work.write("file", "x\n");
    let commit = work.commit("a good one");
    work.push_ok(&["main"]);
    assert_eq!(upstream.tip("refs/heads/main"), commit);
    assert_ne!(before, commit);
    no_quarantine_is_left(&gate);
}

fn no_quarantine_is_left(gate: &Gate) {
    let objects = gate.mirror().join("objects");
    wait_for("the quarantines to go", || {
        fs_err::read_dir(&objects)
            .unwrap()
            .all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with("tmp_"))
    });
}

#[test]
fn two_pushes_at_once_both_get_a_true_answer() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let works: Vec<_> = (0..4).map(|_| gate.clone_work()).collect();
    for (number, work) in works.iter().enumerate() {
        work.write("file", format!("{number}\n"));
        work.commit("one of four");
    }
    let done: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = works
            .iter()
            .enumerate()
            .map(|(number, work)| {
                let own = format!("HEAD:refs/heads/own-{number}");
                scope.spawn(move || (work.push(&["main"]).0, work.push(&[&own]).0))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let (main, own) = thread.join().unwrap();
                assert!(own, "a branch of its own is nobody's concern");
                main
            })
            .collect()
    });
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
    let winner = done.iter().position(|done| *done).unwrap();
    assert_eq!(
        upstream.tip("refs/heads/main"),
        works[winner].git(&["rev-parse", "HEAD"])
    );
}

#[test]
fn a_gate_that_is_killed_between_quarantine_and_forward_claims_nothing() {
    let upstream = Upstream::start();
    let mark = upstream.root.path().join("arrived");
    upstream.hook("pre-receive", &format!("touch {}; sleep 60", mark.display()));
    let mut gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.write("file", "x\n");
    let commit = work.commit("a change");
    let before = upstream.tip("refs/heads/main");
    let pushing = git(work.path())
        .args(["push", "origin", "main"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the push to be forwarded", || mark.exists());
    gate.kill();
    let output = pushing.wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
    upstream.hook("pre-receive", "exit 0");
    gate.restart();
    assert_ne!(
        gate.mirrored("refs/heads/main"),
        commit,
        "nobody has said that the upstream took it"
    );
    assert!(
        !git(&gate.mirror())
            .args(["cat-file", "-e", &commit])
            .output()
            .unwrap()
            .status
            .success(),
        "what was let out of quarantine is still there"
    );
    let again = git(work.path())
        .args(["remote", "set-url", "origin", &gate.url()])
        .output()
        .unwrap();
    assert!(again.status.success());
    wait_for("the upstream's first receive-pack to end", || {
        work.push(&["main"]).0
    });
    assert_eq!(upstream.tip("refs/heads/main"), commit);
    assert_ne!(before, commit);
}

#[test]
fn upstream_history_that_was_rewritten_meanwhile_is_not_overwritten() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.write("file", "x\n");
    work.commit("mine");
    let other = tempfile::tempdir().unwrap();
    ok(git(other.path())
        .args(["clone", "-q"])
        .arg(upstream.bare())
        .arg("."));
    ok(git(other.path()).args(["commit", "-q", "--amend", "-m", "another history"]));
    ok(git(other.path()).args(["push", "-q", "--force", "origin", "main"]));
    let theirs = upstream.tip("refs/heads/main");
    let said = work.push_refused(&["main"]);
    assert!(
        said.contains("fetch first") || said.contains("non-fast-forward"),
        "{said}"
    );
    assert_eq!(upstream.tip("refs/heads/main"), theirs);
}

#[test]
fn hooks_without_their_gate_say_no() {
    let gate = env!("CARGO_BIN_EXE_git-gate");
    let directory = tempfile::tempdir().unwrap();
    let update = format!("{} {} refs/heads/x\n", "0".repeat(40), "1".repeat(40));
    let socket = directory.path().join("gate.sock");
    // No gate; one that says nothing; one that says something else; one that stops in the middle.
    for answer in [
        None,
        Some(""),
        Some("{\"answer\":\"verdict\"}\n"),
        Some("accept\n"),
        Some("{\"answer\":\"verdict\",\"accept\":true}"),
        Some("{\"answer\":\"say\",\"text\":\"x\"}\n"),
        Some("{\"answer\":\"results\",\"results\":[]}\n"),
    ] {
        let _ = fs_err::remove_file(&socket);
        let server = answer.map(|answer| {
            let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = [0; 4096];
                let _ = stream.read(&mut question).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            })
        });
        let mut child = Command::new(gate)
            .args(["hook", "pre-receive"])
            .env("GIT_GATE_SESSION", "s")
            .env("GIT_GATE_SOCKET", &socket)
            .env("GIT_QUARANTINE_PATH", directory.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(update.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success(), "{answer:?}");
        assert!(
            text(&output).contains("refused") || answer.is_some_and(|answer| answer.contains("say")),
            "{answer:?}"
        );
        if let Some(server) = server {
            server.join().unwrap();
        }
    }
}

#[test]
fn an_unknown_session_is_told_nothing() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    is_alive(&gate);
    let socket = fs_err::read_dir(gate.directory.path().join("tmp"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("gate.sock");
    for question in [
        "{}\n".to_owned(),
        "\n".to_owned(),
        format!(
            "{{\"session\":\"{}\",\"kind\":\"pre-receive\",\"quarantine\":null,\"atomic\":false,\"updates\":[]}}\n",
            "0".repeat(32)
        ),
    ] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "");
    }
}

#[test]
fn an_upstream_that_says_something_else_to_a_terminal_is_made_harmless() {
    let upstream = Upstream::start();
    upstream.hook("pre-receive", "printf 'a\\033[2Jb\\n' >&2; exit 1");
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.write("file", format!("nothing {}\n", &token()[..3]));
    work.commit("x");
    let said = work.push_refused(&["main"]);
    assert!(said.contains("pre-receive hook declined"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}
