//! What the agent reads when a push is refused: what, where, how to rewrite, and who can say yes.

use std::fmt::Write as _;

use contract::DenialReason;
use git2::Oid;

use super::findings::{Finding, Place, Weight, short};
use super::judge::Judgement;

/// So many findings are shown; a reader mends them one after the other.
const SHOWN: usize = 5;

/// The lines for the client; empty when there is nothing to say.
pub fn text(judgement: &Judgement, route: &str) -> String {
    let refusing: Vec<&Finding> = judgement
        .findings
        .iter()
        .filter(|finding| finding.weight == Weight::Refuse)
        .collect();
    let mut out = String::new();
    if refusing.is_empty() {
        notes(&mut out, judgement);
        return out;
    }
    let count = u64::try_from(refusing.len()).unwrap_or(u64::MAX) + judgement.more;
    let things = if count == 1 {
        "1 reason"
    } else {
        &format!("{count} reasons")
    };
    let _ = writeln!(out, "\ngit-gate: push to {route} refused, for {things}\n");
    for (number, finding) in refusing.iter().take(SHOWN).enumerate() {
        one(&mut out, number + 1, finding);
    }
    if count > SHOWN as u64 {
        let _ = writeln!(out, "  … and {} more\n", count - SHOWN as u64);
    }
    advice(&mut out, &refusing);
    out
}

fn notes(out: &mut String, judgement: &Judgement) {
    for finding in judgement.findings.iter().take(SHOWN) {
        let note = match &finding.weight {
            Weight::Allowed(reason) => {
                format!("allowed by the operator ({})", contract::text::harmless(reason))
            }
            _ => "not refused, but look at it".to_owned(),
        };
        let _ = writeln!(
            out,
            "git-gate: {} ({}) {}: {note}",
            finding.rule,
            finding.what,
            place(&finding.place)
        );
    }
}

fn one(out: &mut String, number: usize, finding: &Finding) {
    let _ = writeln!(out, "  {number}. {}: {}", finding.rule, finding.what);
    let _ = write!(out, "     {}", place(&finding.place));
    if let Some(redacted) = &finding.redacted {
        let _ = write!(out, "  {redacted}");
    }
    out.push('\n');
    if let Some(fingerprint) = &finding.fingerprint {
        let _ = writeln!(out, "     fingerprint {fingerprint}");
    }
    out.push('\n');
}

/// Where, in one phrase.
pub fn place(place: &Place) -> String {
    let in_commit = |commit: &Option<Oid>| {
        commit
            .map(|commit| format!("commit {}  ", short(commit)))
            .unwrap_or_default()
    };
    match place {
        Place::File { commit, path, line } => {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{path}{line}", in_commit(commit))
        }
        Place::Name { commit, folder } => {
            let folder = if folder.is_empty() {
                "the top folder"
            } else {
                folder
            };
            format!("{}a file name in {folder}", in_commit(commit))
        }
        Place::CommitHead(commit) => {
            format!("commit {}  author, committer or another header", short(*commit))
        }
        Place::CommitMessage(commit, line) => format!("commit {}  message:{line}", short(*commit)),
        Place::Tag(tag) => format!("tag object {}", short(*tag)),
        Place::Reference(name) if name.is_empty() => "this push".to_owned(),
        Place::Reference(name) => format!("ref {name}"),
    }
}

fn advice(out: &mut String, refusing: &[&Finding]) {
    let has = |reason: DenialReason| refusing.iter().any(|finding| finding.reason == reason);
    if has(DenialReason::SecretFound) {
        out.push_str(
            "Deleting the value in a later commit is not enough: every commit that is pushed is read, and the upstream would\n\
             keep it. Take it out of the commit itself:\n",
        );
        let commit = refusing.iter().find_map(|finding| match &finding.place {
            Place::File { commit, .. } | Place::Name { commit, .. } => *commit,
            Place::CommitHead(commit) | Place::CommitMessage(commit, _) => Some(*commit),
            Place::Tag(_) | Place::Reference(_) => None,
        });
        match commit {
            Some(commit) => {
                let _ = writeln!(
                    out,
                    "  git rebase -i {0}^    (or --root, if it is the first), and mark {0} as `edit`\n  \
                     take the value out, then: git commit -a --amend && git rebase --continue",
                    short(commit)
                );
            }
            None => out.push_str("  git tag -d NAME, and tag anew; or push under another name\n"),
        }
        out.push_str("Then push again. Whoever could read the value may have it: have it replaced.\n");
        if let Some(fingerprint) = refusing.iter().find_map(|finding| finding.fingerprint.as_ref()) {
            let _ = writeln!(
                out,
                "If it is no secret, the operator can allow it, on the host:\n  \
                 bottle git allow {fingerprint} --reason \"…\" --for 1h"
            );
        }
    }
    if has(DenialReason::PathProtected) {
        out.push_str(
            "Leave the protected paths as they are; whoever runs this bottle can change git.remotes[].policy.protected_paths.\n",
        );
    }
    if has(DenialReason::RefNotAllowed)
        || has(DenialReason::DeleteNotAllowed)
        || has(DenialReason::RewriteNotAllowed)
    {
        out.push_str("What may be pushed where is in git.remotes[].policy, which whoever runs this bottle can change.\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(number: usize) -> Finding {
        Finding {
            reason: DenialReason::SecretFound,
            rule: "some-token".to_owned(),
            what: "a token".to_owned(),
            place: Place::File {
                commit: Some(Oid::from_str(&"ab".repeat(20)).unwrap()),
                path: format!("src/{number}.rs"),
                line: Some(number),
            },
            redacted: Some("tok_‹redacted:40›".to_owned()),
            fingerprint: Some("fp-0123456789abcdef01234567".parse().unwrap()),
            weight: Weight::Refuse,
        }
    }

    #[test]
    fn a_refusal_says_what_where_how_to_mend_it_and_who_can_allow_it() {
        let judgement = Judgement {
            findings: vec![finding(14)],
            more: 0,
            objects: 1,
        };
        let text = text(&judgement, "h/a.git");
        for wanted in [
            "refused, for 1 reason",
            "some-token",
            "commit ababababab  src/14.rs:14  tok_‹redacted:40›",
            "not enough",
            "git rebase -i ababababab^",
            "bottle git allow fp-0123456789abcdef01234567",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }

    #[test]
    fn five_findings_are_shown_and_the_rest_counted() {
        let judgement = Judgement {
            findings: (1..=9).map(finding).collect(),
            more: 3,
            objects: 9,
        };
        let text = text(&judgement, "h/a.git");
        assert!(
            text.contains("for 12 reasons") && text.contains("5. some-token"),
            "{text}"
        );
        assert!(
            text.contains("… and 7 more") && !text.contains("6. some-token"),
            "{text}"
        );
    }

    #[test]
    fn a_clean_push_has_nothing_to_read() {
        assert_eq!(text(&Judgement::default(), "h/a.git"), "");
    }
}
