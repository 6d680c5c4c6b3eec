//! YAML as a tree of nodes that know their line.
//!
//! Built from the parser's events, and not by a deserializer, so that an error can name the line of the very field and
//! all errors of a file are found. Anchors, aliases, tags, directives and second documents are refused: a manifest is short enough
//! to be written out. So are control characters (a NUL would end the text for the parser) and nesting beyond
//! [`DEEPEST`]; the parser itself does not recurse.

use contract::text::harmless;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

/// The deepest nesting: the manifest's own is 5 (`egress.routes[0].auth.scheme`).
pub const DEEPEST: usize = 16;

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A text, number, boolean or nothing.
    Scalar {
        /// As written, without quotes.
        text: String,
        /// Without quotes: `true`, `null` and the empty text mean something else than in quotes.
        plain: bool,
    },
    /// `- …`
    List(Vec<Node>),
    /// `key: value`, in the order of the file; a key that comes twice is there twice.
    Mapping(Vec<Entry>),
}

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's line.
    pub line: usize,
    /// The value.
    pub value: Node,
}

/// Why a text is not a tree: one finding, since nothing after it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Counted from 1.
    pub line: usize,
    /// What, and what to write instead.
    pub message: String,
}

impl Unreadable {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

impl Node {
    /// Plain and empty, `~` or `null`: the field is there but says nothing.
    pub fn is_nothing(&self) -> bool {
        match &self.content {
            Content::Scalar { text, plain } => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Content::List(_) | Content::Mapping(_) => false,
        }
    }

    /// What it is, for `expected …, found …`.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Scalar { .. } if self.is_nothing() => "nothing",
            Content::Scalar { .. } => "a single value",
            Content::List(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }
}

/// Reads one document. Lines count from `first_line`, the line of the text's first character in its file.
/// A text without a value is an empty mapping.
pub fn parse(text: &str, first_line: usize) -> Result<Node, Unreadable> {
    refuse_characters(text, first_line)?;
    refuse_documents(text, first_line)?;
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    loop {
        let (event, mark) = parser.next_token().map_err(|error| {
            // What is missing at the end is told at the last line, not behind it.
            let line = error.marker().line().clamp(1, text.lines().count().max(1));
            let has_braces = text.lines().nth(line - 1).is_some_and(|text| text.contains("${"));
            let remedy = if has_braces {
                "; within `{ … }` or `[ … ]`, put `${NAME}` in quotes"
            } else {
                ""
            };
            Unreadable::new(
                line + first_line - 1,
                format!("not YAML: {}{remedy}", harmless(error.info())),
            )
        })?;
        let line = mark.line().max(1) + first_line - 1;
        if event == Event::StreamEnd {
            let empty = Node {
                line: first_line,
                content: Content::Mapping(Vec::new()),
            };
            return Ok(builder.root.unwrap_or(empty));
        }
        builder.take(event, line)?;
    }
}

fn refuse_characters(text: &str, first_line: usize) -> Result<(), Unreadable> {
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(bad) = line
            .chars()
            .find(|character| character.is_control() && *character != '\t')
        {
            return Err(Unreadable::new(
                first_line + number,
                format!("holds the control character {}; remove it", bad.escape_unicode()),
            ));
        }
        let content = line.trim_start_matches([' ', '\t']);
        let indentation = line.get(..line.len() - content.len()).unwrap_or_default();
        if !content.is_empty() && indentation.contains('\t') {
            return Err(Unreadable::new(
                first_line + number,
                "a tab in the indentation; use spaces",
            ));
        }
    }
    Ok(())
}

