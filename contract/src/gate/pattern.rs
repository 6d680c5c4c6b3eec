//! Patterns of refs and of paths in a repository.

use crate::text::{harmless, validated_text};

/// The longest pattern, in bytes.
const MAX: usize = 256;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// not a ref
    #[error(
        "`{0}` is not a ref pattern; write a whole ref with `*` for any part, such as refs/heads/agent/*"
    )]
    Ref(String),
    /// not a path
    #[error(
        "`{0}` is not a path pattern; write a path in the repository, with `*` for a part of a name and `**` for folders, such as .github/workflows/**"
    )]
    Path(String),
}

validated_text!(
    /// Matches whole refs; `*` stands for any characters, `/` too, as in a refspec.
    RefPattern,
    PatternError,
    check_ref
);

validated_text!(
    /// Matches paths in a repository, without regard to the case of ASCII letters (file systems that fold case would be a way
    /// around). `*` stands for a part of one name, `**` for any folders. A pattern without `/` matches a name anywhere.
    PathPattern,
    PatternError,
    check_path
);

fn check_ref(text: &str) -> Result<String, PatternError> {
    let good = text.starts_with("refs/")
        && text.len() <= MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"~^:?[\\".contains(&byte))
        && !text.contains("..");
    if good {
        Ok(text.to_owned())
    } else {
        Err(PatternError::Ref(harmless(text)))
    }
}

fn check_path(text: &str) -> Result<String, PatternError> {
    let good = !text.is_empty()
        && text.len() <= MAX
        && !text.starts_with('/')
        && !text.chars().any(char::is_control)
        && text
            .split('/')
            .all(|name| !matches!(name, "" | "." | "..") && (name == "**" || !name.contains("**")));
    if good {
        Ok(text.to_owned())
    } else {
        Err(PatternError::Path(harmless(text)))
    }
}

impl RefPattern {
    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        wildcard(self.0.as_bytes(), name.as_bytes(), |a, b| a == b)
    }
}

impl PathPattern {
    /// Whether the whole of `path` (names joined by `/`, any bytes) matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        if self.0.contains('/') {
            let pattern: Vec<&[u8]> = self.0.as_bytes().split(|byte| *byte == b'/').collect();
            return folders(&pattern, &names);
        }
        names.last().is_some_and(|name| one_name(self.0.as_bytes(), name))
    }

    /// Whether `path` is a folder that this pattern names, with what matches below it. What is no folder there (a link, a
    /// submodule) may lead whoever looks for the paths below to others. Folders that a `*` stands for are not
    /// named.
    pub fn is_below(&self, path: &[u8]) -> bool {
        let mut pattern = self.0.split('/');
        let mut names = path.split(|byte| *byte == b'/');
        let named = names.all(|name| {
            pattern
                .next()
                .is_some_and(|part| !part.contains('*') && one_name(part.as_bytes(), name))
        });
        named && pattern.next().is_some()
    }
}

fn one_name(pattern: &[u8], name: &[u8]) -> bool {
    wildcard(pattern, name, |a, b| a.eq_ignore_ascii_case(&b))
}

