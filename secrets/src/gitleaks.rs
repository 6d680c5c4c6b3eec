//! Rules that people wrote for gitleaks.
//!
//! Reads its TOML: rules with `regex`, `keywords`, `entropy`, `secretGroup`, `path` and allow lists (both the
//! older `allowlist` and `allowlists`), and the lists for all rules. A rule that cannot be used is named with the
//! reason; the others are. What gitleaks itself ignores is ignored (`extend`, titles, tags). Its patterns are
//! Go's; the differences to the `regex` crate that occur are bridged.

use crate::allow::{AllowList, Pattern, Target};
use crate::pattern;
use crate::rule::{ByConfidence, Confidence, Judge, Rule, RuleError, RuleSet};
use regex_automata::util::syntax;
use serde::Deserialize;

/// The rules of a file, and those that could not be used.
#[derive(Debug, Default)]
pub struct Imported {
    /// the usable ones
    pub rules: RuleSet,
    /// the others, each with its name and why
    pub refused: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rules: Vec<Entry>,
    #[serde(default)]
    allowlist: Option<List>,
    #[serde(default)]
    allowlists: Vec<List>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    regex: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    entropy: Option<f32>,
    #[serde(default)]
    secret_group: Option<usize>,
    #[serde(default)]
    allowlist: Option<List>,
    #[serde(default)]
    allowlists: Vec<List>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    condition: String,
    #[serde(default)]
    regex_target: String,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(default)]
    target_rules: Vec<String>,
}

/// Reads a gitleaks configuration. Its rules' findings have [`Confidence::High`]: who brings a rule means it.
///
/// # Errors
/// The text is not TOML of that form, or two rules have one name.
pub fn parse(text: &str) -> Result<Imported, RuleError> {
    let file: File = toml::from_str(text).map_err(|error| RuleError::Form(error.to_string()))?;
    let mut imported = Imported::default();
    for list in file.allowlist.into_iter().chain(file.allowlists) {
        match read_list(list) {
            Ok(list) => imported.rules.allowed.push(list),
            Err(why) => imported.refused.push(("allowlist".to_owned(), why)),
        }
    }
    for entry in file.rules {
        let id = entry.id.clone();
        match read_rule(entry) {
            Ok(rule) => {
                let mut one = RuleSet::default();
                one.rules.push(rule);
                imported.rules.extend(one)?;
            }
            Err(why) => imported.refused.push((id, why)),
        }
    }
    Ok(imported)
}

fn read_rule(entry: Entry) -> Result<Rule, String> {
    if entry.regex.is_empty() {
        return Err("it has no `regex`: whole files are not judged by their names here".to_owned());
    }
    let regex = bridged(&entry.regex)?;
    let keywords = match entry.keywords.is_empty() {
        false => entry.keywords,
        true => literals(&regex).ok_or("it has no `keywords`, and its `regex` begins with no fixed text")?,
    };
    let lists = entry.allowlist.into_iter().chain(entry.allowlists).map(read_list);
    Ok(Rule {
        id: entry.id,
        description: entry.description,
        source: String::new(),
        reason: String::new(),
        keywords,
        regex,
        loose: None,
        detector: None,
        judge: Judge::Form,
        named: Vec::new(),
        entropy: entry.entropy,
        checksum: None,
        confidence: ByConfidence::Same(Confidence::High),
        at_runs: false,
        at_hidden_runs: false,
        inside_words: true,
        examples: Vec::new(),
        counterexamples: Vec::new(),
        around: true,
        secret_group: entry.secret_group.filter(|&group| group > 0),
        allowed: lists.collect::<Result<_, _>>()?,
        path: entry
            .path
            .map(|path| bridged(&path).and_then(|path| Pattern::new(&path)))
            .transpose()?,
    })
}

fn read_list(list: List) -> Result<AllowList, String> {
    let compile = |patterns: Vec<String>| -> Result<Vec<Pattern>, String> {
        patterns
            .iter()
            .map(|pattern| Pattern::new(&bridged(pattern)?))
            .collect()
    };
    Ok(AllowList {
        all: list.condition.eq_ignore_ascii_case("and"),
        target: match list.regex_target.as_str() {
            "match" => Target::Match,
            "line" => Target::Line,
            "" | "secret" => Target::Secret,
            other => {
                return Err(format!(
                    "its regexTarget `{other}` is none of secret, match, line"
                ));
            }
        },
        patterns: compile(list.regexes)?,
        paths: compile(list.paths)?,
        stop_words: list
            .stopwords
            .iter()
            .map(|word| word.to_lowercase())
            .filter(|word| !word.is_empty())
            .collect(),
        rules: list.target_rules,
    })
}

