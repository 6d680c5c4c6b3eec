//! A scripted model behind the Messages API, for the real Claude Code: it fetches what the prompt names as `FETCH(https://…)`, calls the
//! tool of the refusal's own remedy, waits until it is told that the host is live, fetches again, and says what it saw.
//!
//! It keeps nothing: each request holds the conversation so far, and what is next follows from that alone.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name gives null where there is none; what is written to is an object made here"
)]

use super::answer::{Body, whole};
use super::seen::Seen;
use http::Response;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The tool that asks, as Claude Code names it.
const ASK: &str = "mcp__supervise__egress-block";
/// What the script says in the end.
pub const SAW_IT: &str = "the script saw the page";

/// Whether a request is one for a model.
pub(super) fn is_asked_for(seen: &Seen) -> bool {
    seen.method == "POST" && seen.path().starts_with("/v1/messages")
}

/// The script's next turn.
pub(super) fn answer(seen: &Seen, body: &[u8]) -> Response<Body> {
    if seen.path().ends_with("/count_tokens") {
        return whole("application/json", r#"{"input_tokens":1}"#);
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let block = next(&asked);
    let stop = match block["type"].as_str() {
        Some("tool_use") => "tool_use",
        _ => "end_turn",
    };
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-scripted", "content": [], "stop_reason": null,
        "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1},
    });
    if asked["stream"] == true {
        return whole("text/event-stream", events(&message, &block, stop));
    }
    let mut message = message;
    message["content"] = json!([block]);
    message["stop_reason"] = json!(stop);
    whole("application/json", message.to_string())
}

fn events(message: &Value, block: &Value, stop: &str) -> String {
    let (begun, delta) = if block["type"] == "text" {
        (
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": block["text"]}),
        )
    } else {
        let mut begun = block.clone();
        begun["input"] = json!({});
        let input = block["input"].to_string();
        (begun, json!({"type": "input_json_delta", "partial_json": input}))
    };
    let mut text = String::new();
    for event in [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": begun}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ] {
        let kind = event["type"].as_str().unwrap_or_default();
        let _ = write!(text, "event: {kind}\ndata: {event}\n\n");
    }
    text
}

fn next(asked: &Value) -> Value {
    let say = |text: &str| json!({"type": "text", "text": text});
    let has = |name: &str| {
        let tools = asked["tools"].as_array();
        tools.is_some_and(|tools| tools.iter().any(|tool| tool["name"] == name))
    };
    let said = texts(&asked["messages"]);
    let everything = said.join("\n");
    let url = everything
        .split_once("FETCH(")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(url, _)| url.to_owned());
    let (Some(url), true, true) = (url, has("Bash"), has(ASK)) else {
        return say("waiting");
    };
    let calls = tool_calls(&asked["messages"]);
    let count = |name: &str| calls.iter().filter(|call| call.as_str() == name).count();
    let call = |name: &str, input: Value| {
        let id = format!("toolu_{}", calls.len() + 1);
        json!({"type": "tool_use", "id": id, "name": name, "input": input})
    };
    let fetch = || {
        let command = format!("curl --silent --max-time 20 {url}");
        call(
            "Bash",
            json!({"command": command, "description": "Fetch the page"}),
        )
    };
    if count("Bash") == 0 {
        return fetch();
    }
    if count(ASK) == 0 {
        return match said.iter().find_map(|text| remedy(text)) {
            Some(arguments) => call(ASK, arguments),
            None => say(&format!(
                "the script saw no remedy: {}",
                said.last().map_or("", String::as_str)
            )),
        };
    }
    if !everything.contains("is live since") {
        return say("waiting");
    }
    if count("Bash") == 1 {
        return fetch();
    }
    let saw_it = said.iter().any(|text| text.contains("\"upstream\""));
    say(if saw_it {
        SAW_IT
    } else {
        "the script was refused again"
    })
}

/// The arguments that a refusal tells.
fn remedy(text: &str) -> Option<Value> {
    let at = text.find("{\"denied_by\"")?;
    let mut values = serde_json::Deserializer::from_str(text.get(at..)?).into_iter::<Value>();
    let denial = values.next()?.ok()?;
    denial.pointer("/remedy/arguments").cloned()
}

/// Every text of a conversation, in order; those in tool results, too.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(object) => match (object.get("text"), object.get("content")) {
            (Some(Value::String(text)), _) | (None, Some(Value::String(text))) => vec![text.clone()],
            (_, Some(content)) => texts(content),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn tool_calls(messages: &Value) -> Vec<String> {
    let messages = messages.as_array().into_iter().flatten();
    let blocks = messages
        .filter_map(|message| message["content"].as_array())
        .flatten();
    blocks
        .filter(|block| block["type"] == "tool_use")
        .filter_map(|block| block["name"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(messages: Value) -> Value {
        let tools = json!([{"name": "Bash"}, {"name": ASK}]);
        next(&json!({"messages": messages, "tools": tools}))
    }

    #[test]
    fn the_script_goes_from_refusal_to_question_to_page() {
        let mut messages = json!([{"role": "user", "content": "FETCH(https://a.example/x)"}]);
        let mut add = |block: &Value, result: &str| {
            let list = messages.as_array_mut().unwrap();
            list.push(json!({"role": "assistant", "content": [block]}));
            list.push(json!({"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": result}]}]}));
            turn(messages.clone())
        };
        let first = turn(json!([{"role": "user", "content": "FETCH(https://a.example/x)"}]));
        assert_eq!(
            first["input"]["command"],
            "curl --silent --max-time 20 https://a.example/x"
        );
        let ask = add(
            &first,
            r#"{"denied_by":"egress","remedy":{"tool":"egress-block","arguments":{"host":"a.example"}}}"#,
        );
        assert_eq!(
            (&ask["name"], &ask["input"]),
            (&json!(ASK), &json!({"host": "a.example"}))
        );
        let again = add(&ask, "a.example is live since now");
        assert_eq!(again["name"], "Bash");
        assert_eq!(add(&again, r#"{"upstream":"a.example"}"#)["text"], SAW_IT);
        assert_eq!(next(&json!({"messages": [], "tools": []}))["text"], "waiting");
    }
}