/// `**` stands for any number of names, and at the end for at least one. Linear in memory, and at most pattern × path steps.
fn folders(pattern: &[&[u8]], names: &[&[u8]]) -> bool {
    // reach[i]: the pattern so far can end right before the i-th name.
    let mut reach = vec![false; names.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for (at, part) in pattern.iter().enumerate() {
        let mut next = vec![false; names.len() + 1];
        let deep = *part == b"**";
        let last = at + 1 == pattern.len();
        let mut open = false;
        for (before, slot) in next.iter_mut().enumerate() {
            let here = reach.get(before).copied().unwrap_or_default();
            let previous = before
                .checked_sub(1)
                .and_then(|previous| Some((reach.get(previous).copied()?, *names.get(previous)?)));
            if deep {
                *slot = open || (here && !last);
                open |= here;
            } else {
                *slot = previous.is_some_and(|(reached, name)| reached && one_name(part, name));
            }
        }
        reach = next;
    }
    reach.last().copied().unwrap_or_default()
}

/// `*` stands for any bytes. The usual two-pointer match: no recursion, at most pattern × text steps.
fn wildcard(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut at, mut upto) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(upto) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, upto));
                at += 1;
            }
            Some(&wanted) if same(wanted, byte) => {
                at += 1;
                upto += 1;
            }
            _ => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (at, upto) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(pattern: &str, path: &str) -> bool {
        pattern.parse::<PathPattern>().unwrap().matches(path.as_bytes())
    }

    #[test]
    fn a_star_in_a_ref_crosses_slashes() {
        let heads: RefPattern = "refs/heads/*".parse().unwrap();
        assert!(heads.matches("refs/heads/a/b") && heads.matches("refs/heads/main"));
        assert!(!heads.matches("refs/tags/a") && !heads.matches("refs/headsx"));
        let one: RefPattern = "refs/heads/main".parse().unwrap();
        assert!(one.matches("refs/heads/main") && !one.matches("refs/heads/main2"));
    }

    #[test]
    fn paths_match_as_people_expect() {
        assert!(path(".github/workflows/**", ".github/workflows/a.yml"));
        assert!(path(".github/workflows/**", ".GitHub/Workflows/x/a.yml"));
        assert!(!path(".github/workflows/**", ".github/workflows"));
        assert!(!path(".github/workflows/**", "x/.github/workflows/a.yml"));
        assert!(path("CODEOWNERS", "CODEOWNERS") && path("CODEOWNERS", "docs/codeowners"));
        assert!(!path("CODEOWNERS", "CODEOWNERS/x"));
        assert!(path("**/deploy/*.sh", "deploy/a.sh") && path("**/deploy/*.sh", "a/b/deploy/a.sh"));
        assert!(!path("**/deploy/*.sh", "deploy/a/b.sh"));
        assert!(path("a/**/z", "a/z") && path("a/**/z", "a/b/c/z"));
    }

    #[test]
    fn the_folders_of_a_pattern_are_those_that_it_names() {
        let below =
            |pattern: &str, path: &str| pattern.parse::<PathPattern>().unwrap().is_below(path.as_bytes());
        assert!(
            below(".github/workflows/**", ".github/workflows") && below(".github/workflows/**", ".GitHub")
        );
        assert!(!below(".github/workflows/**", ".github/workflows/a") && !below(".github/workflows/**", "x"));
        assert!(
            !below("a/**/z", "a/b") && below("a/**/z", "a") && !below("**/a/b", "a") && !below("*/b", "a")
        );
        assert!(!below("CODEOWNERS", "CODEOWNERS") && !below("a/b", "a/b"));
    }

    #[test]
    fn what_could_never_match_or_says_something_else_is_refused() {
        for bad in ["", "heads/main", "refs/heads/a b", "refs/../x", "refs/heads/[a]"] {
            assert!(bad.parse::<RefPattern>().is_err(), "{bad}");
        }
        for bad in ["", "/a", "a//b", "../a", "a/./b", "a**b", "a/"] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_path_matches_itself_and_stars_match_all(path in "[a-z]{1,4}(/[a-z.]{2,4}x){0,3}") {
            prop_assert!(path.parse::<PathPattern>().unwrap().matches(path.as_bytes()));
            let under: PathPattern = "**/*".parse().unwrap();
            prop_assert!(under.matches(path.as_bytes()));
        }

        #[test]
        fn a_star_agrees_with_a_slow_match(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
                    Some((byte, rest)) => text.split_first().is_some_and(|(first, more)| first == byte && slow(rest, more)),
                }
            }
            let ours = wildcard(pattern.as_bytes(), text.as_bytes(), |a, b| a == b);
            prop_assert_eq!(ours, slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
