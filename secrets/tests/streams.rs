//! What is found does not depend on how the bytes arrive, and of what is found the last byte never leaves.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod support;

use proptest::prelude::*;
use secrets::{Decoding, Finding, Options, RuleSet, Scanner, Setting, without_repeats};
use std::sync::LazyLock;
use support::{Random, fill};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(RuleSet::built_in().unwrap()).unwrap());

/// Texts between secrets: code, prose, markup, escapes, numbers, runs that are nearly encodings, raw bytes.
const FILLERS: [&str; 24] = [
    "\n",
    " ",
    "token = ",
    "\"key\": \"",
    "Authorization: Bearer ",
    "%3D",
    "\\n",
    "\\u003d",
    "&#61;",
    "=",
    "; let x = 12345;\n",
    "the quick brown fox jumps over the lazy dog and about above abuse access account ",
    "4111 1111 1111 1112 ",
    "2026-11-21 ",
    "MissingConstructorArgumentException/SomethingElseEntirely",
    "0123456789abcdef0123456789abcdef",
    "deadbeef ",
    "\u{200b}",
    "Привет, мир ",
    "-----BEGIN ",
    "password=",
    "{\"a\":{\"b\":[1,2,3]}}",
    "////////",
    "\u{0}\u{0}",
];

fn secret(seed: u64) -> Vec<u8> {
    let templates = [
        "ghp_{github}",
        "sk-ant-api03-{b64url:93}AA",
        "AKIA{base32:16}",
        "card: 4111 1111 1111 1111",
        "GB82 WEST 1234 5698 7654 32",
        "{phrase:12}",
        "{pem:RSA PRIVATE}",
        "eyJ{base62:33}.eyJ{base62:70}.{b64url:43}",
        "aws_secret_access_key = {b64:40}",
        "api_key = \"{base62:32}\"",
        "postgres://app:{base62:14}@db.example/app",
        "{digits:10}:AA{base62:33}",
        "MTA{base62:21}.{b64url:6}.{base62:38}",
        "ssn: 219-09-9999",
        "{wif}",
        "token=ghp_{base62:30}",
    ];
    let mut random = Random(seed);
    fill(templates[(seed % templates.len() as u64) as usize], &mut random).into_bytes()
}

/// `text` in one of the forms that the scanner undoes.
fn encoded(text: &[u8], how: usize) -> Vec<u8> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    match how {
        0 => STANDARD.encode(text).into_bytes(),
        1 => URL_SAFE_NO_PAD.encode(text).into_bytes(),
        2 => hex::encode(text).into_bytes(),
        3 => text
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<Vec<_>>()
            .join(":")
            .into_bytes(),
        4 => text
            .iter()
            .flat_map(|b| format!("%{b:02X}").into_bytes())
            .collect(),
        5 => text
            .iter()
            .flat_map(|b| format!("\\u{b:04x}").into_bytes())
            .collect(),
        6 => text.iter().flat_map(|&b| [b, 0]).collect(),
        7 => support::base32(text).into_bytes(),
        8 => {
            let mut out = Vec::new();
            let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
            std::io::Write::write_all(&mut encoder, text).unwrap();
            encoder.finish().unwrap();
            out
        }
        9 => {
            let base64 = STANDARD.encode([text, text, text].concat());
            base64
                .as_bytes()
                .chunks(76)
                .collect::<Vec<_>>()
                .join(&b"\r\n"[..])
        }
        10 => zstd::bulk::compress(text, 3).unwrap(),
        12 => text
            .iter()
            .flat_map(|b| format!("\\{b:03o}").into_bytes())
            .collect(),
        13 => [b"f".to_vec(), hex::encode(text).into_bytes()].concat(),
        14 => text
            .iter()
            .flat_map(|b| format!("\\u{{{b:x}}}").into_bytes())
            .collect(),
        _ => text.to_vec(),
    }
}

