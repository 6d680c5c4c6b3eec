//! Walks a tree of nodes by type, and collects every finding on the way.
//!
//! A step that fails leaves a finding and gives `None`; the walk goes on with the next field, so that one run tells all
//! that is wrong with a file.

use super::nearest::{nearest, suggestion};
use super::node::{Content, Entry, Node};
use contract::text::harmless;
use std::cell::RefCell;
use std::str::FromStr;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Counted from 1.
    pub line: usize,
    /// Field and mistake: ``egress.routes[1].hosst: unknown key; did you mean `host`?``
    pub message: String,
}

/// All that is wrong with one file.
#[derive(Debug, Default)]
pub struct Findings {
    found: RefCell<Vec<Finding>>,
}

impl Findings {
    /// One more.
    pub fn add(&self, line: usize, message: impl Into<String>) {
        self.found.borrow_mut().push(Finding {
            line,
            message: message.into(),
        });
    }

    /// In the order of lines.
    pub fn sorted(self) -> Vec<Finding> {
        let mut found = self.found.into_inner();
        found.sort();
        found.dedup();
        found
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Counted from 1.
    pub line: usize,
    /// Such as `egress.routes[1].host`.
    pub field: String,
}

/// A node, its place in the file, and where findings go.
#[derive(Clone)]
pub struct Cursor<'a> {
    node: &'a Node,
    line: usize,
    field: String,
    findings: &'a Findings,
}

/// A key that once meant something, and what to write now.
pub struct Retired {
    /// The old key.
    pub key: &'static str,
    /// The new form.
    pub instead: &'static str,
}

impl<'a> Cursor<'a> {
    /// At the top of a file.
    pub fn root(node: &'a Node, findings: &'a Findings) -> Self {
        Self {
            node,
            line: node.line,
            field: String::new(),
            findings,
        }
    }

    /// The line of the value.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The field as messages name it.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Adds a finding here.
    pub fn complain(&self, message: impl std::fmt::Display) {
        let message = if self.field.is_empty() {
            message.to_string()
        } else {
            format!("{}: {message}", self.field)
        };
        self.findings.add(self.line, message);
    }

    /// Adds a finding about a line of the caller's choice; the message names the field itself.
    pub fn complain_at(&self, line: usize, message: impl Into<String>) {
        self.findings.add(line, message);
    }

    /// Gives the value its place.
    pub fn at<T>(&self, value: T) -> At<T> {
        At {
            value,
            line: self.line(),
            field: self.field.clone(),
        }
    }

    /// The field is there but says nothing.
    pub fn is_nothing(&self) -> bool {
        self.node.is_nothing()
    }

    /// Whether this is a single value.
    pub fn is_scalar(&self) -> bool {
        matches!(self.node.content, Content::Scalar { .. })
    }

    /// Whether this is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.content, Content::List(_))
    }

    /// A mapping with these keys and no other.
    pub fn mapping(&self, known: &[&str], retired: &[Retired]) -> Option<Fields<'a>> {
        let fields = self.any_mapping()?;
        for entry in &fields.entries {
            let key = entry.key.as_str();
            if known.contains(&key) {
                continue;
            }
            let field = joined(&self.field, key);
            let message = match retired.iter().find(|retired| retired.key == key) {
                Some(retired) => format!("{field}: no longer a key; {}", retired.instead),
                None => format!("{field}: unknown key; {}", suggestion(key, known.iter().copied())),
            };
            self.findings.add(entry.line, message);
        }
        Some(fields)
    }

    /// A mapping with any keys, each once; the first of two is taken.
    pub fn any_mapping(&self) -> Option<Fields<'a>> {
        let Content::Mapping(entries) = &self.node.content else {
            self.complain(format!("expected a mapping, found {}", self.node.kind()));
            return None;
        };
        let mut first: Vec<&Entry> = Vec::new();
        for entry in entries {
            match first.iter().find(|known| known.key == entry.key) {
                None => first.push(entry),
                Some(known) => self.findings.add(
                    entry.line,
                    format!(
                        "{}: written twice; the first is on line {}",
                        joined(&self.field, &entry.key),
                        known.line
                    ),
                ),
            }
        }
        Some(Fields {
            entries: first,
            field: self.field.clone(),
            line: self.line,
            findings: self.findings,
        })
    }

    /// The items of a list.
    pub fn list(&self) -> Option<Vec<Cursor<'a>>> {
        let Content::List(items) = &self.node.content else {
            let remedy = match &self.node.content {
                Content::Scalar { text, .. } if !self.is_nothing() => format!("; write [{}]", harmless(text)),
                _ => String::new(),
            };
            self.complain(format!("expected a list, found {}{remedy}", self.node.kind()));
            return None;
        };
        let items = items.iter().enumerate().map(|(index, node)| Cursor {
            node,
            line: node.line,
            field: format!("{}[{index}]", self.field),
            findings: self.findings,
        });
        Some(items.collect())
    }

    /// A single value as text, quoted or not. Nothing is a finding; `""` is not.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Scalar { text, .. } if !self.is_nothing() => Some(text),
            _ => {
                self.complain(format!("expected a single value, found {}", self.node.kind()));
                None
            }
        }
    }

    /// A single value, read as what the caller wants.
    pub fn parse<T: FromStr<Err: std::fmt::Display>>(&self) -> Option<At<T>> {
        match self.text()?.parse() {
            Ok(value) => Some(self.at(value)),
            Err(error) => {
                self.complain(error);
                None
            }
        }
    }

    /// `true` or `false`, not in quotes.
    pub fn truth(&self) -> Option<bool> {
        match &self.node.content {
            Content::Scalar { text, plain: true } if text == "true" => Some(true),
            Content::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.complain("write true or false, without quotes");
                None
            }
        }
    }
}

/// The fields of a mapping.
pub struct Fields<'a> {
    entries: Vec<&'a Entry>,
    field: String,
    line: usize,
    findings: &'a Findings,
}

impl<'a> Fields<'a> {
    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<Cursor<'a>> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| self.cursor(entry))
    }

    /// The value of this key; its absence is a finding.
    pub fn required(&self, key: &str, say: &str) -> Option<Cursor<'a>> {
        let found = self.get(key);
        // A key that was only mistyped has its own finding already.
        let mistyped = |entry: &&Entry| nearest(&entry.key, [key]).is_some();
        if found.is_none() && !self.entries.iter().any(mistyped) {
            self.findings
                .add(self.line, format!("{}: missing; {say}", joined(&self.field, key)));
        }
        found
    }

    /// Every key, its line, and its value.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, usize, Cursor<'a>)> {
        self.entries
            .iter()
            .map(|entry| (entry.key.as_str(), entry.line, self.cursor(entry)))
    }

    fn cursor(&self, entry: &'a Entry) -> Cursor<'a> {
        Cursor {
            node: &entry.value,
            // Nothing has no place of its own: the parser puts it where the next thing begins.
            line: if entry.value.is_nothing() {
                entry.line
            } else {
                entry.value.line
            },
            field: joined(&self.field, &entry.key),
            findings: self.findings,
        }
    }
}

fn joined(field: &str, key: &str) -> String {
    let key = harmless(key);
    if field.is_empty() {
        key
    } else {
        format!("{field}.{key}")
    }
}
