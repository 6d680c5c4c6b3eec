//! Whatever is thrown at the scanner takes bounded time and memory, ends in findings or in a named refusal, and
//! never in a panic.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use secrets::{BudgetExceeded, Options, RuleSet, Scanner, Setting};
use std::io::Write;
use std::sync::LazyLock;
use support::{Random, fill};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(RuleSet::built_in().unwrap()).unwrap());

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Few bytes that become many: a megabyte of zeros over and over.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

/// A budget that a test can exceed in little time.
fn small_budget() -> Options {
    let mut options = Options::new(Setting::Traffic);
    options.decoded_base = 4 << 20;
    options.decoded_per_byte = 16;
    options
}

#[test]
fn a_decompression_bomb_exceeds_the_budget_in_every_wrapping() {
    let bomb = bomb(16);
    for bomb in [
        bomb.clone(),
        gzip(&bomb),
        STANDARD.encode(&bomb).into_bytes(),
        hex::encode(&bomb).into_bytes(),
        zstd::bulk::compress(&vec![0; 16 << 20], 19).unwrap(),
    ] {
        assert_eq!(SCANNER.scan(&bomb, &small_budget()), Err(BudgetExceeded));
    }
}

#[test]
fn bombs_in_many_parts_share_one_budget() {
    let part = STANDARD.encode(bomb(1));
    let mut parts = SCANNER.parts(&small_budget());
    let refused = (0..100).any(|_| parts.scan(part.as_bytes()).is_err());
    assert!(refused);
    assert_eq!(parts.scan(b"and stays refused"), Err(BudgetExceeded));
}

#[test]
fn a_refusal_is_named() {
    assert!(BudgetExceeded.to_string().starts_with("budget exceeded"));
}

#[test]
fn what_is_deeper_than_encodings_are_undone_takes_no_longer() {
    let mut text = fill("ghp_{github}", &mut Random(7)).into_bytes();
    for _ in 0..30 {
        text = STANDARD.encode(&text).into_bytes();
        if text.len() > 1 << 20 {
            break;
        }
        assert!(SCANNER.scan(&text, &Options::new(Setting::Traffic)).is_ok());
    }
    let mut packed = b"token".repeat(100);
    for _ in 0..200 {
        packed = gzip(&packed);
    }
    assert!(SCANNER.scan(&packed, &Options::new(Setting::Traffic)).is_ok());
}

#[test]
fn a_secret_is_found_below_four_encodings() {
    let mut text = fill("ghp_{github}", &mut Random(7)).into_bytes();
    for _ in 0..4 {
        text = STANDARD.encode(&text).into_bytes();
        let findings = SCANNER.scan(&text, &Options::new(Setting::Traffic)).unwrap();
        assert_eq!(&*findings[0].rule, "github-personal-token");
    }
}

#[test]
fn what_makes_every_detector_look_is_looked_at_in_time_that_grows_with_its_length() {
    let mut longest = Vec::new();
    for piece in [
        "%",
        "%2",
        "%25",
        "\\",
        "\\u",
        "\\\\",
        "&",
        "&#",
        "&#x",
        "/",
        "a/",
        "0",
        "0 ",
        "1-",
        "41-",
        "A",
        "eyJ",
        "eyJ.",
        "ghp_",
        "://",
        "://:",
        "://a:b",
        "token=",
        "password:",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "about ",
        "abandon ",
        "\u{200b}",
        "\u{430}",
        "\0",
        "a\0",
        "PK\u{3}\u{4}",
        "stream\n\u{78}\u{1}",
        "xox",
        "AKIA",
        "4111 ",
        "GB82",
        "=",
        "\n",
        "authorization: bearer ",
    ] {
        let text = piece.repeat((192 << 10) / piece.len());
        let started = std::time::Instant::now();
        let _ = SCANNER.scan(text.as_bytes(), &Options::new(Setting::Traffic));
        longest.push((started.elapsed(), piece));
    }
    // Not asserted, because machines differ: the test ends, and says where the time went.
    longest.sort();
    println!("{:?}", longest.iter().rev().take(6).collect::<Vec<_>>());
}

#[test]
fn deep_nesting_and_many_parts_are_scanned_to_their_end() {
    let secret = fill("ghp_{github}", &mut Random(23));
    let mut quoted = secret.clone();
    for _ in 0..12 {
        quoted = serde_json::to_string(&quoted).unwrap();
    }
    let parts: String = (0..100_000)
        .map(|part| format!("--b\r\nContent-Disposition: form-data; name=\"{part}\"\r\n\r\n{part}\r\n"))
        .collect();
    for deep in ["[".repeat(2 << 20), quoted, parts] {
        let text = format!("{deep} {secret}\n");
        let found = SCANNER
            .scan(text.as_bytes(), &Options::new(Setting::Traffic))
            .unwrap();
        let last = found.iter().map(|finding| finding.span.end).max();
        assert_eq!(last, Some(text.len() as u64 - 1));
    }
}