/// Shown in a form that can be read.
#[derive(Clone)]
struct Document(Vec<u8>);

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl std::ops::Deref for Document {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn document() -> impl Strategy<Value = Document> {
    let piece = prop_oneof![
        3 => (0..FILLERS.len()).prop_map(|index| FILLERS[index].as_bytes().to_vec()),
        2 => (any::<u64>(), 0usize..20).prop_map(|(seed, how)| encoded(&secret(seed), how)),
        1 => (any::<u64>(), 0usize..11, 0usize..11).prop_map(|(seed, a, b)| encoded(&encoded(&secret(seed), a), b)),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(prop::sample::select(b"%\\u0041&#x;\xe2\x80\x8b=:/ \n\"'-_aZ9".to_vec()), 0..60),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| Document(pieces.concat()))
}

fn in_container(finding: &Finding) -> bool {
    finding.decoded.steps().any(|step| {
        matches!(
            step,
            Decoding::Gzip | Decoding::Zip | Decoding::Pdf | Decoding::Zstd
        )
    })
}

/// What is the same however the bytes came. Where compressed data holds a finding is known as well as its chunks
/// were small; and whether a secret is told once more for a decoding that does not change it depends on which of
/// the two readings is done first.
fn told(findings: &[Finding]) -> Vec<String> {
    let again = |f: &Finding| {
        findings.iter().any(|other| {
            let mut rest = f.decoded.steps();
            other.rule == f.rule
                && other.fingerprint == f.fingerprint
                && other.decoded.steps().count() < f.decoded.steps().count()
                && other.decoded.steps().all(|step| rest.any(|own| own == step))
        })
    };
    let span = |f: &Finding| {
        if in_container(f) {
            String::new()
        } else {
            format!("{:?}", f.span)
        }
    };
    let show = |f: &Finding| {
        format!(
            "{} {:?} {} {} {:?}",
            f.rule,
            f.confidence,
            span(f),
            f.decoded,
            f.fingerprint
        )
    };
    let mut all: Vec<String> = findings.iter().filter(|f| !again(f)).map(show).collect();
    all.sort();
    all.dedup();
    all
}

fn options() -> Options {
    let mut options = Options::new(Setting::Traffic);
    options.fingerprint_key = Some(b"a key".to_vec().into());
    options
}

/// The findings of a stream, and how much had left before each was told.
fn stream<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Finding, u64)> {
    let mut stream = SCANNER.stream(&options());
    let (mut all, mut fresh) = (Vec::new(), Vec::new());
    let (mut pushed, mut left) = (0u64, 0u64);
    for chunk in chunks {
        let hold = stream.push(chunk, &mut fresh).unwrap();
        all.extend(fresh.drain(..).map(|finding| (finding, left)));
        pushed += chunk.len() as u64;
        assert!(hold as u64 <= pushed);
        left = left.max(pushed - hold as u64);
    }
    stream.finish(&mut fresh).unwrap();
    all.extend(fresh.drain(..).map(|finding| (finding, left)));
    all
}

