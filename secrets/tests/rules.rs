//! What the built-in rules promise, each by its own examples.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod support;

use secrets::{Confidence, Finding, Options, Rule, RuleSet, Scanner, Setting};
use support::{Random, fill};

fn scanner() -> Scanner {
    Scanner::new(RuleSet::built_in().unwrap()).unwrap()
}

/// All findings, the weaker ones that another makes superfluous too.
fn findings(scanner: &Scanner, text: &str, setting: Setting) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut stream = scanner.stream(&Options::new(setting));
    stream.push(text.as_bytes(), &mut all).unwrap();
    stream.finish(&mut all).unwrap();
    all
}

fn find<'a>(findings: &'a [Finding], rule: &Rule) -> Option<&'a Finding> {
    findings
        .iter()
        .filter(|finding| *finding.rule == *rule.id)
        .max_by_key(|finding| finding.confidence)
}

#[test]
fn every_rule_finds_its_examples() {
    let (rules, scanner) = (RuleSet::built_in().unwrap(), scanner());
    let mut missed = Vec::new();
    for rule in rules.rules() {
        assert!(!rule.examples.is_empty(), "{} has no example", rule.id);
        for template in &rule.examples {
            for seed in 0..12 {
                let text = fill(template, &mut Random(seed * 7919 + template.len() as u64));
                let found = findings(&scanner, &text, Setting::Traffic);
                match find(&found, rule) {
                    Some(finding) if finding.confidence > Confidence::Low => {}
                    other => missed.push(format!(
                        "{}: {text} ({:?})",
                        rule.id,
                        other.map(|found| found.confidence)
                    )),
                }
            }
        }
    }
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

#[test]
fn no_rule_finds_its_counterexamples() {
    let (rules, scanner) = (RuleSet::built_in().unwrap(), scanner());
    let mut found = Vec::new();
    for rule in rules.rules() {
        for template in &rule.counterexamples {
            for seed in 0..12 {
                let text = fill(template, &mut Random(seed * 104_729 + template.len() as u64));
                let all = findings(&scanner, &text, Setting::Traffic);
                if find(&all, rule).is_some_and(|finding| finding.confidence > Confidence::Low) {
                    found.push(format!("{}: {text}", rule.id));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_rule_says_what_it_is_for() {
    for rule in RuleSet::built_in().unwrap().rules() {
        assert!(
            !rule.description.is_empty() && !rule.reason.is_empty(),
            "{}",
            rule.id
        );
        assert!(
            rule.keywords.iter().all(|keyword| keyword.len() >= 3),
            "{}: a keyword is too common",
            rule.id
        );
    }
}
