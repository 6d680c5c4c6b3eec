//! Before and after, as a unified diff: what an operator is shown and what the audit keeps.

use contract::Sha256Hex;
use contract::audit::FileChange;
use similar::TextDiff;

/// The longest diff that the audit keeps, in bytes; the hashes say the rest.
const LONGEST_AUDITED: usize = 64 * 1024;

/// From one text to another; empty when they are the same.
pub fn unified(file: &str, before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&format!("{file} (in force)"), &format!("{file} (to be)"))
        .to_string()
}

/// For the audit.
pub fn change(file: &str, before: &[u8], after: &[u8]) -> FileChange {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut diff = unified(file, &text(before), &text(after));
    if diff.len() > LONGEST_AUDITED {
        let cut = (0..=LONGEST_AUDITED).rev().find(|at| diff.is_char_boundary(*at));
        diff.truncate(cut.unwrap_or(0));
        diff.push_str("\n… (cut)\n");
    }
    FileChange {
        file: file.to_owned(),
        before_sha256: Sha256Hex::of(before),
        after_sha256: Sha256Hex::of(after),
        diff: super::show::escaped(&diff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_goes_and_what_comes() {
        insta::assert_snapshot!(unified("routes.yaml", "a\nb\n", "a\nc\n"), @r"
        --- routes.yaml (in force)
        +++ routes.yaml (to be)
        @@ -1,2 +1,2 @@
         a
        -b
        +c
        ");
        assert_eq!(unified("routes.yaml", "a\n", "a\n"), "");
    }

    #[test]
    fn what_is_audited_is_bounded_and_cannot_act_on_a_terminal() {
        let long = "é\u{1b}[2J\n".repeat(100_000);
        let change = change("Dockerfile", b"", long.as_bytes());
        assert!(change.diff.len() < 4 * LONGEST_AUDITED && change.diff.contains("(cut)"));
        assert!(!change.diff.contains('\u{1b}'));
        assert_eq!(change.after_sha256, Sha256Hex::of(long.as_bytes()));
    }
}
