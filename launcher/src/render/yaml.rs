//! Writes a document as YAML that every version reads alike.
//!
//! Compose v1 reads YAML 1.1, where an unquoted `1000:50` is a number in base 60, `2001-01-01` a date and `=` a tag of its own; a
//! library that quotes only what YAML 1.2 demands (ours does) hands it another value than was meant. So every text is in double
//! quotes here, whatever it is, and every character that some version refuses is escaped.

use serde_yaml::Value;

/// The document, in block style; mappings keep their order.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

/// A value at the start of its own line.
fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Mapping(entries) if !entries.is_empty() => {
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    indent(text, depth);
                }
                text.push_str(&name(key));
                text.push(':');
                nested(text, value, depth);
            }
        }
        Value::Sequence(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    indent(text, depth);
                }
                text.push_str("- ");
                block(text, item, depth + 1);
            }
        }
        other => {
            text.push_str(&inline(other));
            text.push('\n');
        }
    }
}

/// A value after its key.
fn nested(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Mapping(entries) if !entries.is_empty() => {
            text.push('\n');
            indent(text, depth + 1);
            block(text, value, depth + 1);
        }
        Value::Sequence(items) if !items.is_empty() => {
            text.push('\n');
            indent(text, depth + 1);
            block(text, value, depth + 1);
        }
        other => {
            text.push(' ');
            block(text, other, depth);
        }
    }
}

/// A key: without quotes where every version reads it as a text. The words that mean a truth value or nothing have at most three
/// letters, but for these.
fn name(key: &Value) -> String {
    match key.as_str() {
        Some(text)
            if text.len() > 3
                && text.starts_with(|first: char| first.is_ascii_alphabetic())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
                && !["true", "false", "null"]
                    .iter()
                    .any(|word| text.eq_ignore_ascii_case(word)) =>
        {
            text.to_owned()
        }
        _ => inline(key),
    }
}

fn indent(text: &mut String, depth: usize) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

/// A value within a line.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Sequence(_) => "[]".to_owned(),
        Value::Mapping(_) => "{}".to_owned(),
        Value::Tagged(tagged) => inline(&tagged.value),
    }
}

/// In double quotes, with the escapes that YAML 1.1 and 1.2 share.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Controls, line ends of other alphabets, the byte order mark and noncharacters.
            '\0'..='\x1f'
            | '\x7f'..='\u{a0}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| Value::Number(number.into())),
            "\\PC{0,8}|[\\x00-\\x20\u{7f}-\u{a0}\u{2028}\u{feff}\"\\\\:#'-]{0,6}|1000:50|2001-01-01|=|yes|~|<<|0o17|1e3".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Sequence),
                proptest::collection::btree_map(
                    "[a-zA-Z0-9._-]{1,6}|true|Null|yes|OFF|\\PC{0,5}",
                    inner,
                    0..4
                )
                .prop_map(|map| Value::Mapping(
                    map.into_iter()
                        .map(|(key, value)| (Value::String(key), value))
                        .collect()
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let text = document(&value);
            let read: Value = serde_yaml::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }

    #[test]
    fn texts_are_always_quoted() {
        for text in ["1000:50", "2001-01-01", "=", "yes", "null", ""] {
            assert_eq!(document(&Value::String(text.to_owned())), format!("\"{text}\"\n"));
        }
    }
}
