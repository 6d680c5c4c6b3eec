//! The demo's rows about what leaves: a secret in every dress is stopped, and ordinary work passes.

use super::session::Answer;
use super::{Rows, answer};
use crate::internet::Internet;
use crate::upstream::MESSAGE;
use rand::Rng as _;
use rand::distr::{Alphanumeric, SampleString as _};
use std::collections::BTreeMap;

/// What must not leave.
pub(super) struct Secrets {
    /// A token as a public service gives it out; a literal of the agent's environment.
    pub(super) of_a_format: String,
    /// A password without any format, the agent's own by the operator's choice: known to the seat by its value alone.
    pub(super) own: String,
}

impl Secrets {
    pub(super) fn draw() -> Self {
        let mut random = rand::rng();
        Self {
            of_a_format: format!("glpat-{}", Alphanumeric.sample_string(&mut random, 20)),
            own: format!("correct-horse-{:016x}", random.random::<u64>()),
        }
    }
}

/// Where these rows send to.
const PATHS: [&str; 5] = ["/leak", "/leak-late", "/socket", "/clean-upload", "/conversation"];

/// Whether a request is one of these rows'.
pub(super) fn is_told_apart(target: &str) -> bool {
    PATHS.contains(&target.split('?').next().unwrap_or_default())
}

/// What an agent says to a model: tool schemas, blocks of text, code.
pub(super) fn conversation() -> String {
    let tool = |name: &str| {
        serde_json::json!({
            "name": name, "description": "Reads or writes a text object of the given type",
            "input_schema": {"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}, "required": ["path"]},
        })
    };
    let block = |number: usize| {
        serde_json::json!({
            "role": if number.is_multiple_of(2) { "user" } else { "assistant" },
            "content": [{"type": "text", "text": format!(
                "Step {number}: `let token = std::env::var(\"API_TOKEN\")?;` reads the credential; the test in session_{number}.rs \
                 fixes the base64 of an empty body, 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=."
            )}],
        })
    };
    let tools = ["read", "write", "search", "run"].map(tool);
    serde_json::json!({
        "model": "any", "max_tokens": 1024,
        "tools": tools,
        "messages": (0..12).map(block).collect::<Vec<_>>(),
    })
    .to_string()
}

pub(super) fn rows(
    rows: &mut Rows,
    answers: &BTreeMap<String, Answer>,
    internet: &Internet,
) -> anyhow::Result<()> {
    for (name, tried) in [
        ("leak-url", "a token in the URL"),
        ("leak-header", "… in a header"),
        ("leak-json", "… in a JSON body"),
        ("leak-base64", "… in base64"),
        ("leak-gzip", "… in a gzip body"),
        ("leak-chunks", "… half in one chunk, half in the next"),
        ("leak-own", "the agent's own secret, in base64 in JSON"),
    ] {
        let (status, said) = answer(answers, name);
        let refused = status == "403" && said.contains("\"denied_by\":\"pipelock\"");
        rows.add(tried, "403 by pipelock", format!("{status} {said}"), refused);
    }
    let whole = internet.seen()?;
    let arrived = whole
        .iter()
        .filter(|seen| seen.path() == "/leak" || seen.path() == "/leak-late")
        .count();
    let (status, _) = answer(answers, "leak-late");
    rows.add(
        "… behind a megabyte of a stream, and all of these upstream",
        "no request arrives whole",
        format!("{status}, {arrived} whole requests"),
        arrived == 0 && status != "200",
    );
    let told = |name: &str| answer(answers, name);
    let (status, said) = told("websocket");
    rows.add(
        "a WebSocket, two messages",
        "101, both come back",
        format!("{status} {said}"),
        status == "101" && said.contains("how are you"),
    );
    let messages = internet
        .seen_at("/socket")?
        .iter()
        .filter(|seen| seen.method == MESSAGE)
        .count();
    let (status, _) = told("leak-websocket");
    rows.add(
        "a WebSocket, the token in its second message",
        "cut; three messages in all arrived",
        format!("{status}, {messages} messages"),
        messages == 3,
    );
    let (status, said) = told("clean-upload");
    rows.add(
        "an upload of 20 MB of random bytes",
        "200, all bytes arrived",
        format!("{status} {said}"),
        status == "200" && said.contains("\"body_bytes\":20000000"),
    );
    let (status, said) = told("conversation");
    let length = conversation().len();
    rows.add(
        "a conversation with a model",
        "200, all bytes arrived",
        format!("{status} {said}"),
        status == "200" && said.contains(&format!("\"body_bytes\":{length}")),
    );
    Ok(())
}
