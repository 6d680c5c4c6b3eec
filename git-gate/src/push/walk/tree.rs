//! Raw commits, tags and trees, as far as a walk needs them.

use git2::Oid;

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A folder.
    Tree,
    /// A file.
    Blob,
    /// A symbolic link: the same content means something else.
    Link,
    /// A commit of another repository.
    Submodule,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: Mode,
    pub(crate) name: Vec<u8>,
    pub(crate) id: Oid,
}

/// `mode SP name NUL id`, again and again; none if it is anything else.
pub(crate) fn parse(mut raw: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::with_capacity(raw.len() / 32);
    while !raw.is_empty() {
        let space = raw.iter().position(|byte| *byte == b' ')?;
        let (mode, rest) = (raw.get(..space)?, raw.get(space + 1..)?);
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (name, rest) = (rest.get(..end)?, rest.get(end + 1..)?);
        let id = Oid::from_bytes(rest.get(..20)?).ok()?;
        raw = rest.get(20..)?;
        let mode = u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?;
        // git looks at the file type bits alone; whatever is neither folder nor submodule is content.
        let mode = match mode & 0o170_000 {
            0o040_000 => Mode::Tree,
            0o120_000 => Mode::Link,
            0o160_000 => Mode::Submodule,
            _ => Mode::Blob,
        };
        if name.is_empty() || name.contains(&b'/') {
            return None;
        }
        entries.push(Entry {
            mode,
            name: name.to_vec(),
            id,
        });
    }
    Some(entries)
}

/// The id in the first line of a commit (`tree `) or tag (`object `).
pub(crate) fn head_id(raw: &[u8], key: &[u8]) -> Option<Oid> {
    id_in(raw.strip_prefix(key)?)
}

/// The parents of a commit: the lines right after its tree.
pub(crate) fn parents(raw: &[u8]) -> Vec<Oid> {
    raw.split(|byte| *byte == b'\n')
        .skip(1)
        .map_while(|line| id_in(line.strip_prefix(b"parent ")?))
        .collect()
}

fn id_in(text: &[u8]) -> Option<Oid> {
    let digits = std::str::from_utf8(text.get(..40)?).ok()?;
    match text.get(40) {
        None | Some(b'\n') => Oid::from_str(digits).ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_are_read_as_git_writes_them() {
        let mut raw = Vec::new();
        for (mode, name) in [("100644", "a"), ("120000", "l"), ("40000", "d"), ("160000", "s")] {
            raw.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            raw.extend_from_slice(&[7; 20]);
        }
        let modes: Vec<Mode> = parse(&raw).unwrap().iter().map(|entry| entry.mode).collect();
        assert_eq!(modes, [Mode::Blob, Mode::Link, Mode::Tree, Mode::Submodule]);
        raw.pop();
        assert!(parse(&raw).is_none());
    }

    #[test]
    fn parents_end_where_another_header_begins() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let raw = format!("tree {one}\nparent {one}\nparent {two}\nauthor a\nparent {one}\n\nparent {one}\n");
        assert_eq!(parents(raw.as_bytes()).len(), 2);
        assert_eq!(head_id(raw.as_bytes(), b"tree ").unwrap().to_string(), one);
        assert!(head_id(b"tree 12", b"tree ").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(&raw), parents(&raw), head_id(&raw, b"tree "));
        }
    }
}
