//! What `git push --porcelain` says of each ref (git-push(1), "OUTPUT").

use contract::text::is_deceptive;

/// The longest reason that is passed on, in characters.
const LONGEST: usize = 300;

/// What became of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its full name upstream.
    pub reference: String,
    /// The upstream's reason; `None` when it took the ref.
    pub refused: Option<String>,
}

/// Reads the report. Lines that are none of a ref are passed over: a ref without a line has no outcome.
pub fn parse(report: &str) -> Vec<Outcome> {
    report.lines().filter_map(one).collect()
}

/// `<flag> TAB <from>:<to> TAB <summary> [(<reason>)]`
fn one(line: &str) -> Option<Outcome> {
    let mut fields = line.splitn(3, '\t');
    let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
    let (_, reference) = refs.split_once(':')?;
    let refused = match flag {
        " " | "+" | "-" | "*" | "=" => None,
        "!" => Some(reason(summary)),
        _ => return None,
    };
    Some(Outcome {
        reference: reference.to_owned(),
        refused,
    })
}

/// `[remote rejected] (protected branch)` → `protected branch`; without brackets, all of it.
fn reason(summary: &str) -> String {
    let inner = summary
        .split_once(" (")
        .and_then(|(head, rest)| Some((head, rest.strip_suffix(')')?)));
    let text = match inner {
        // git's own words for a lease that no longer holds.
        Some((_, "stale info")) => "the upstream's ref moved meanwhile; fetch first",
        Some((_, inner)) => inner,
        None => summary,
    };
    text.chars()
        .filter(|character| !is_deceptive(*character))
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_ref_has_the_upstream_s_own_reason() {
        let report = "To ssh://git@h.example:22/a.git\n\
             *\trefs/x:refs/heads/new\t[new branch]\n \t1:refs/heads/main\t1..2\n\
             !\t1:refs/heads/locked\t[remote rejected] (protected branch (see the wiki))\n\
             !\t1:refs/heads/late\t[rejected] (stale info)\n-\t:refs/heads/old\t[deleted]\nDone\n";
        let told: Vec<(String, Option<String>)> = parse(report)
            .into_iter()
            .map(|outcome| (outcome.reference, outcome.refused))
            .collect();
        assert_eq!(told.len(), 5);
        assert_eq!(told[0], ("refs/heads/new".to_owned(), None));
        assert_eq!(told[2].1.as_deref(), Some("protected branch (see the wiki)"));
        assert!(told[3].1.as_deref().unwrap().contains("fetch first"));
        assert_eq!(told[4].1, None);
    }

    proptest! {
        #[test]
        fn any_report_is_read(report in "[ !*=+:a\t\n()\\[\\]-]{0,80}") {
            let _ = parse(&report);
        }
    }
}