/// `text` in pieces of these sizes, over and over.
fn in_chunks<'a>(text: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut chunks) = (text, Vec::new());
    for size in sizes.iter().cycle() {
        let (head, tail) = rest.split_at(rest.len().min(*size));
        chunks.push(head);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_does_not_depend_on_the_chunks(text in document(), sizes in prop::collection::vec(1usize..90, 1..5)) {
        let whole: Vec<Finding> = stream([&text[..]]).into_iter().map(|(finding, _)| finding).collect();
        let parts: Vec<Finding> = stream(in_chunks(&text, &sizes)).into_iter().map(|(finding, _)| finding).collect();
        prop_assert_eq!(told(&whole), told(&parts));
        let by_byte: Vec<Finding> = stream(text.chunks(1)).into_iter().map(|(finding, _)| finding).collect();
        prop_assert_eq!(told(&whole), told(&by_byte));
    }

    #[test]
    fn the_last_byte_of_a_finding_has_not_left_when_it_is_told(text in document(), size in 1usize..60) {
        for (finding, left) in stream(text.chunks(size)) {
            prop_assert!(finding.span.end <= text.len() as u64);
            prop_assert!(finding.span.start < finding.span.end);
            // Compressed data in the neighbourhood of an escape that is behind it is undone once more.
            let again = in_container(&finding) && finding.decoded.steps().any(|step| step == Decoding::Escapes);
            prop_assert!(again || left < finding.span.end, "{} {:?} {left} {}", finding.rule, finding.span, finding.decoded);
        }
    }

    #[test]
    fn any_bytes_are_taken(text in prop::collection::vec(any::<u8>(), 0..2000)) {
        let findings = SCANNER.scan(&text, &options()).unwrap();
        for finding in findings {
            prop_assert!(finding.span.end <= text.len() as u64);
        }
    }

    #[test]
    fn dropping_repeats_drops_no_place(text in document()) {
        let all: Vec<Finding> = stream([&text[..]]).into_iter().map(|(finding, _)| finding).collect();
        let mut kept = all.clone();
        without_repeats(&mut kept);
        for finding in all {
            let covered = |other: &Finding| {
                other.span.start < finding.span.end && finding.span.start < other.span.end && other.confidence >= finding.confidence
            };
            prop_assert!(kept.iter().any(covered));
        }
    }
}

