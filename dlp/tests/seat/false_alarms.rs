//! Nothing of ordinary traffic is refused: what agents send to models, registries and stores, through the path that every body takes.
//!
//! The material is what Cargo has fetched to build this workspace; where it fetched nothing, that is said. Packages that hold real
//! keys (tests of cryptography) are left out by name, so that a new one is looked at by a person.

#![allow(clippy::print_stdout, reason = "what a sweep saw is told")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dlp::body::{self, Kind};
use dlp::examiner::Examiner;
use dlp::policy::CompiledPolicy;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use pipelock_config::{DlpFile, PipelockFile};

use crate::registry;

/// One of so many source files is looked at.
const SOURCES: u64 = 8;
/// And of packages, and of pictures and lock files.
const PACKAGES: u64 = 6;
const PICTURES: u64 = 2;
/// Larger ones are tables; the time is better spent on more files.
const LARGEST: u64 = 48 << 10;
/// What packages with keys, passwords and recovery phrases in them begin with.
const WITH_SECRETS: [&str; 8] = [
    "bip39-", "bs58-", "git2-", "url-", "rcgen-", "pem-", "scrypt-", "zip-",
];
const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

/// One body that somebody sends.
struct Sent {
    name: String,
    content_type: String,
    content_encoding: &'static str,
    body: Vec<u8>,
}

fn sent(name: impl Into<String>, content_type: &str, body: Vec<u8>) -> Sent {
    Sent {
        name: name.into(),
        content_type: content_type.to_owned(),
        content_encoding: "",
        body,
    }
}

fn examiner() -> Examiner {
    let text = "mode: strict\napi_allowlist: [a.example]\ntls_interception: {enabled: true}\nrequest_body_scanning: {action: block}\n";
    let seat = PipelockFile::parse(text.as_bytes()).unwrap().seat().unwrap();
    let mut known = secrets::known::KnownValues::builder();
    let value = zeroize::Zeroizing::new(b"tr0ub4dor-and-3-more".to_vec());
    known.add("BOTTLE_ENV_SECRET_0", value).unwrap();
    let policy = CompiledPolicy::compile(seat, DlpFile::absent(), &known.build()).unwrap();
    Examiner::new(Arc::new(policy), "a.example")
}

/// Makes each body and has it looked at, on every core.
fn assert_none_refused(count: usize, make: impl Fn(usize) -> Option<Sent> + Sync) {
    let examiner = examiner();
    let (next, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let refused = parking_lot::Mutex::new(Vec::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            let Some(sent) = make(at) else { continue };
            seen.fetch_add(1, Ordering::Relaxed);
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::try_from(&sent.content_type).unwrap());
            if !sent.content_encoding.is_empty() {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(sent.content_encoding));
            }
            let kind = Kind::of(&headers).unwrap();
            if let Err(why) = body::judge(&examiner, kind, Bytes::from(sent.body)) {
                refused.lock().push(format!("{}: {why:?}", sent.name));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let refused = refused.into_inner();
    println!("{} bodies, {} refused", seen.into_inner(), refused.len());
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// As [`registry::fetched`]: files no larger than this, without the packages that hold secrets.
fn fetched(part: &str, every: u64, largest: u64, extensions: &[&str]) -> Vec<PathBuf> {
    registry::fetched(part, every, &WITH_SECRETS, |path| {
        registry::has_extension(path, extensions) && path.metadata().is_ok_and(|file| file.len() <= largest)
    })
}

fn sources() -> Vec<PathBuf> {
    fetched(
        "src",
        SOURCES,
        LARGEST,
        &["rs", "md", "toml", "c", "h", "js", "py"],
    )
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(registry::cargo_home())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Fields and files in the manner of a form that uploads.
fn multipart(fields: &[(&str, &str)], file: (&str, &str, &[u8])) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let (name, file_name, content) = file;
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\nContent-Type: \
         application/octet-stream\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn multipart_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

fn sha256(content: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content))
}

fn base64(content: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(content)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn source_files_as_json_strings_and_in_forms_are_not_refused() {
    let sources = sources();
    assert_none_refused(sources.len(), |at| {
        let path = &sources[at];
        let text = fs_err::read_to_string(path).ok()?;
        let mut sent = match at % 4 {
            0 | 1 => sent(
                name_of(path),
                "application/json",
                serde_json::to_vec(&text).unwrap(),
            ),
            2 => sent(name_of(path), "text/plain", text.into_bytes()),
            _ => sent(
                name_of(path),
                &multipart_type(),
                multipart(&[("path", &name_of(path))], ("file", "a.rs", text.as_bytes())),
            ),
        };
        if at % 4 == 1 {
            sent.body = gzip(&sent.body);
            sent.content_encoding = "gzip";
        }
        Some(sent)
    });
}

#[test]
fn conversations_with_a_model_about_source_files_are_not_refused() {
    let sources = sources();
    let turns: Vec<&[PathBuf]> = sources.chunks(8).collect();
    assert_none_refused(turns.len(), |at| {
        let mut messages = vec![serde_json::json!({"role": "system", "content": "You are a coding agent."})];
        for (index, path) in turns[at].iter().enumerate() {
            let Ok(text) = fs_err::read_to_string(path) else {
                continue;
            };
            let id = format!("toolu_01{}", &sha256(text.as_bytes())[..22]);
            messages.push(serde_json::json!({"role": "assistant", "content": [
                {"type": "thinking", "thinking": "I read the file first.", "signature": base64(&text.as_bytes()[..text.len().min(300)])},
                {"type": "tool_use", "id": id, "name": "read_file", "input": {"path": name_of(path), "limit": 2000 + index}},
            ]}));
            messages.push(serde_json::json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": text}]},
            ]}));
        }
        let conversation = serde_json::json!({
            "model": "a-model", "max_tokens": 32000, "stream": true, "messages": messages,
            "metadata": {"user_id": format!("user_{}_session_8f14e45f-ceea-467f-a0c9-2b1d6c2a7d11", sha256(b"user"))},
            "tools": [{"name": "read_file", "description": "Reads a file", "input_schema": {
                "type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}}],
        });
        Some(sent(
            name_of(turns[at].first()?),
            "application/json",
            serde_json::to_vec(&conversation).unwrap(),
        ))
    });
}

#[test]
fn uploads_of_packages_are_not_refused() {
    let packages = fetched("cache", PACKAGES, 300 << 10, &["crate"]);
    assert_none_refused(3 * packages.len(), |at| {
        let path = &packages[at / 3];
        let content = fs_err::read(path).ok()?;
        let name = path.file_stem()?.to_string_lossy().into_owned();
        let digest = sha256(&content);
        Some(match at % 3 {
            // As Cargo publishes: lengths, metadata, the archive.
            0 => {
                let said = serde_json::json!({"name": name, "vers": "1.2.3", "deps": [], "features": {}, "authors": [],
                    "description": "A package", "license": "MIT", "links": null});
                let said = serde_json::to_vec(&said).unwrap();
                let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
                let body = [&length(&said)[..], &said, &length(&content), &content].concat();
                sent(format!("cargo publish {name}"), "application/octet-stream", body)
            }
            // As twine uploads.
            1 => {
                let fields = [
                    (":action", "file_upload"),
                    ("protocol_version", "1"),
                    ("name", &name),
                    ("version", "1.2.3"),
                    ("sha256_digest", &digest),
                    ("md5_digest", &digest[..32]),
                    ("blake2_256_digest", &digest),
                    ("metadata_version", "2.3"),
                ];
                let file = format!("{name}.tar.gz");
                let body = multipart(&fields, ("content", &file, &content));
                sent(format!("twine upload {name}"), &multipart_type(), body)
            }
            // As npm publishes: the archive in base64 in JSON.
            _ => {
                let file = format!("{name}-1.2.3.tgz");
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &content);
                let body = serde_json::json!({"_id": name, "name": name, "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": {
                        "name": name, "version": "1.2.3", "dist": {
                            "integrity": format!("sha512-{}", base64(digest.as_ref())),
                            "shasum": &sha256(&content)[..40],
                            "tarball": format!("https://registry.example/{name}/-/{file}")}}},
                    "access": null, "_attachments": {file: {
                        "content_type": "application/octet-stream", "data": base64(&content), "length": content.len()}}});
                let body = serde_json::to_vec(&body).unwrap();
                sent(format!("npm publish {name}"), "application/json", body)
            }
        })
    });
}