#[test]
fn repeated_heads_of_archives_end_in_a_refusal_or_what_stands_behind_them_is_found() {
    let secret = fill("ghp_{github}", &mut Random(29));
    for head in [
        &b"\x1f\x8b\x08"[..],
        b"\x1f\x8b\x08\x08\0\0\0\0\0\0",
        b"\x1f\x8b\x08\0\0\0\0\0\0\0",
        b"\x28\xb5\x2f\xfd",
        b"PK\x03\x04",
        b"stream\n\x78\x01",
    ] {
        let mut text = head.repeat((150 << 10) / head.len());
        text.extend_from_slice(format!(" {secret} ").as_bytes());
        for size in [text.len(), 4096] {
            let mut stream = SCANNER.stream(&small_budget());
            let mut findings = Vec::new();
            let done = text
                .chunks(size)
                .try_for_each(|chunk| stream.push(chunk, &mut findings).map(drop))
                .and_then(|()| stream.finish(&mut findings));
            assert!(done.is_err() || !findings.is_empty(), "{}", head.escape_ascii());
        }
    }
}

#[test]
fn a_gzip_head_longer_than_any_name_hides_nothing() {
    let secret = fill("ghp_{github}", &mut Random(31));
    let mut encoder = flate2::GzBuilder::new()
        .filename(vec![b'n'; 300 << 10])
        .write(Vec::new(), flate2::Compression::best());
    encoder
        .write_all(format!("{} {secret} more", "a text ".repeat(500)).as_bytes())
        .unwrap();
    let packed = encoder.finish().unwrap();
    let findings = SCANNER.scan(&packed, &Options::new(Setting::Traffic)).unwrap();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].decoded.to_string().contains("gzip"));
}

#[test]
fn bytes_in_the_forms_that_dump_tools_write_are_read() {
    let secret = fill("glpat-{b64url:20}", &mut Random(37));
    let text =
        format!("the first line of a file, of some length\n{secret}\nand what follows it in the file\n");
    let lines = |text: &str, length: usize, between: &str| {
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(length)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        lines.join(between)
    };
    let hex = hex::encode(&text);
    let base64 = STANDARD.encode(&text);
    for form in [
        lines(&hex, 60, "\n"),
        lines(&hex, 64, "\r\n"),
        lines(&hex, 4, " "),
        lines(&lines(&hex, 2, " "), 48, "\n"),
        lines(&hex, 8, ", 0x"),
        lines(&base64, 64, "\n    "),
        lines(&base64, 76, "\r\n\t"),
        lines(&base64, 60, "\\n  "),
    ] {
        let form = format!("data:\n    {form}\nend");
        for size in [1, 7, form.len()] {
            let mut stream = SCANNER.stream(&Options::new(Setting::Traffic));
            let mut findings = Vec::new();
            for chunk in form.as_bytes().chunks(size) {
                stream.push(chunk, &mut findings).unwrap();
            }
            stream.finish(&mut findings).unwrap();
            assert!(findings.iter().any(secrets::Finding::blocks), "{size}: {form}");
        }
    }
}

#[test]
fn broken_encodings_do_not_hide_what_is_beside_them() {
    let secret = fill("ghp_{github}", &mut Random(11));
    for broken in [
        "%",
        "%zz",
        "%u",
        "\\u",
        "\\ud800",
        "\\ud800\\u0041",
        "&#;",
        "&#x110000;",
        "&#99999999999;",
        "\\x",
        "=",
        "====",
    ] {
        let text = format!("{broken} {secret} {broken}");
        let findings = SCANNER
            .scan(text.as_bytes(), &Options::new(Setting::Traffic))
            .unwrap();
        assert_eq!(findings.len(), 1, "{broken}");
    }
    let mut truncated = gzip(format!("{} {secret} {}", "a ".repeat(3000), "b ".repeat(9000)).as_bytes());
    truncated.truncate(truncated.len() - 9);
    assert_eq!(
        SCANNER
            .scan(&truncated, &Options::new(Setting::Traffic))
            .unwrap()
            .len(),
        1
    );
    let mut invalid = b"\xff\xfe\xc3\x28\xed\xa0\x80 ".to_vec();
    invalid.extend_from_slice(secret.as_bytes());
    invalid.extend_from_slice(b" \xf0\x9f\x98\xe2\x80");
    assert_eq!(
        SCANNER
            .scan(&invalid, &Options::new(Setting::Traffic))
            .unwrap()
            .len(),
        1
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_archives_and_encodings_never_panic(
        seed in any::<u64>(),
        how in 0usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        size in 1usize..400,
    ) {
        let mut random = Random(seed);
        let text = fill("a text with ghp_{github} and {pem:RSA PRIVATE} and more {base62:300}", &mut random);
        let mut data = match how {
            0 => gzip(text.as_bytes()),
            1 => zstd::bulk::compress(text.as_bytes(), 3).unwrap(),
            2 => STANDARD.encode(gzip(text.as_bytes())).into_bytes(),
            3 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            _ => hex::encode(text.as_bytes()).into_bytes(),
        };
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let mut stream = SCANNER.stream(&small_budget());
        let mut findings = Vec::new();
        for chunk in data.chunks(size) {
            let Ok(hold) = stream.push(chunk, &mut findings) else { return Ok(()) };
            prop_assert!(hold <= data.len());
        }
        let _ = stream.finish(&mut findings);
        for finding in findings {
            prop_assert!(finding.span.end <= data.len() as u64);
        }
    }

    #[test]
    fn any_text_scores_as_a_host(text in "\\PC{0,80}") {
        let score = secrets::hostname::score(&text);
        prop_assert!(score.data <= text.len());
    }
}
