//! Nothing that would be blocked is found in ordinary traffic: source code, lock files, packages, pictures.
//!
//! The material is what Cargo has fetched to build this workspace. Files that hold real keys (tests of
//! cryptography) are left out by name, so that a new one is looked at by a person.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod registry;

use registry::has_extension;
use secrets::{Options, RuleSet, Scanner, Setting};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(RuleSet::built_in().unwrap()).unwrap());

/// One of so many source files is looked at.
const SOURCES: u64 = 8;
/// Larger ones are tables; the time is better spent on more files.
const LARGEST: u64 = 48 << 10;
/// What packages with keys, passwords and recovery phrases in them begin with.
const WITH_SECRETS: [&str; 6] = ["bip39-", "bs58-", "git2-", "url-", "rcgen-", "pem-"];

/// As [`registry::fetched`], without the packages that hold secrets.
fn fetched(part: &str, every: u64, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    registry::fetched(part, every, &WITH_SECRETS, wanted)
}

fn sources() -> Vec<String> {
    let wanted = |path: &Path| {
        has_extension(path, &["rs", "md", "toml", "c", "h", "js", "py"])
            && path.metadata().is_ok_and(|file| file.len() <= LARGEST)
    };
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    fetched("src", SOURCES, wanted)
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
fn ascending_numbers_raise_no_alarm() {
    // Two digits at a time they may be letters.
    let lists = [",", ", ", "\n", ",\n  "].into_iter().flat_map(|between| {
        (0..40u32).map(move |seed| {
            let mut number = 3000 + seed * 100;
            let next = |at: u32| {
                number += 1 + (((at + seed).wrapping_mul(2_654_435_761) >> 13) & 3);
                number.to_string()
            };
            (0..400).map(next).collect::<Vec<_>>().join(between)
        })
    });
    assert_clean(lists.map(|list| format!("{{\"data\":[{list}]}}").into_bytes()));
}

#[test]
fn dumps_of_text_raise_no_alarm() {
    let dump = |text: &str| {
        let line = |(at, bytes): (usize, &[u8])| {
            let hex = |pair: &[u8]| pair.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let groups: Vec<String> = bytes.chunks(2).map(hex).collect();
            format!("{:08x}: {:<40}\n", at * 16, groups.join(" "))
        };
        text.as_bytes()
            .chunks(16)
            .enumerate()
            .map(line)
            .collect::<String>()
    };
    let dumps: Vec<String> = sources().iter().step_by(3).map(|text| dump(text)).collect();
    let quoted: Vec<Vec<u8>> = dumps
        .iter()
        .map(|dump| serde_json::to_vec(dump).unwrap())
        .collect();
    assert_clean(dumps.into_iter().map(String::into_bytes).chain(quoted));
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
    let all = fetched("src", 2, wanted).into_iter().chain([own]);
    assert_clean(all.filter_map(read));
}

#[test]
fn pictures_in_base64_raise_no_alarm() {
    use base64::Engine;
    let wanted = |path: &Path| has_extension(path, &["png", "jpg", "gif", "svg"]);
    let read = |path: PathBuf| std::fs::read(path).ok();
    let pictures = fetched("src", 4, wanted).into_iter().filter_map(read);
    assert_clean(pictures.map(|picture| {
        let data = base64::engine::general_purpose::STANDARD.encode(&picture[..picture.len().min(256 << 10)]);
        format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}"#)
            .into_bytes()
    }));
}

#[test]
fn uploads_of_packages_raise_no_alarm() {
    let wanted = |path: &Path| {
        has_extension(path, &["crate"]) && path.metadata().is_ok_and(|file| file.len() <= 200 << 10)
    };
    for path in fetched("cache", 8, wanted) {
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

#[test]
fn what_programs_and_manuals_say_about_passwords_raises_no_alarm() {
    for text in [
        "size_t password_len, uint32_t iterations,",
        "// for example, struct passwd, https://pubs.opengroup.org/onlinepubs/009695399/basedefs/pwd.h.html,",
        "check_body(b\"username=user&password=secure%20password\").await;",
        "let password = b\"hunter42\"; // Bad password;",
        "use crate::{ConnectionSecrets, Tls12CipherSuite, Other};",
        "let private_key_buffer: Curve25519SeedBin = make();",
        "(&DH_SINGLE_PASS_STD_DH_SHA_224_KDF_SCHEME, \"dhSinglePass-stdDH-sha224kdf-scheme\"),",
        "docker run -e REGISTRY_PASSWORD -e REGISTRY_HTTP_ADDR=localhost:5000 -v x",
        "all = \"http://Aladdin:opensesame@y.ep\"",
    ] {
        assert_eq!(blocked(text.as_bytes()), Vec::<String>::new(), "{text}");
    }
    let found = [
        "password, \"tr0ub4dor-and-9\"",
        "password=tr0ub4dor%21x&a=b",
        "http://Aladdin:0pen-Sesame@y.ep",
    ];
    for text in found {
        assert!(!blocked(text.as_bytes()).is_empty(), "{text}");
    }
}
