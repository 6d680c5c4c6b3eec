use super::*;

/// What other programs rely on.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/tools-list.json");

#[test]
fn the_tools_are_those_of_the_golden_file() {
    let listed = serde_json::to_string_pretty(&json!({ "tools": all() })).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs_err::write(GOLDEN, &listed).unwrap();
    }
    assert_eq!(fs_err::read_to_string(GOLDEN).unwrap(), listed);
}

#[test]
fn every_schema_is_strict_at_every_level() {
    fn look(schema: &Value, path: &str) {
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], false, "{path}");
            for (name, property) in schema["properties"].as_object().unwrap() {
                look(property, &format!("{path}.{name}"));
            }
        }
        if schema["type"] == "array" {
            look(&schema["items"], &format!("{path}[]"));
        }
    }
    for tool in all() {
        look(&tool.schema_as_json_value(), &tool.name);
        let output = tool.output_schema.unwrap().as_ref().clone();
        look(&Value::Object(output), &tool.name);
    }
}

fn read(tool: &'static str, arguments: Value) -> Result<Ask, ArgumentsError> {
    let Value::Object(arguments) = arguments else {
        panic!("not an object")
    };
    read_ask(tool, arguments)
}

#[test]
fn wrong_arguments_are_refused_with_what_is_wrong() {
    for (tool, arguments, said) in [
        (EGRESS_BLOCK, json!({}), "missing field `host`"),
        (EGRESS_BLOCK, json!({"host": "a.example"}), "justification"),
        (EGRESS_BLOCK, json!({"host": 1, "justification": "x"}), "integer"),
        (
            EGRESS_BLOCK,
            json!({"host": "*.a.example", "justification": "x"}),
            "*.a.example",
        ),
        (
            EGRESS_BLOCK,
            json!({"host": "10.0.0.1", "justification": "x"}),
            "10.0.0.1",
        ),
        (
            EGRESS_BLOCK,
            json!({"host": "a.example", "justification": "x", "path": "/"}),
            "unknown field `path`",
        ),
        (
            EGRESS_BLOCK,
            json!({"host": "a.example", "justification": "x", "path_allowlist": ["a"]}),
            "a",
        ),
        (
            EGRESS_BLOCK,
            json!({"host": "a.example", "justification": "x", "path_allowlist": null}),
            "null",
        ),
        (
            EGRESS_BLOCK,
            json!({"host": "a.example", "justification": " "}),
            "justification is empty",
        ),
        (
            EGRESS_BLOCK,
            json!({"host": "a.example", "justification": "x".repeat(9000)}),
            "9000 bytes",
        ),
        (
            PIPELOCK_BLOCK,
            json!({"host": "a.example", "rule": "\u{202e}", "justification": "x"}),
            "rule",
        ),
        (
            CAPABILITY_BLOCK,
            json!({"dockerfile": "", "justification": "x"}),
            "dockerfile is empty",
        ),
        (
            CAPABILITY_BLOCK,
            json!({"dockerfile": "x".repeat(70_000), "justification": "x"}),
            "70000 bytes",
        ),
    ] {
        let error = read(tool, arguments).unwrap_err().to_string();
        assert!(error.starts_with(tool), "{error}");
        assert!(error.contains(said), "{said}: {error}");
        assert!(error.contains("Nothing was asked"), "{error}");
    }
}

#[test]
fn hostile_arguments_come_back_harmless() {
    let error = read(
        EGRESS_BLOCK,
        json!({"host": "a\u{1b}[2J\u{202e}", "justification": "x"}),
    )
    .unwrap_err();
    assert!(!error.to_string().contains(['\u{1b}', '\u{202e}']), "{error}");
}

#[test]
fn a_denials_remedy_can_be_called_as_it_stands() {
    let remedy = contract::Denial::remedy_for(
        serde_json::from_value(json!({"host": "pypi.org", "methods": ["GET"]})).unwrap(),
        "pip needs it".to_owned(),
    );
    let call = serde_json::to_value(&remedy).unwrap();
    assert_eq!(asking_tool(call["tool"].as_str().unwrap()), Some(EGRESS_BLOCK));
    assert_eq!(read(EGRESS_BLOCK, call["arguments"].clone()).unwrap(), remedy);
}

proptest::proptest! {
    #[test]
    fn any_arguments_are_an_ask_or_an_error(
        host in ".{0,30}", words in ".{0,60}", list in proptest::collection::vec(".{0,8}", 0..4)
    ) {
        for tool in [EGRESS_BLOCK, PIPELOCK_BLOCK, CAPABILITY_BLOCK] {
            let arguments = json!({"host": host, "justification": words, "path_allowlist": list, "dockerfile": host});
            let _ = read(tool, arguments);
            let _ = read(tool, json!({"host": host, "rule": words, "justification": words}));
        }
    }
}