/// `pattern` in the syntax of the `regex` crate: in Go's a brace that begins no repetition is itself.
fn bridged(pattern: &str) -> Result<String, String> {
    let Err(error) = pattern::check(pattern) else {
        return Ok(pattern.to_owned());
    };
    let mut escaped = String::new();
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\\' => {
                let next = tail.chars().next().map_or(0, char::len_utf8);
                escaped.push_str(rest.get(..1 + next).unwrap_or_default());
                rest = tail.get(next..).unwrap_or_default();
                continue;
            }
            '[' if in_class && !tail.starts_with(':') => escaped.push('\\'),
            '[' => in_class = true,
            ']' => in_class = false,
            '{' if !in_class && !is_repetition(tail) => escaped.push('\\'),
            _ => {}
        }
        escaped.push(c);
        rest = tail;
    }
    pattern::check(&escaped)
        .map(|()| escaped)
        .map_err(|_| format!("its pattern is not valid: {error}"))
}

fn is_repetition(tail: &str) -> bool {
    tail.split_once('}').is_some_and(|(bounds, _)| {
        bounds.starts_with(|c: char| c.is_ascii_digit())
            && bounds.chars().all(|c| c.is_ascii_digit() || c == ',')
    })
}

/// The texts one of which every match begins with.
fn literals(regex: &str) -> Option<Vec<String>> {
    use regex_automata::util::syntax::parse_with;
    let config: syntax::Config = pattern::syntax();
    let hir = parse_with(regex, &config).ok()?;
    let sequence = regex_syntax::hir::literal::Extractor::new().extract(&hir);
    let texts: Option<Vec<String>> = sequence
        .literals()?
        .iter()
        .map(|literal| {
            std::str::from_utf8(literal.as_bytes())
                .ok()
                .map(str::to_lowercase)
        })
        .collect();
    texts.filter(|texts| !texts.is_empty() && texts.iter().all(|text| text.len() >= 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Scanner, Setting};

    const FILE: &str = r#"
title = "ours"
[allowlist]
paths = ['''\.lock$''']
regexes = ['''^none$''']

[[rules]]
id = "acme"
description = "Acme key"
regex = '''(?i)[\w.-]{0,50}?(?:acme)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|:)[\s'"]{0,5}([a-z0-9]{16})(?:['"\s;]|$)'''
entropy = 3.0
keywords = ["acme"]
[[rules.allowlists]]
stopwords = ["deadbeef"]

[[rules]]
id = "no-keyword"
regex = '''zed-[0-9]{6}'''
path = '''\.txt$'''

[[rules]]
id = "braces"
regex = '''^\$\{\d+}{{x}}'''
keywords = ["x"]

[[rules]]
id = "file-only"
path = '''\.p12$'''

[[rules]]
id = "private-key"
regex = '''(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY-----[\s\S-]{64,}?KEY-----'''
keywords = ["-----begin"]
"#;

    fn found(text: &str, path: Option<&str>) -> Vec<(String, String)> {
        let scanner = Scanner::new(parse(FILE).unwrap().rules).unwrap();
        let mut options = Options::new(Setting::Source);
        options.path = path.map(Into::into);
        let findings = scanner.scan(text.as_bytes(), &options).unwrap();
        let part = |f: &crate::Finding| text[f.span.start as usize..f.span.end as usize].to_owned();
        findings
            .iter()
            .map(|finding| (finding.rule.to_string(), part(finding)))
            .collect()
    }

    #[test]
    fn their_rules_find_what_they_find_there() {
        let expected = [("acme".to_owned(), "q7zt0kxv2mb9rlwe".to_owned())];
        assert_eq!(found("x = 1\nmy_acme_key = 'q7zt0kxv2mb9rlwe'\n", None), expected);
        assert_eq!(found("acme: aaaaaaaaaaaaaaaa\n", None), [], "dull");
        assert_eq!(found("acme: deadbeefzt0kxv2m\n", None), [], "a stop word");
        assert_eq!(
            found("acme: q7zt0kxv2mb9rlwe\n", Some("a.lock")),
            [],
            "an allowed path"
        );
    }

    #[test]
    fn a_path_binds_a_rule_to_files() {
        assert_eq!(found("zed-123456", Some("a.txt")).len(), 1);
        assert_eq!(found("zed-123456", Some("a.rs")), []);
    }

    #[test]
    fn a_private_key_over_many_lines_is_found() {
        let key = [
            "-----BEGIN RSA PRIV",
            "ATE KEY-----\n",
            &"MIIEowIBAAKCAQEA\n".repeat(9),
            "-----END RSA PRIV",
            "ATE KEY-----",
        ];
        assert_eq!(found(&key.concat(), None).len(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_the_reason() {
        let imported = parse(FILE).unwrap();
        assert_eq!(imported.rules.rules().len(), 4);
        let names: Vec<&str> = imported.refused.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["file-only"]);
        assert!(parse("rules = 3").is_err());
    }
}
