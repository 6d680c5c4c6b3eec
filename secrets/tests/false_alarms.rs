//! Nothing that would be blocked is found in ordinary traffic: source code, lock files, packages, pictures.
//!
//! The material is what Cargo has fetched to build this workspace. Files that hold real keys (tests of
//! cryptography) are left out by name, so that a new one is looked at by a person.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test"
)]

use secrets::{Options, RuleSet, Scanner, Setting};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(RuleSet::built_in().unwrap()).unwrap());

/// Source files that are looked at.
const WANTED: usize = 1000;
/// Larger ones are tables; the time is better spent on more files.
const LARGEST: u64 = 48 << 10;
/// Parts of paths of files with keys, passwords and recovery phrases in them.
const WITH_SECRETS: [&str; 5] = ["bip39-", "bs58-", "url-", "rcgen-", "pem-"];

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    )
}

/// The files under `folder` that are `wanted`, in an order that is always the same.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool, all: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files(&path, wanted, all);
        } else if wanted(&path) {
            all.push(path);
        }
    }
}

/// `most` of the files of the crates that this workspace is built from, spread over all.
fn fetched(part: &str, most: usize, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(&cargo_home().join("registry").join(part), &wanted, &mut all);
    assert!(
        !all.is_empty(),
        "there is nothing to scan: Cargo keeps no crates under {}",
        cargo_home().display()
    );
    if all.len() < most {
        eprintln!(
            "only {} files of {most} are at hand in registry/{part}",
            all.len()
        );
    }
    let step = (all.len() / most).max(1);
    all.into_iter().step_by(step).take(most).collect()
}

fn has_extension(path: &Path, wanted: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| wanted.iter().any(|known| extension == *known))
}

fn sources() -> Vec<String> {
    let wanted = |path: &Path| {
        has_extension(path, &["rs", "md", "toml", "c", "h", "js", "py"])
            && path.metadata().is_ok_and(|file| file.len() <= LARGEST)
            && !WITH_SECRETS
                .iter()
                .any(|part| path.to_string_lossy().contains(part))
    };
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    fetched("src", WANTED, wanted)
        .into_iter()
        .filter_map(read)
        .collect()
}

/// What of `text` would be blocked.
fn blocked(text: &[u8]) -> Vec<String> {
    let findings = SCANNER.scan(text, &Options::new(Setting::Traffic));
    let findings = findings.unwrap();
    let show = |finding: &secrets::Finding| {
        let span = finding.span.start as usize..finding.span.end as usize;
        let around = span.start.saturating_sub(40)..text.len().min(span.end + 20);
        format!(
            "{} [{}] …{}…",
            finding.rule,
            finding.decoded,
            text[around].escape_ascii()
        )
    };
    findings
        .iter()
        .filter(|finding| finding.blocks())
        .map(show)
        .collect()
}

fn assert_clean(texts: impl IntoIterator<Item = Vec<u8>>) {
    let alarms: Vec<String> = texts.into_iter().flat_map(|text| blocked(&text)).collect();
    assert!(
        alarms.is_empty(),
        "{} alarms:\n{}",
        alarms.len(),
        alarms.join("\n")
    );
}

#[test]
fn source_files_as_single_json_strings_raise_no_alarm() {
    assert_clean(
        sources()
            .into_iter()
            .map(|source| serde_json::to_vec(&source).unwrap()),
    );
}

#[test]
fn model_conversations_about_source_files_raise_no_alarm() {
    let conversation = |files: &[String]| {
        let mut messages = vec![serde_json::json!({"role": "system", "content": "You are a coding agent."})];
        for (index, file) in files.iter().enumerate() {
            let id = format!("toolu_01{index:022}");
            messages.push(serde_json::json!({"role": "assistant", "content": [
                {"type": "text", "text": "Let me look at this file first."},
                {"type": "tool_use", "id": id, "name": "read_file", "input": {"path": format!("src/{index}.rs"), "limit": 2000}},
            ]}));
            messages.push(serde_json::json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": file}]},
            ]}));
        }
        let tools = serde_json::json!([{"name": "read_file", "description": "Reads a file", "input_schema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "limit": {"type": "number"}},
            "required": ["path"],
        }}]);
        serde_json::to_vec(&serde_json::json!({
            "model": "a-model", "max_tokens": 32000, "stream": true, "messages": messages, "tools": tools,
        }))
        .unwrap()
    };
    let sources = sources();
    assert_clean(sources.chunks(10).map(conversation));
}

#[test]
fn lock_files_bundles_and_pictures_raise_no_alarm() {
    let wanted = |path: &Path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let known = ["Cargo.lock", "package-lock.json", "yarn.lock", "Cargo.toml.orig"]
            .contains(&name.as_str())
            || name.ends_with(".min.js")
            || has_extension(path, &["png", "jpg", "jpeg", "gif", "svg", "ico", "woff2", "css"]);
        known && path.metadata().is_ok_and(|file| file.len() <= 1 << 20)
    };
    let read = |path: PathBuf| std::fs::read(path).ok();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let all = fetched("src", 250, wanted).into_iter().chain([own]);
    assert_clean(all.filter_map(read));
}

#[test]
fn pictures_in_base64_raise_no_alarm() {
    use base64::Engine;
    let wanted = |path: &Path| has_extension(path, &["png", "jpg", "gif", "svg"]);
    let read = |path: PathBuf| std::fs::read(path).ok();
    let pictures = fetched("src", 40, wanted).into_iter().filter_map(read);
    assert_clean(pictures.map(|picture| {
        let data = base64::engine::general_purpose::STANDARD.encode(&picture[..picture.len().min(256 << 10)]);
        format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}"#)
            .into_bytes()
    }));
}

#[test]
fn uploads_of_packages_raise_no_alarm() {
    let wanted = |path: &Path| {
        has_extension(path, &["crate"])
            && path.metadata().is_ok_and(|file| file.len() <= 200 << 10)
            && !WITH_SECRETS
                .iter()
                .any(|part| path.to_string_lossy().contains(part))
    };
    for path in fetched("cache", 40, wanted) {
        let mut alarms = blocked(&std::fs::read(&path).unwrap());
        // Packages that deal with keys bring some for their tests; these are keys.
        alarms.retain(|alarm| !alarm.starts_with("private-key "));
        assert!(alarms.is_empty(), "{}: {alarms:?}", path.display());
    }
}

#[test]
fn a_name_that_random_bytes_happen_to_hold_raises_no_alarm() {
    // What twenty megabytes of random bytes held: a name, a sign, and bytes that nobody types.
    for bytes in [
        &b"\x07\xd4pwd=\x81\xfe\x9c\x03q\xb7\xee\x1bz\x99\"\x8f"[..],
        b"\xaaPwD:\xf3L\xc8\x8e\x9f\xd6\x80\xe1\xfd;",
        b"\x00_pass=\x05\x06\x07\x08\x0e\x0f\x10\x11\x12 ",
    ] {
        assert_eq!(blocked(bytes), Vec::<String>::new());
    }
    assert!(!blocked("{\"password\":\"Gr\u{fc}n3r-Tr0ub4dor-9xQ\"}".as_bytes()).is_empty());
}
