use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pipelock_config::{DlpFile, PipelockFile};
use proptest::prelude::*;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use crate::policy::CompiledPolicy;

/// An AWS key id, put together so that this file holds none.
pub(crate) fn secret() -> String {
    format!("AKIA{}", "QYLPMN5HFIQR7XYA")
}

pub(crate) fn examiner() -> Examiner {
    // Made once: in a test's build the scanner takes a while to be put together.
    static POLICY: LazyLock<Arc<CompiledPolicy>> = LazyLock::new(|| Arc::new(policy()));
    Examiner::new(POLICY.clone(), "a.example")
}

fn policy() -> CompiledPolicy {
    let text = "mode: strict\napi_allowlist: [a.example]\ntls_interception: {enabled: true}\nrequest_body_scanning: {action: block}\n";
    let seat = PipelockFile::parse(text.as_bytes()).unwrap().seat().unwrap();
    let mut known = secrets::known::KnownValues::builder();
    known
        .add(
            "BOTTLE_ENV_SECRET_0",
            zeroize::Zeroizing::new(b"correct horse battery".to_vec()),
        )
        .unwrap();
    CompiledPolicy::compile(seat, DlpFile::absent(), &known.build()).unwrap()
}

fn kind(content_type: &str, encoding: &str) -> Kind {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    if !encoding.is_empty() {
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
    }
    Kind::of(&headers).unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// What leaves of a body that comes in these pieces, and whether it was refused.
fn through(kind: Kind, length: BodyLength, body: &[u8], step: usize) -> (Vec<u8>, Result<(), Refused>) {
    let examiner = examiner();
    let verdicts = Verdicts::new(&examiner, true);
    let mut looking = RequestBody::new(examiner, verdicts, kind, length, &room());
    let mut left = Vec::new();
    for piece in body.chunks(step) {
        let mut released = Released::default();
        let taken = looking.take(Bytes::copy_from_slice(piece), &mut released);
        if taken.is_err() {
            return (left, taken);
        }
        released.for_each(|piece| left.extend_from_slice(&piece));
    }
    let mut released = Released::default();
    let over = looking.over(&mut released);
    if over.is_ok() {
        released.for_each(|piece| left.extend_from_slice(&piece));
    }
    (left, over)
}

fn room() -> Room {
    Room {
        held: Budget::new(1 << 20),
        windows: Windows::default(),
    }
}

fn exact(body: &[u8]) -> BodyLength {
    BodyLength::Exact(body.len() as u64)
}

/// Ordinary text, so long that it streams.
fn long_text() -> Vec<u8> {
    "A line of ordinary text with some words in it, as a model writes them.\n"
        .repeat(1000)
        .into_bytes()
}

#[test]
fn a_short_body_with_a_secret_leaves_nothing_behind() {
    let secret = secret();
    let bodies = [
        ("application/json", format!("{{\"k\":{{\"aws\":\"{secret}\"}}}}")),
        (
            "application/json",
            format!("{{\"a\":\"{}\",\"b\":\"{}\"}}", &secret[..9], &secret[9..]),
        ),
        ("application/json", format!("{{\"{secret}\":1}}")),
        (
            "application/json",
            format!("{{\"p\":\"{}\"}}", STANDARD.encode(&secret)),
        ),
        (
            "application/x-ndjson",
            format!("{{\"a\":1}}\n{{\"b\":\"{secret}\"}}\n"),
        ),
        (
            "application/x-www-form-urlencoded",
            format!("a={}&b={}", &secret[..9], &secret[9..]),
        ),
        (
            "multipart/form-data; boundary=xx",
            format!(
                "--xx\r\n\r\n{}\r\n--xx\r\n\r\n{}\r\n--xx--\r\n",
                &secret[..9],
                &secret[9..]
            ),
        ),
        ("text/plain", format!("HOME=/x\nKEY={secret}\n")),
        (
            "application/octet-stream",
            hex::encode(format!("\u{1}\u{2}{secret}")),
        ),
        ("text/plain", "it is correct horse battery, really".to_owned()),
        (
            "text/plain",
            STANDARD.encode("it is correct horse battery, really"),
        ),
    ];
    for (content_type, body) in bodies {
        for length in [exact(body.as_bytes()), BodyLength::Unknown] {
            let (left, result) = through(kind(content_type, ""), length, body.as_bytes(), 7);
            assert!(matches!(result, Err(Refused::Found(_))), "{body}: {result:?}");
            assert_eq!(left, b"", "{body}");
        }
    }
}

#[test]
fn a_compressed_body_is_looked_at_as_what_it_decodes_to() {
    let mut long = long_text();
    for short in [true, false] {
        let text = if short {
            b"key: ".to_vec()
        } else {
            std::mem::take(&mut long)
        };
        let body = gzip(&[&text, secret().as_bytes()].concat());
        let clean = gzip(&text);
        let (_, result) = through(kind("text/plain", "gzip"), exact(&body), &body, 100);
        assert!(matches!(result, Err(Refused::Found(_))), "{result:?}");
        let (left, result) = through(kind("text/plain", "gzip"), exact(&clean), &clean, 100);
        assert_eq!((left, result), (clean, Ok(())));
    }
}

/// A frame of zstd, of blocks with type and content (RFC 8878 section 3.1.1).
fn zstd(blocks: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
    for (at, (kind, content)) in blocks.iter().enumerate() {
        let last = u32::from(at + 1 == blocks.len());
        let head = last | kind << 1 | u32::try_from(content.len()).unwrap() << 3;
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.extend_from_slice(content);
    }
    frame
}

/// A raw block.
fn plain(text: &[u8]) -> (u32, Vec<u8>) {
    (0, text.to_vec())
}

/// A compressed block, of which nothing can be told before its end though its literals stand there as they are.
fn of_literals(text: &[u8]) -> (u32, Vec<u8>) {
    let head = 3 << 2 | u32::try_from(text.len()).unwrap() << 4;
    (2, [&head.to_le_bytes()[..3], text, &[0]].concat())
}

#[test]
fn what_a_decoder_skips_is_looked_at_too() {
    let secret = secret();
    let commented = |text: &[u8]| {
        let mut encoder = flate2::GzBuilder::new()
            .comment(secret.as_bytes())
            .write(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let skipped = |text: &[u8]| {
        let length = u32::try_from(secret.len()).unwrap().to_le_bytes();
        let frame = [&[0x50, 0x2a, 0x4d, 0x18], &length[..], secret.as_bytes()].concat();
        [frame, zstd(&[plain(text)])].concat()
    };
    for text in [b"short".to_vec(), long_text()] {
        for (encoding, body) in [("gzip", commented(&text)), ("zstd", skipped(&text))] {
            for length in [exact(&body), BodyLength::Unknown, BodyLength::Exact(1 << 20)] {
                let (left, result) = through(kind("text/plain", encoding), length, &body, 1000);
                assert!(matches!(result, Err(Refused::Found(_))), "{encoding}: {result:?}");
                let left = String::from_utf8_lossy(&left);
                assert!(!left.contains(&secret), "{encoding}");
            }
        }
    }
}

#[test]
fn a_block_that_was_not_told_yet_does_not_leave() {
    let secret = format!(" {} ", hex::encode(secret()));
    let text = long_text();
    let before = &text[..66_000];
    let block = |end: &str| of_literals(&[&text[..60_000], end.as_bytes()].concat());
    let body = zstd(&[plain(before), block(&secret), plain(&text)]);
    let clean = zstd(&[plain(before), block(""), plain(&text)]);
    for step in [1000, 20_000, 70_000] {
        let (left, result) = through(kind("text/plain", "zstd"), BodyLength::Unknown, &body, step);
        assert!(matches!(result, Err(Refused::Found(_))), "{result:?}");
        // Of the block nothing, though its end alone tells.
        assert!(left.len() < before.len() + 9, "{step}: {}", left.len());
        let (left, result) = through(kind("text/plain", "zstd"), BodyLength::Unknown, &clean, step);
        assert_eq!((left == clean, result), (true, Ok(())), "{step}");
    }
}

#[test]
fn a_secret_in_pieces_is_found_among_other_values() {
    let secret = secret();
    for ends in [&[9][..], &[4, 11], &[5, 9, 14]] {
        let mut pieces = vec!["bob", "alice7"];
        let mut start = 0;
        for &end in ends.iter().chain([&secret.len()]) {
            pieces.push(&secret[start..end]);
            start = end;
        }
        pieces.extend(["yes", "2024"]);
        let form: Vec<String> = pieces.iter().map(|piece| format!("k={piece}")).collect();
        for (content_type, body) in [
            ("application/json", serde_json::to_string(&pieces).unwrap()),
            ("application/x-www-form-urlencoded", form.join("&")),
        ] {
            let length = exact(body.as_bytes());
            let (_, result) = through(kind(content_type, ""), length, body.as_bytes(), 7);
            assert!(matches!(result, Err(Refused::Found(_))), "{body}: {result:?}");
        }
    }
}

#[test]
fn a_byte_order_mark_hides_no_values() {
    let secret = secret();
    let body = format!(
        "\u{feff}{{\"a\":\"{}\",\"b\":\"{}\"}}",
        &secret[..9],
        &secret[9..]
    );
    for content_type in ["application/json", "text/plain"] {
        let length = exact(body.as_bytes());
        let (_, result) = through(kind(content_type, ""), length, body.as_bytes(), 7);
        assert!(matches!(result, Err(Refused::Found(_))), "{result:?}");
    }
}

#[test]
fn what_is_refused_without_a_finding_says_why() {
    let not_utf8 = b"{\"a\":\"\xff\"}".to_vec();
    let utf16 = r#"{"a":"b"}"#.bytes().flat_map(|byte| [byte, 0]).collect();
    let deep = b"[".repeat(2000);
    let parts = b"--x\r\n\r\n\r\n".repeat(100_000);
    let bomb = gzip(&vec![b' '; 200 << 20]);
    let cut = gzip(b"text")[..12].to_vec();
    for (content_type, encoding, body) in [
        ("application/json", "", not_utf8),
        ("application/json", "", utf16),
        ("application/json", "", deep),
        ("multipart/mixed; boundary=x", "", parts),
        ("text/plain", "gzip", cut),
        ("text/plain", "gzip", b"no gzip".to_vec()),
    ] {
        let (_, result) = through(kind(content_type, encoding), exact(&body), &body, 1 << 14);
        assert!(
            matches!(result, Err(Refused::Malformed(_))),
            "{content_type}: {result:?}"
        );
    }
    let (_, result) = through(kind("text/plain", "gzip"), exact(&bomb), &bomb, 1 << 14);
    assert_eq!(result, Err(Refused::TooMuchToDecode));
}

#[test]
fn a_file_that_is_called_a_form_passes_and_a_secret_in_it_does_not() {
    let form = "application/x-www-form-urlencoded";
    let file: Vec<u8> = (0..100_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    assert!(std::str::from_utf8(&file).is_err());
    let (left, result) = through(kind(form, ""), exact(&file), &file, 1 << 14);
    assert_eq!((left.len(), result), (file.len(), Ok(())));
    let leak = [&file[..], b"\nglpat-", b"Zq3xW9vK1mT7bY5nR2cD"].concat();
    let (_, result) = through(kind(form, ""), exact(&leak), &leak, 1 << 14);
    assert!(matches!(result, Err(Refused::Found(_))), "{result:?}");
}

#[test]
fn a_conversation_does_not_wait_for_its_end() {
    let (left, _) = {
        let examiner = examiner();
        let verdicts = Verdicts::new(&examiner, true);
        let kind = kind("application/grpc+proto", "");
        let mut looking = RequestBody::new(examiner, verdicts, kind, BodyLength::Unknown, &room());
        assert!(!looking.defers_head());
        let mut released = Released::default();
        let message = [&[0, 0, 0, 0, 14][..], b"\x0a\x0chello there!"].concat();
        looking.take(Bytes::from(message), &mut released).unwrap();
        (released.map(|piece| piece.len()).sum::<usize>(), ())
    };
    assert_eq!(left, 19);
}

/// A body of this form with these values at its end, and where in it the last of them ends.
fn long_body(form: &str, pieces: &[&str]) -> (&'static str, String, usize) {
    let mut text: Vec<String> = (0..3000)
        .map(|number: u32| format!("A line of {} words", number.wrapping_mul(2_654_435_761)))
        .collect();
    text.extend(pieces.iter().map(|&piece| piece.to_owned()));
    let (content_type, body) = match form {
        "json" => ("application/json", serde_json::to_string(&text).unwrap()),
        "escaped" => {
            let escaped = |value: &String| {
                let units = value.bytes().map(|byte| format!("\\u{byte:04x}"));
                format!("\"{}\"", units.collect::<String>())
            };
            let values: Vec<String> = text.iter().map(escaped).collect();
            ("application/json", format!("[{}]", values.join(",")))
        }
        "any" => (
            "text/plain",
            format!(" {}", serde_json::to_string(&text).unwrap()),
        ),
        "lines" => {
            let lines = text.iter().map(|text| format!("{{\"text\":\"{text}\"}}\n"));
            ("application/x-ndjson", lines.collect())
        }
        "form" => {
            let pairs: Vec<String> = text
                .iter()
                .map(|text| format!("key={}", text.replace(' ', "+")))
                .collect();
            ("application/x-www-form-urlencoded", pairs.join("&"))
        }
        _ => {
            let part = |text: &String| format!("--xx\r\nContent-Type: text/plain\r\n\r\n{text}\r\n");
            let parts: String = text.iter().map(part).collect();
            ("multipart/form-data; boundary=xx", format!("{parts}--xx--\r\n"))
        }
    };
    let last = pieces.last().unwrap();
    let end = match form {
        "escaped" => body.len() - 2,
        _ => body.rfind(last).unwrap() + last.len(),
    };
    (content_type, body, end)
}

const FORMS: [&str; 6] = ["json", "escaped", "any", "lines", "form", "parts"];

#[test]
fn the_values_of_a_body_of_any_size_are_put_together() {
    let secret = secret();
    let known = "correct horse battery";
    let in_base64 = STANDARD.encode(format!("  {secret} "));
    for form in FORMS {
        for pieces in [
            vec![&secret[..9], &secret[9..]],
            secret.as_str().split("").filter(|one| !one.is_empty()).collect(),
            vec![&in_base64[..12], &in_base64[12..]],
            vec![&known[..7], &known[7..]],
        ] {
            // `+` is a space, and the scanner looks at a form as it stands.
            if form == "form" && pieces.concat().contains(' ') {
                continue;
            }
            let (content_type, body, end) = long_body(form, &pieces);
            assert!(body.len() > HELD_WHOLE);
            for (coding, step) in [("", 999), ("", 16_384), ("gzip", 4096)] {
                let sent = if coding.is_empty() {
                    body.clone().into_bytes()
                } else {
                    gzip(body.as_bytes())
                };
                let (left, result) = through(
                    kind(content_type, coding),
                    BodyLength::Exact(1 << 20),
                    &sent,
                    step,
                );
                assert!(
                    matches!(result, Err(Refused::Found(_))),
                    "{form} {pieces:?} {coding}: {result:?}"
                );
                assert!(left.len() < end && left.len() < sent.len(), "{form} {coding}");
            }
        }
        let (content_type, body, _) = long_body(form, &["nothing", "at", "all"]);
        let (left, result) = through(
            kind(content_type, ""),
            exact(body.as_bytes()),
            body.as_bytes(),
            999,
        );
        assert_eq!((left.len(), result), (body.len(), Ok(())), "{form}");
    }
}

#[test]
fn a_token_in_hexadecimal_is_found_in_a_value_of_a_long_body() {
    let token = hex::encode("q7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXoQ5vT");
    for form in ["json", "lines", "form", "parts"] {
        let (content_type, body, end) = long_body(form, &["a", &token]);
        for step in [100, 16_384] {
            let (left, result) = through(
                kind(content_type, ""),
                BodyLength::Exact(1 << 20),
                body.as_bytes(),
                step,
            );
            assert!(matches!(result, Err(Refused::Found(_))), "{form}: {result:?}");
            assert!(left.len() < end);
        }
    }
}

#[test]
fn a_body_that_never_ends_takes_little_memory_and_leaves_as_it_comes() {
    for (content_type, beginning, more) in [
        ("application/json", "[\"", "no end of it"),
        ("application/json", "[", "\"value\","),
        ("application/x-www-form-urlencoded", "a=", "no+end+of+it"),
        (
            "multipart/form-data; boundary=xx",
            "--xx\r\n\r\n",
            "no end of it\r\n-",
        ),
        ("text/plain", "", "0123456789abcdef"),
    ] {
        let examiner = examiner();
        let verdicts = Verdicts::new(&examiner, true);
        let length = BodyLength::Unknown;
        let mut looking = RequestBody::new(examiner, verdicts, kind(content_type, ""), length, &room());
        let (mut sent, mut left) = (0, 0);
        let more = more.repeat(10_000 / more.len());
        for piece in std::iter::once(beginning).chain(std::iter::repeat_n(more.as_str(), 100)) {
            let mut released = Released::default();
            looking
                .take(Bytes::copy_from_slice(piece.as_bytes()), &mut released)
                .unwrap();
            sent += piece.len();
            left += released.map(|piece| piece.len()).sum::<usize>();
        }
        assert!(sent - left <= 16_384, "{content_type}: {} held", sent - left);
    }
}

#[test]
fn what_goes_on_in_a_pair_without_a_sign_never_leaves_whole() {
    let secret = secret();
    let (first, second) = secret.split_at(9);
    let (content_type, mut body, _) = long_body("form", &["x", first]);
    body.push('&');
    let end = body.len() + second.len();
    // Neither a name nor a value, as far as it has come.
    body.push_str(second);
    body.push_str(&"!".repeat(20_000));
    for step in [500, 5000, 30_000] {
        let length = BodyLength::Exact(1 << 20);
        let (left, result) = through(kind(content_type, ""), length, body.as_bytes(), step);
        assert!(matches!(result, Err(Refused::Found(_))), "{step}: {result:?}");
        assert!(left.len() < end, "{step}");
    }
}

#[test]
fn messages_in_json_behind_their_lengths_pass_and_their_values_are_put_together() {
    let message = |first: &str, second: &str| {
        let text =
            serde_json::to_vec(&serde_json::json!({"a": first, "b": second, "c": "x".repeat(180)})).unwrap();
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        assert!(length[3] >= 0x80, "no UTF-8");
        [&[0], &length[..], &text].concat()
    };
    let secret = secret();
    let clean = message("one", "two").repeat(3);
    let leak = message(&secret[..9], &secret[9..]);
    for content_type in ["application/connect+json", "application/grpc+json"] {
        let (left, result) = through(kind(content_type, ""), BodyLength::Unknown, &clean, 100);
        assert_eq!((left, result), (clean.clone(), Ok(())));
        let (_, result) = through(kind(content_type, ""), BodyLength::Unknown, &leak, 100);
        assert!(matches!(result, Err(Refused::Found(_))), "{result:?}");
    }
}

#[test]
fn the_head_of_a_part_is_as_long_as_it_may_be_however_it_comes() {
    for (length, passes) in [(16_000, true), (17_000, false)] {
        let head = format!("X-A: {}\r\n\r\n", "a".repeat(length));
        let body = format!("--x\r\n{head}text\r\n--x--\r\n");
        for step in [100, 1 << 20] {
            let mixed = kind("multipart/mixed; boundary=x", "");
            let (_, result) = through(mixed, exact(body.as_bytes()), body.as_bytes(), step);
            assert_eq!(result.is_ok(), passes, "{length} {step}: {result:?}");
        }
    }
}

#[test]
fn the_head_of_a_part_without_an_end_is_refused() {
    let body = [&b"--x\r\nX-A: "[..], &b"a".repeat(100_000)].concat();
    let (_, result) = through(kind("multipart/mixed; boundary=x", ""), exact(&body), &body, 1000);
    assert_eq!(
        result,
        Err(Refused::Malformed("the head of one of its parts is too long"))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn of_values_put_together_the_last_byte_never_leaves(
        form in 0..FORMS.len(), cut in 1..19usize, step in 500..9000usize
    ) {
        let secret = secret();
        let (first, second) = secret.split_at(cut);
        let (content_type, body, end) = long_body(FORMS[form], &["x", first, second]);
        let (left, result) = through(kind(content_type, ""), BodyLength::Exact(1 << 20), body.as_bytes(), step);
        prop_assert!(matches!(result, Err(Refused::Found(_))));
        prop_assert!(left.len() < end);
    }

    #[test]
    fn of_a_secret_in_a_stream_the_last_byte_never_leaves(at in 0..72_000usize, step in 1000..40_000usize, coded in any::<bool>()) {
        let secret = secret();
        let mut body = long_text();
        let at = at.min(body.len());
        body.splice(at..at, format!(" {secret} ").into_bytes());
        let sent = if coded { gzip(&body) } else { body.clone() };
        let encoding = if coded { "gzip" } else { "" };
        let (left, result) = through(kind("text/plain", encoding), BodyLength::Unknown, &sent, step);
        prop_assert!(matches!(result, Err(Refused::Found(_))));
        prop_assert!(sent.starts_with(&left));
        if !coded {
            prop_assert!(left.len() < at + 1 + secret.len());
        }
    }

    #[test]
    fn a_clean_body_leaves_as_it_came(step in 100..40_000usize, lines in 0..1000usize, unknown in any::<bool>()) {
        let mut body = long_text();
        body.truncate(lines * 71);
        let length = if unknown { BodyLength::Unknown } else { exact(&body) };
        let (left, result) = through(kind("text/plain", ""), length, &body, step);
        prop_assert_eq!(result, Ok(()));
        prop_assert!(left == body);
    }
}
