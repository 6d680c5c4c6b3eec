//! The ways in which a secret slips past scanners of diffs, one row each. Every value is made at run time.
//!
//! Recorded miss: a literal that is split in the source (`"ghp_" + "…"`) is no secret to anyone who reads bytes.

use super::fixture::{Gate, Upstream, Work, git, ok, token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;
use std::process::Stdio;

/// Prepares a push with `value` in it, and says what to push.
type Row = (&'static str, fn(&Work, &str) -> Vec<String>);

fn file(work: &Work, name: &str, content: impl AsRef<[u8]>) -> Vec<String> {
    work.write(name, content);
    work.commit("a change");
    vec!["HEAD:refs/heads/try".to_owned()]
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A zip archive of one deflated file (APPNOTE.TXT, 4.3).
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let mut sum = flate2::Crc::new();
    sum.update(content);
    let mut fields = Vec::new();
    for short in [20u16, 0, 8, 0, 0] {
        fields.extend(short.to_le_bytes());
    }
    for long in [sum.sum(), packed.len() as u32, content.len() as u32] {
        fields.extend(long.to_le_bytes());
    }
    fields.extend((name.len() as u16).to_le_bytes());
    fields.extend(0u16.to_le_bytes());
    let mut out = b"PK\x03\x04".to_vec();
    out.extend(&fields);
    out.extend(name.as_bytes());
    out.extend(&packed);
    let directory = out.len() as u32;
    out.extend(b"PK\x01\x02\x14\x00");
    out.extend(&fields);
    out.extend([0; 14]);
    out.extend(name.as_bytes());
    let size = out.len() as u32 - directory;
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend(size.to_le_bytes());
    out.extend(directory.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn random_text(bytes: usize) -> Vec<u8> {
    let line = b"the quick brown fox jumps over the lazy dog and nothing is secret here\n";
    line.iter().copied().cycle().take(bytes).collect()
}

/// Writes a raw object and gives its id.
pub(crate) fn object(work: &Work, kind: &str, raw: &[u8]) -> String {
    let mut child = git(work.path())
        .args(["hash-object", "-t", kind, "-w", "--literally", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(raw).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const ROWS: &[Row] = &[
    ("plain", |work, value| {
        file(work, "config.txt", format!("key = {value}\n"))
    }),
    ("added, then deleted in a later commit", |work, value| {
        file(work, "config.txt", format!("key = {value}\n"));
        file(work, "config.txt", "key = none\n")
    }),
    ("in the second parent", |work, value| {
        work.git(&["checkout", "-q", "-b", "side"]);
        file(work, "side.txt", format!("key = {value}\n"));
        work.git(&["rm", "-q", "side.txt"]);
        work.commit("gone");
        work.git(&["checkout", "-q", "-B", "other", "origin/main"]);
        file(work, "other.txt", "x\n");
        work.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
        vec!["HEAD:refs/heads/try".to_owned()]
    }),
    ("only in what the merge commit adds", |work, value| {
        work.git(&["checkout", "-q", "-b", "side"]);
        file(work, "side.txt", "x\n");
        work.git(&["checkout", "-q", "-B", "other", "origin/main"]);
        file(work, "other.txt", "x\n");
        work.git(&["merge", "-q", "--no-ff", "--no-commit", "side"]);
        work.write("evil.txt", format!("key = {value}\n"));
        work.git(&["add", "-A"]);
        work.git(&["commit", "-qm", "merge"]);
        vec!["HEAD:refs/heads/try".to_owned()]
    }),
    ("base64", |work, value| {
        let once = STANDARD.encode(format!("some text before it, then {value} and after"));
        file(work, "config.txt", format!("data: {once}\n"))
    }),
    ("base64 twice", |work, value| {
        let once = STANDARD.encode(format!("some text before it, then {value} and after"));
        file(work, "config.txt", format!("data: {}\n", STANDARD.encode(once)))
    }),
    ("hex", |work, value| {
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        file(work, "config.txt", format!("data: {hex}\n"))
    }),
    ("percent-encoding", |work, value| {
        let coded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        file(work, "config.txt", format!("data={coded}\n"))
    }),
    ("unicode escapes", |work, value| {
        let coded: String = value.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        file(work, "config.json", format!("{{\"data\": \"{coded}\"}}\n"))
    }),
    ("nested JSON", |work, value| {
        let inner = format!("{{\\\"a\\\": \\\"{value}\\\"}}");
        file(work, "config.json", format!("{{\"data\": \"{inner}\"}}\n"))
    }),
    ("a line of 1 MiB", |work, value| {
        let mut line = vec![b'x'; 1 << 20];
        line.extend(format!(" {value} ").as_bytes());
        line.extend(vec![b'y'; 1 << 10]);
        file(work, "bundle.min.js", line)
    }),
    ("binary with NULs", |work, value| {
        let mut raw = vec![0, 1, 2, 0, 0];
        raw.extend(value.as_bytes());
        raw.extend([0, 255, 0]);
        file(work, "image.bin", raw)
    }),
    ("UTF-16", |work, value| {
        let raw: Vec<u8> = format!("\u{feff}key = {value}\r\n")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        file(work, "config.reg", raw)
    }),
    ("gzip", |work, value| {
        file(work, "data.gz", gzip(format!("key = {value}\n").as_bytes()))
    }),
    ("zip", |work, value| {
        file(
            work,
            "data.zip",
            zip("inner.txt", format!("key = {value}\n").as_bytes()),
        )
    }),
    ("a .gitmodules URL", |work, value| {
        let url = format!("https://x:{value}@h.example/a.git");
        file(
            work,
            ".gitmodules",
            format!("[submodule \"a\"]\n\tpath = a\n\turl = {url}\n"),
        )
    }),
    ("a symbolic link's target", |work, value| {
        std::os::unix::fs::symlink(value, work.path().join("link")).unwrap();
        work.commit("a link");
        vec!["HEAD:refs/heads/try".to_owned()]
    }),
    ("behind a -diff attribute", |work, value| {
        work.write(".gitattributes", "* -diff -text\n");
        file(work, "config.txt", format!("key = {value}\n"))
    }),
    ("an inline allow comment", |work, value| {
        file(
            work,
            "config.txt",
            format!("key = {value} # gitleaks:allow pragma: allowlist secret\n"),
        )
    }),
    ("package-lock.json", |work, value| {
        file(work, "package-lock.json", format!("{{\"token\": \"{value}\"}}\n"))
    }),
    ("node_modules", |work, value| {
        file(work, "node_modules/a/index.js", format!("const a = '{value}';\n"))
    }),
    ("vendor", |work, value| {
        file(work, "vendor/a/a.go", format!("var a = \"{value}\"\n"))
    }),
    ("an .svg", |work, value| {
        file(work, "a.svg", format!("<svg><!-- {value} --></svg>\n"))
    }),
    ("the commit message", |work, value| {
        work.commit(&format!("a change\n\nwith {value}\n"));
        vec!["HEAD:refs/heads/try".to_owned()]
    }),
    ("the author", |work, value| {
        ok(git(work.path())
            .env("GIT_AUTHOR_NAME", value)
            .args(["commit", "-q", "--allow-empty", "-m", "x"]));
        vec!["HEAD:refs/heads/try".to_owned()]
    }),
    ("an extra commit header", |work, value| {
        let tree = work.git(&["rev-parse", "HEAD^{tree}"]);
        let parent = work.git(&["rev-parse", "HEAD"]);
        let raw = format!(
            "tree {tree}\nparent {parent}\nauthor A <a@example.com> 1 +0000\ncommitter A <a@example.com> 1 +0000\n\
             x-note {value}\n\nmessage\n"
        );
        let id = object(work, "commit", raw.as_bytes());
        vec![format!("{id}:refs/heads/try")]
    }),
    ("a tag's message", |work, value| {
        work.git(&["tag", "-a", "try", "-m", &format!("release {value}")]);
        vec!["refs/tags/try".to_owned()]
    }),
    ("a tag of a file", |work, value| {
        let id = object(work, "blob", format!("key = {value}\n").as_bytes());
        vec![format!("{id}:refs/tags/try")]
    }),
    ("a file name", |work, value| file(work, value, "x\n")),
    ("a folder's name", |work, value| {
        file(work, &format!("{value}/a"), "x\n")
    }),
    ("a branch's name", |_, value| {
        vec![format!("HEAD:refs/heads/{value}")]
    }),
    ("notes", |work, value| {
        work.git(&["notes", "add", "-m", value]);
        vec!["refs/notes/commits".to_owned()]
    }),
    ("behind a replace ref", |work, value| {
        file(work, "config.txt", format!("key = {value}\n"));
        let bad = work.git(&["rev-parse", "HEAD"]);
        work.git(&["checkout", "-q", "-B", "clean", "origin/main"]);
        file(work, "config.txt", "key = none\n");
        work.git(&["replace", &bad, "HEAD"]);
        let (done, _) = work.push(&[&format!("refs/replace/{bad}")]);
        assert!(!done, "a replace ref came through");
        vec![format!("{bad}:refs/heads/try")]
    }),
    ("an octopus merge", |work, value| {
        for name in ["a", "b"] {
            work.git(&["checkout", "-q", "-B", name, "origin/main"]);
            file(work, name, "x\n");
        }
        work.git(&["checkout", "-q", "-B", "c", "origin/main"]);
        file(work, "c", format!("{value}\n"));
        work.git(&["rm", "-q", "c"]);
        work.commit("gone");
        work.git(&["merge", "-q", "-m", "octopus", "a", "b"]);
        vec!["HEAD:refs/heads/try".to_owned()]
    }),
];

#[test]
fn every_row_of_the_matrix_is_refused_and_not_upstream() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let before = upstream_objects(&upstream);
    for (name, prepare) in ROWS {
        let work = gate.clone_work();
        let value = token();
        let refs = prepare(&work, &value);
        let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
        let (done, said) = work.push(&refs);
        assert!(!done, "{name} came through: {said}");
        assert!(said.contains("git-gate:"), "{name}: {said}");
        assert!(
            !said.replace(refs[0], "").contains(&value) || *name == "a branch's name",
            "{name} shows the value: {said}"
        );
        assert_eq!(
            upstream_objects(&upstream),
            before,
            "{name} left objects upstream"
        );
    }
}

#[test]
fn a_secret_at_the_end_of_60_mib_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    let mut content = random_text(60 << 20);
    content.extend(format!("key = {}\n", token()).as_bytes());
    let refs = file(&work, "large.txt", content);
    let said = work.push_refused(&[&refs[0]]);
    assert!(said.contains("large.txt:"), "{said}");
    assert_eq!(upstream.tip("refs/heads/try"), "");
}

#[test]
fn what_is_clean_in_each_of_these_places_comes_through() {
    let upstream = Upstream::start();
    let gate = Gate::start(&upstream);
    let work = gate.clone_work();
    work.write("data.gz", gzip(b"nothing"));
    work.write("data.zip", zip("a", b"nothing"));
    work.write(
        ".gitmodules",
        "[submodule \"a\"]\n\tpath = a\n\turl = https://h.example/a.git\n",
    );
    work.write("image.bin", [0, 1, 2, 3]);
    work.write(
        "split.rs",
        format!("let a = \"ghp_\".to_owned() + \"{}\";\n", &token()[4..]),
    );
    work.commit("clean, and the one recorded miss");
    work.git(&["tag", "-a", "v1", "-m", "one"]);
    work.push_ok(&["main", "v1"]);
    assert_eq!(upstream.tip("refs/heads/main"), work.git(&["rev-parse", "HEAD"]));
}

fn upstream_objects(upstream: &Upstream) -> String {
    ok(git(&upstream.bare()).args(["cat-file", "--batch-check", "--batch-all-objects"]))
}
