//! Splits a manifest into its front matter, between two lines `---`, and its body.

use super::node::Unreadable;

/// The two halves of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub struct Halves<'a> {
    /// YAML.
    pub front_matter: &'a str,
    /// The line on which the YAML begins, counted from 1.
    pub first_line: usize,
    /// Everything after the second `---`, without blank lines at its ends, line ends as `\n`.
    pub body: String,
}

/// Splits. A byte order mark is skipped; a line end is `\n` or `\r\n`.
pub fn split(bytes: &[u8]) -> Result<Halves<'_>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        Unreadable::new(line_of(before), "not UTF-8 text; save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rest = text;
    let first = take_line(&mut rest);
    if !is_fence(first) {
        return Err(Unreadable::new(
            1,
            "no front matter; begin the file with a line `---`, then the keys, then a line `---`",
        ));
    }
    let yaml = rest;
    loop {
        let before = rest;
        if before.is_empty() {
            return Err(Unreadable::new(
                1,
                "the front matter does not end; close it with a line `---`",
            ));
        }
        if is_fence(take_line(&mut rest)) {
            let length = yaml.len() - before.len();
            return Ok(Halves {
                front_matter: yaml.get(..length).unwrap_or_default(),
                first_line: 2,
                body: rest.replace("\r\n", "\n").trim_matches('\n').to_owned(),
            });
        }
    }
}

fn is_fence(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.trim_matches([' ', '\t', '\r']).is_empty())
}

fn take_line<'a>(rest: &mut &'a str) -> &'a str {
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    *rest = after;
    line
}

/// The line that a position lies on, given all before it.
fn line_of(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_and_body_are_told_apart() {
        let halves = split(b"---\na: 1\n---\n\nDo this.\n---\nmore\n").unwrap();
        assert_eq!(halves.front_matter, "a: 1\n");
        assert_eq!(halves.body, "Do this.\n---\nmore");
    }

    #[test]
    fn editors_of_other_systems_are_understood() {
        let halves = split(b"\xef\xbb\xbf---\r\na: 1\r\n---\r\nDo this.\r\nAnd that.\r\n").unwrap();
        assert_eq!(halves.front_matter, "a: 1\r\n");
        assert_eq!(halves.body, "Do this.\nAnd that.");
    }

    #[test]
    fn an_empty_front_matter_and_no_body_are_fine() {
        let halves = split(b"---\n---").unwrap();
        assert_eq!((halves.front_matter, halves.body.as_str()), ("", ""));
    }

    #[test]
    fn what_is_not_a_manifest_is_refused_at_its_line() {
        assert_eq!(split(b"a: 1\n").unwrap_err().line, 1);
        assert_eq!(split(b"").unwrap_err().line, 1);
        assert_eq!(split(b"---\na: 1\n").unwrap_err().line, 1);
        assert_eq!(split(b"---\na: 1\nb: \xff\n---\n").unwrap_err().line, 3);
    }
}