/// `---`, `...` and `%` at the start of a line: the parser would end the document there and drop the rest.
fn refuse_documents(text: &str, first_line: usize) -> Result<(), Unreadable> {
    for (number, line) in text.lines().enumerate() {
        let marker = |mark: &str| {
            line.strip_prefix(mark)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        if marker("---") || marker("...") || line.starts_with('%') {
            return Err(Unreadable::new(
                first_line + number,
                "a document marker or directive inside the front matter; there is one document, between two lines `---`",
            ));
        }
    }
    Ok(())
}

/// A collection whose end has not come yet.
enum Open {
    List(usize, Vec<Node>),
    /// With the key whose value comes next.
    Mapping(usize, Vec<Entry>, Option<(String, usize)>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event, line: usize) -> Result<(), Unreadable> {
        match event {
            Event::Scalar(text, style, 0, None) => {
                let plain = style == TScalarStyle::Plain;
                self.place(
                    Node {
                        line,
                        content: Content::Scalar { text, plain },
                    },
                    line,
                )
            }
            Event::SequenceStart(0, None) => self.begin(Open::List(line, Vec::new()), line),
            Event::MappingStart(0, None) => self.begin(Open::Mapping(line, Vec::new(), None), line),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(line, items)) => self.place(
                    Node {
                        line,
                        content: Content::List(items),
                    },
                    line,
                ),
                Some(Open::Mapping(line, entries, _)) => self.place(
                    Node {
                        line,
                        content: Content::Mapping(entries),
                    },
                    line,
                ),
                None => Err(Unreadable::new(
                    line,
                    "not YAML: a collection ends that never began",
                )),
            },
            Event::Alias(_) => Err(Unreadable::new(line, "an alias (`*name`); write the value out")),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _) => {
                let what = if anchor == 0 {
                    "a tag (`!name`); leave it out, and quote the value if it begins with `!`"
                } else {
                    "an anchor (`&name`); write the value out, and quote it if it begins with `&`"
                };
                Err(Unreadable::new(line, what))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, line: usize) -> Result<(), Unreadable> {
        if let Some(Open::Mapping(_, _, None)) = self.open.last() {
            return Err(Unreadable::new(line, "a key must be a single value"));
        }
        if self.open.len() == DEEPEST {
            return Err(Unreadable::new(
                line,
                format!("nested deeper than {DEEPEST} levels"),
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn place(&mut self, node: Node, line: usize) -> Result<(), Unreadable> {
        match self.open.last_mut() {
            None if self.root.is_some() => Err(Unreadable::new(line, "not YAML: more than one value")),
            None => {
                self.root = Some(node);
                Ok(())
            }
            Some(Open::List(_, items)) => {
                items.push(node);
                Ok(())
            }
            Some(Open::Mapping(_, entries, waiting)) => {
                if let Some((key, line)) = waiting.take() {
                    entries.push(Entry {
                        key,
                        line,
                        value: node,
                    });
                    return Ok(());
                }
                match node.content {
                    Content::Scalar { text, .. } => {
                        *waiting = Some((text, line));
                        Ok(())
                    }
                    Content::List(_) | Content::Mapping(_) => {
                        Err(Unreadable::new(line, "a key must be a single value"))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> (usize, String) {
        let found = parse(text, 1).unwrap_err();
        (found.line, found.message)
    }

    #[test]
    fn nodes_know_their_lines() {
        let tree = parse("a: 1\n# c\nb:\n  - x\n  - {y: z}\n", 5).unwrap();
        let Content::Mapping(entries) = &tree.content else {
            panic!()
        };
        assert_eq!((entries[0].line, entries[1].line), (5, 7));
        let Content::List(items) = &entries[1].value.content else {
            panic!()
        };
        assert_eq!((items[0].line, items[1].line), (8, 9));
    }

    #[test]
    fn windows_line_ends_count_as_one_line() {
        let tree = parse("a: 1\r\nb: 2\r\n", 1).unwrap();
        let Content::Mapping(entries) = &tree.content else {
            panic!()
        };
        assert_eq!(entries[1].line, 2);
        assert_eq!(
            entries[0].value.content,
            Content::Scalar {
                text: "1".into(),
                plain: true
            }
        );
    }

    #[test]
    fn a_key_that_comes_twice_is_kept_twice() {
        let Content::Mapping(entries) = parse("a: 1\na: 2\n", 1).unwrap().content else {
            panic!()
        };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn what_hides_meaning_is_refused_at_its_line() {
        assert_eq!(refusal("a: 1\nb: &x 2\nc: *x").0, 2);
        assert_eq!(refusal("a: 1\nb: *x").0, 2);
        assert_eq!(refusal("a: !!str 1").0, 1);
        assert_eq!(refusal("a: 1\n...\nb: 2").0, 2);
        assert_eq!(refusal("a: 1\n--- b").0, 2);
        assert_eq!(refusal("%YAML 1.2\na: 1").0, 1);
        assert_eq!(refusal("a: 1\nb: \u{0}").0, 2);
        assert_eq!(refusal("a: 1\n[b]: 2").0, 2);
        assert_eq!(refusal("a: 1\n\tb: 2").0, 2);
        assert_eq!(refusal("a: [1").0, 1);
    }

    #[test]
    fn huge_nesting_is_refused_and_not_recursed_into() {
        for text in [
            "[".repeat(500_000),
            "- ".repeat(500_000),
            "? ".repeat(500_000),
            "{a: ".repeat(500_000),
        ] {
            assert!(parse(&text, 1).is_err());
        }
    }

    #[test]
    fn nothing_is_an_empty_mapping() {
        for text in ["", "\n\n", "# only a comment\n"] {
            assert_eq!(
                parse(text, 3).unwrap().content,
                Content::Mapping(Vec::new()),
                "{text:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}|[-?:,\\[\\]{}#&*!|>'\"%@` a\n\r\t.~<=0]{0,60}") {
            let _ = parse(&text, 1);
        }
    }
}