/// Numbers and tokens among text in which they may begin, end or go on, and escapes that may be part of them.
fn numbers_among_escapes() -> impl Strategy<Value = Document> {
    const NUMBERS: [&str; 7] = [
        "4111 1111 1111 1111",
        "4111111111111111",
        "5555-5555-5555-4444",
        "GB82 WEST 1234 5698 7654 32",
        "DE89370400440532013000",
        "219-09-9999",
        "3782 822463 10005",
    ];
    const ESCAPES: [&str; 16] = [
        "%20", "%2", "%31", "%", "\\n", "\\u0031", "\\u00", "\\", "&#49;", "&#4", "&amp;", "\u{200b}",
        "\u{430}", "\\x31", "1\0 \0", "\u{ff11}",
    ];
    let number = (
        prop::sample::select(&NUMBERS[..]),
        0usize..4,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    );
    let number = number.prop_map(|(number, how, places)| {
        let mut bytes = number.as_bytes().to_vec();
        match how {
            // One or two of its characters are written otherwise.
            1 => places.iter().for_each(|place| {
                let at = place.index(bytes.len());
                let byte = bytes[at];
                bytes.splice(at..=at, format!("%{byte:02x}").into_bytes());
            }),
            2 => places.iter().for_each(|place| {
                let at = place.index(bytes.len());
                bytes.splice(at..at, "\u{200b}".bytes());
            }),
            3 => bytes = bytes.iter().flat_map(|&byte| [byte, 0]).collect(),
            _ => {}
        }
        bytes
    });
    let piece = prop_oneof![
        3 => number,
        3 => prop::sample::select(&ESCAPES[..]).prop_map(|escape| escape.as_bytes().to_vec()),
        3 => "[ -~]{0,12}".prop_map(String::into_bytes),
        2 => "[0-9 .-]{0,40}".prop_map(String::into_bytes),
        1 => "[ -~]{100,400}".prop_map(String::into_bytes),
        1 => any::<u64>().prop_map(|seed| secret(seed % 64)),
        1 => any::<u64>().prop_map(|seed| encoded(&secret(seed % 64), (seed / 64 % 10) as usize)),
    ];
    prop::collection::vec(piece, 1..10).prop_map(|pieces| Document(pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_last_byte_of_a_number_has_not_left_when_it_is_told(
        text in numbers_among_escapes(),
        sizes in prop::collection::vec(1usize..60, 1..8),
    ) {
        for (finding, left) in stream(in_chunks(&text, &sizes)) {
            let again = in_container(&finding) && finding.decoded.steps().any(|step| step == Decoding::Escapes);
            prop_assert!(again || left < finding.span.end, "{} {:?} {left} {}", finding.rule, finding.span, finding.decoded);
        }
    }
}

#[test]
fn a_number_behind_a_few_digits_that_are_not_settled_is_held() {
    let text = b"5555-5555-5555-4444DE89370400440532013000%204111 1111 1111 %31111";
    let told = stream(text.chunks(1));
    assert!(told.iter().any(|(finding, _)| finding.span == (44..65)));
    assert!(told.iter().all(|(finding, left)| *left < finding.span.end));
}

#[test]
fn a_token_in_any_writing_of_its_bytes_is_found() {
    for how in (0..=14).filter(|how| *how != 11) {
        let text = [b"x \"", &encoded(&secret(0), how)[..], b"\" y"].concat();
        let told = stream(text.chunks(7));
        assert!(
            told.iter()
                .any(|(finding, _)| &*finding.rule == "github-personal-token" && finding.blocks()),
            "{how}"
        );
    }
}

#[test]
fn an_escape_far_behind_another_is_looked_at_as_soon_as_it_comes() {
    let text = [
        &b"%41"[..],
        &b"a ".repeat(190),
        b"%34111 1111 1111 1111' and more",
    ]
    .concat();
    let told = stream(text.chunks(1));
    assert!(told.iter().any(|(finding, _)| &*finding.rule == "card-number"));
    assert!(told.iter().all(|(finding, left)| *left < finding.span.end));
}

#[test]
fn a_secret_is_found_wherever_a_stream_is_cut_in_two() {
    for (seed, how) in (0..16).flat_map(|seed| [(seed, 11), (seed, (seed % 11) as usize)]) {
        let text = [b"value: \"", &encoded(&secret(seed), how)[..], b"\", and more"].concat();
        let whole: Vec<Finding> = stream([&text[..]])
            .into_iter()
            .map(|(finding, _)| finding)
            .collect();
        for at in 0..=text.len() {
            let (head, tail) = text.split_at(at);
            let cut: Vec<Finding> = stream([head, tail])
                .into_iter()
                .map(|(finding, _)| finding)
                .collect();
            assert_eq!(told(&whole), told(&cut), "{seed} {how} {at}");
        }
    }
}

#[test]
fn an_ordinary_event_leaves_at_once() {
    let mut stream = SCANNER.stream(&options());
    let mut findings = Vec::new();
    for event in [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",\"usage\":{\"input_tokens\":25}}}\n\n",
        "data: {\"delta\":{\"text\":\"The token is kept in the password field, so access\"}}\n\n",
        "data: {\"text\":\"about above abuse access\"}\n\n",
        ": keep-alive 1234567890\n\n",
    ] {
        assert_eq!(stream.push(event.as_bytes(), &mut findings), Ok(0), "{event}");
    }
    assert_eq!(findings, []);
}

#[test]
fn what_may_be_the_next_line_of_base64_is_held_until_that_is_known() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let token = String::from_utf8(secret(2)).unwrap();
    for (width, between) in [
        (32, "\n"),
        (36, "\\n"),
        (40, " "),
        (44, "\r\n    "),
        (56, "\\r\\n"),
    ] {
        // The token lies within the second line, or ends there.
        for before in width / 4 * 3 - 6..width / 4 * 3 + 12 {
            let text = STANDARD.encode(format!(
                "{} {token} and what follows it, which is of some length, for a third line of them",
                "a".repeat(before)
            ));
            let lines: Vec<_> = text.as_bytes().chunks(width).collect();
            let text = lines.join(between.as_bytes());
            let told = stream(text.chunks(1));
            assert!(!told.is_empty(), "{width} {before}");
            assert!(
                told.iter().all(|(finding, left)| *left < finding.span.end),
                "{width} {before}"
            );
        }
    }
}

/// What each rule finds in its example behind `offset` other bytes, moved back to the beginning.
fn found_behind(offset: usize, example: &str, rule: &str, size: usize) -> Vec<String> {
    let before = &b"a b c. ".repeat(20)[..offset];
    let text = [before, b"\n", example.as_bytes(), b"\n and more of it"].concat();
    let show = |finding: &Finding| {
        let (start, end) = (finding.span.start, finding.span.end);
        format!(
            "{:?} {}..{} {}",
            finding.confidence,
            start - offset as u64,
            end - offset as u64,
            finding.decoded
        )
    };
    let told = stream(text.chunks(size));
    let mut own: Vec<String> = told
        .iter()
        .filter(|(finding, _)| *finding.rule == *rule)
        .map(|(finding, left)| {
            assert!(*left < finding.span.end, "{rule} {offset} {size}");
            show(finding)
        })
        .collect();
    own.sort();
    own.dedup();
    own
}

#[test]
fn every_rule_finds_its_examples_at_every_place_of_a_block_and_in_chunks_of_any_size() {
    const BLOCK: usize = 64;
    let rules = RuleSet::built_in().unwrap();
    for rule in rules.rules() {
        for template in &rule.examples {
            let example = fill(template, &mut Random(template.len() as u64 * 31));
            let expected = found_behind(0, &example, &rule.id, usize::MAX);
            assert!(!expected.is_empty(), "{}: {example}", rule.id);
            let places = (1..=BLOCK).map(|offset| (offset, usize::MAX));
            let sizes = [1, 2, 11, BLOCK - 1, BLOCK, BLOCK + 1].into_iter();
            for (offset, size) in places.chain(sizes.flat_map(|size| [(0, size), (37, size)])) {
                let found = found_behind(offset, &example, &rule.id, size);
                assert_eq!(found, expected, "{} {offset} {size}: {example}", rule.id);
            }
        }
    }
}

#[test]
fn a_token_of_which_one_character_is_escaped_is_found_whichever_it_is() {
    let token = secret(0);
    let escapes: [fn(u8) -> String; 4] = [
        |byte| format!("%{byte:02X}"),
        |byte| format!("\\u{byte:04x}"),
        |byte| format!("\\{byte:03o}"),
        |byte| format!("&#{byte};"),
    ];
    for escape in escapes {
        for at in 0..token.len() {
            for before in ["", "%41 and some more "] {
                let mut text = format!("{before}\"").into_bytes();
                text.extend_from_slice(&token[..at]);
                text.extend_from_slice(escape(token[at]).as_bytes());
                text.extend_from_slice(&token[at + 1..]);
                text.extend_from_slice(b"\" and more");
                for size in [1, 7, usize::MAX] {
                    let told = stream(text.chunks(size));
                    let found = |(finding, left): &(Finding, u64)| {
                        &*finding.rule == "github-personal-token"
                            && finding.blocks()
                            && *left < finding.span.end
                    };
                    assert!(told.iter().any(found), "{} {size}", text.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn base64_with_few_of_its_characters_escaped_is_read_over_the_long_way_between_them() {
    let token = String::from_utf8(secret(0)).unwrap();
    // `~` and `?` make a plus and a slash; ordinary letters do not.
    for shift in 0..8 {
        for (long, tail) in [(150, 9), (187, 2), (198, 2), (209, 2), (240, 9), (420, 9)] {
            let plain = format!(
                "{}~~>??{}{token} {}~~>??",
                "x".repeat(shift),
                "some words ".repeat(long / 11),
                "so on ".repeat(tail)
            );
            let form = String::from_utf8(encoded(plain.as_bytes(), 0)).unwrap();
            let text = format!(
                "data={}&a=b",
                form.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
            );
            for size in [1, 100, usize::MAX] {
                let told = stream(text.as_bytes().chunks(size));
                let found = |(finding, _): &(Finding, u64)| {
                    &*finding.rule == "github-personal-token" && finding.blocks()
                };
                assert!(told.iter().any(found), "{shift} {long} {size}: {text}");
            }
        }
    }
}