#[test]
fn pictures_bundles_and_lock_files_are_not_refused() {
    let kinds = [
        "png", "jpg", "jpeg", "gif", "svg", "ico", "woff2", "css", "js", "lock", "json", "html", "orig",
    ];
    let mut files = fetched("src", PICTURES, 1 << 20, &kinds);
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"));
    assert_none_refused(2 * files.len(), |at| {
        let path = &files[at / 2];
        let content = fs_err::read(path).ok()?;
        Some(if at % 2 == 0 {
            let name = path.file_name()?.to_string_lossy().into_owned();
            sent(
                name_of(path),
                &multipart_type(),
                multipart(&[], ("file", &name, &content)),
            )
        } else {
            let picture = serde_json::json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64(&content)}});
            sent(
                format!("{} in base64", name_of(path)),
                "application/json",
                serde_json::to_vec(&picture).unwrap(),
            )
        })
    });
}

#[test]
fn lists_of_identifiers_and_digests_are_not_refused() {
    // What lock files, traces and search results are full of, value by value.
    let numbers = |from: u64| (from..from + 3000).map(|number: u64| sha256(&number.to_le_bytes()));
    let uuid = |digest: &String| {
        let parts = [
            &digest[..8],
            &digest[8..12],
            &digest[12..16],
            &digest[16..20],
            &digest[20..32],
        ];
        parts.join("-")
    };
    let lists: Vec<Vec<String>> = (0..8_u64)
        .map(|seed| {
            let digests = numbers(seed * 10_000);
            match seed {
                0 => digests.collect(),
                1 => digests.map(|digest| uuid(&digest)).collect(),
                2 => digests
                    .map(|digest| base64(&hex::decode(&digest).unwrap()))
                    .collect(),
                3 => digests
                    .map(|digest| base64(&hex::decode(&digest[..24]).unwrap()))
                    .collect(),
                4 => digests.map(|digest| digest[..7].to_owned()).collect(),
                5 => digests.map(|digest| format!("key-{}", &digest[..3])).collect(),
                6 => digests
                    .map(|digest| format!("{}", u32::from_str_radix(&digest[..8], 16).unwrap()))
                    .collect(),
                _ => digests
                    .map(|digest| format!("sha512-{}==", base64(digest.as_bytes())))
                    .collect(),
            }
        })
        .collect();
    assert_none_refused(2 * lists.len(), |at| {
        let list = &lists[at / 2];
        Some(if at % 2 == 0 {
            sent(
                format!("list {}", at / 2),
                "application/json",
                serde_json::to_vec(list).unwrap(),
            )
        } else {
            let pairs: Vec<String> = list
                .iter()
                .map(|value| format!("id={}", value.replace('+', "%2B")))
                .collect();
            let form = "application/x-www-form-urlencoded";
            sent(format!("form {}", at / 2), form, pairs.join("&").into_bytes())
        })
    });
}
