//! What an agent may write a secret as, in every place of a request: a table of carriers, each found in all of them.
//!
//! Every carrier is made at run time, of tokens that a rule knows by their form and of a value of the agent's environment, which
//! nothing but the value gives away. What is not found is listed by name, so that a limit is a decision and a mended one is seen.

mod writings;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use guard::held::Budget;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use mitm::{BodyLength, Inspector as _, MessageInspector as _, Released};
use pipelock_config::{DlpFile, PipelockFile};
use secrets::known::KnownValues;

use crate::body::{self, Kind, RequestBody, Room};
use crate::encoding::Windows;
use crate::examiner::Examiner;
use crate::head;
use crate::messages::Messages;
use crate::permit::Verdicts;
use crate::policy::CompiledPolicy;
use writings::{KNOWN_ALONE, LIMITS, WRITINGS};

/// The tokens, put together so that this file holds none.
fn tokens() -> [String; 3] {
    [
        format!("ghp_{}", "q7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXo"),
        format!("AKIA{}", "QYLPMN5HFIQR7XYA"),
        format!(
            "sk-ant-api03-{}AA",
            "q7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXoQ5vTk7Wz0RbNq7Zt0KxV2mB9rLwE4nYcU6sH8pDaF1gJ3iXoQ5vTk7Wz0Rb"
        ),
    ]
}

/// A value of the agent's environment.
const VALUE: &str = "Zq3-pL9vT2xW7_mK4dRn8sY1";

fn examiner() -> Examiner {
    static POLICY: LazyLock<Arc<CompiledPolicy>> = LazyLock::new(|| {
        let text = "mode: strict\napi_allowlist: [a.example]\ntls_interception: {enabled: true}\nrequest_body_scanning: {action: \
                    block}\nfetch_proxy: {monitoring: {max_url_length: 20000}}\n";
        let seat = PipelockFile::parse(text.as_bytes()).unwrap().seat().unwrap();
        let mut known = KnownValues::builder();
        let value = zeroize::Zeroizing::new(VALUE.as_bytes().to_vec());
        known.add("BOTTLE_ENV_SECRET_0", value).unwrap();
        Arc::new(CompiledPolicy::compile(seat, DlpFile::absent(), &known.build()).unwrap())
    });
    Examiner::new(POLICY.clone(), "a.example")
}

/// Where a text is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Raw,
    /// A body that comes in pieces, as long ones do: whether it is refused, and that it never leaves whole.
    Streamed,
    Json,
    Form,
    Query,
    Header,
    Message,
    JsonMessage,
}

const PLACES: [Place; 8] = [
    Place::Raw,
    Place::Streamed,
    Place::Json,
    Place::Form,
    Place::Query,
    Place::Header,
    Place::Message,
    Place::JsonMessage,
];

// === impl Place ===

impl Place {
    /// Whether `text` is refused here; none if it cannot be put here.
    fn refuses(self, text: &[u8]) -> Option<bool> {
        let utf8 = std::str::from_utf8(text).ok();
        Some(match self {
            Self::Raw => judge("text/plain", text),
            Self::Streamed => streamed(
                "text/plain",
                &[b"Here it is:\n", text, b"\nThat was it.\n"].concat(),
            ),
            Self::Json => judge("application/json", json(utf8?).as_bytes()),
            Self::Form => judge(
                "application/x-www-form-urlencoded",
                format!("a=1&text={}&b=2", percent(text)).as_bytes(),
            ),
            Self::Query => {
                let target = format!("/collect?a=1&text={}&b=2", percent(text));
                head::url(&examiner(), target.as_bytes()).is_err()
            }
            Self::Header => {
                let mut headers = HeaderMap::new();
                headers.insert(
                    HeaderName::from_static("x-data"),
                    HeaderValue::from_bytes(text).ok()?,
                );
                head::headers(&examiner(), &headers).is_err()
            }
            Self::Message => !messages(&[text]),
            Self::JsonMessage => !messages(&[json(utf8?).as_bytes()]),
        })
    }
}

fn json(text: &str) -> String {
    serde_json::json!({"model": "m", "note": {"text": text}, "n": 7}).to_string()
}

fn percent(text: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.iter()
        .map(|&byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn kind(content_type: &'static str) -> Kind {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Kind::of(&headers).unwrap()
}

fn judge(content_type: &'static str, body: &[u8]) -> bool {
    body::judge(&examiner(), kind(content_type), Bytes::copy_from_slice(body)).is_err()
}

/// Sends a body of unknown end in small pieces. A refused one never left whole.
fn streamed(content_type: &'static str, body: &[u8]) -> bool {
    let room = Room {
        held: Budget::new(body::HELD_WHOLE),
        windows: Windows::default(),
    };
    let examiner = examiner();
    let verdicts = Verdicts::new(&examiner, false);
    let mut looking = RequestBody::new(
        examiner,
        verdicts,
        kind(content_type),
        BodyLength::Exact(1 << 40),
        &room,
    );
    for piece in body.chunks(13) {
        let mut released = Released::default();
        if looking
            .push(Bytes::copy_from_slice(piece), &mut released)
            .is_err()
        {
            return true;
        }
    }
    looking.finish(&mut Released::default()).is_err()
}

/// Sends messages one by one; whether all may go.
fn messages(all: &[&[u8]]) -> bool {
    let examiner = examiner();
    let verdicts = Verdicts::new(&examiner, true);
    let mut messages = Messages::new(examiner, verdicts, &Budget::new(1 << 20));
    all.iter().all(|message| {
        let mut released = Released::default();
        messages
            .push(Bytes::copy_from_slice(message), &mut released)
            .is_ok()
            && messages.message_end(&mut released).is_ok()
    })
}

/// What gets through of a text, by place, as `name: places`.
fn escapes(name: &str, kind: &str, text: &[u8]) -> Option<String> {
    let through: Vec<String> = PLACES
        .iter()
        .filter(|place| place.refuses(text) == Some(false))
        .map(|place| format!("{place:?}"))
        .collect();
    (!through.is_empty()).then(|| format!("{name} / {kind}: {}", through.join(" ")))
}

#[test]
fn a_secret_is_found_in_every_writing_and_place() {
    let mut through = Vec::new();
    for (name, write) in WRITINGS {
        for (at, token) in tokens().iter().enumerate() {
            if !KNOWN_ALONE.contains(&name) {
                through.extend(escapes(name, &format!("token {at}"), &write(token)));
            }
        }
        through.extend(escapes(name, "value", &write(VALUE)));
    }
    let unexpected: Vec<&String> = through
        .iter()
        .filter(|one| !LIMITS.iter().any(|limit| one.starts_with(limit)))
        .collect();
    assert!(
        unexpected.is_empty(),
        "{} get through:\n{unexpected:#?}",
        unexpected.len()
    );
    for limit in LIMITS {
        assert!(
            through.iter().any(|one| one.starts_with(limit)),
            "{limit} is no limit any more"
        );
    }
}

#[test]
fn a_secret_in_parts_is_found_whatever_is_between_them() {
    for secret in tokens().into_iter().chain([VALUE.to_owned()]) {
        let parts: Vec<&str> = secret
            .as_bytes()
            .chunks(9)
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect();
        let numbered = || (1..).zip(&parts);
        let write = |write: fn((i32, &&str)) -> String, between: &str| {
            numbered().map(write).collect::<Vec<_>>().join(between)
        };
        let object = |(number, part): (i32, &&str)| {
            format!("{{\"seq\":{number},\"type\":\"chunk\",\"d\":\"{part}\"}}")
        };
        assert!(
            judge("application/json", format!("[{}]", write(object, ",")).as_bytes()),
            "array"
        );
        assert!(
            judge("application/x-ndjson", write(object, "\n").as_bytes()),
            "lines"
        );
        let all: Vec<String> = numbered().map(object).collect();
        let all: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
        assert!(!messages(&all), "messages");
        let pair = |(number, part): (i32, &&str)| format!("d{number}={part}&n{number}=word");
        let form = write(pair, "&");
        assert!(
            judge("application/x-www-form-urlencoded", form.as_bytes()),
            "form"
        );
        assert!(
            head::url(&examiner(), format!("/x?{form}").as_bytes()).is_err(),
            "query"
        );
        let segments = write(|(_, part)| format!("/{part}"), "");
        assert!(head::url(&examiner(), segments.as_bytes()).is_err(), "path");
        let among = write(|(_, part)| format!("/part/{part}"), "");
        assert!(
            head::url(&examiner(), among.as_bytes()).is_err(),
            "path, others between"
        );
        let header = |pairs: &[(String, String)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                );
            }
            head::headers(&examiner(), &headers).is_err()
        };
        let own: Vec<_> = numbered()
            .map(|(number, part)| (format!("x-part-{number}"), (*part).to_owned()))
            .collect();
        assert!(header(&own), "headers");
        let among = |(name, value): &(String, String)| {
            [
                (name.clone(), value.clone()),
                (format!("x-of-{name}"), "word".to_owned()),
            ]
        };
        assert!(
            header(&own.iter().flat_map(among).collect::<Vec<_>>()),
            "headers, others between"
        );
        let cookie = write(|(number, part)| format!("c{number}={part}; s{number}=word"), "; ");
        assert!(header(&[("cookie".to_owned(), cookie)]), "cookie");
    }
}

#[test]
fn the_same_writings_of_ordinary_text_are_let_through() {
    // As long as a token, of the same characters.
    for text in [
        "the_quick-brown_fox-jumps_over_the_lazy_dog",
        "Some words, and 12 more of them: 3.14159",
    ] {
        for (name, write) in WRITINGS {
            for place in PLACES {
                assert_ne!(place.refuses(&write(text)), Some(true), "{name} {place:?}");
            }
        }
    }
}
