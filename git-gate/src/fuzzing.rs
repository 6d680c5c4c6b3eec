//! Doors to the private parsers for the fuzz targets beside this crate. Each panics when a promise is broken, which is what a
//! fuzzer looks for; nothing else calls them.

use git2::{ObjectType, Odb, Oid, Repository};

use crate::hook::message::Update;
use crate::pkt;
use crate::push::porcelain;
use crate::push::walk::tree::{self, Mode};

/// What is read as pkt-lines is what was written, and no more is read than is there.
pub fn lines(bytes: &[u8]) {
    let mut from = bytes;
    while let Ok(line) = pkt::read(&mut from) {
        let mut out = Vec::new();
        match &line {
            Some(text) => pkt::append(&mut out, text),
            None => out.extend_from_slice(pkt::FLUSH),
        }
        // Longer than a pkt-line may be, it is cut when it is written.
        if line.as_ref().is_none_or(|text| text.len() < 65_000) {
            assert_eq!(pkt::read(&mut out.as_slice()).ok(), Some(unended(line)));
        }
    }
}

/// A final newline is not part of a line: one more of them is.
fn unended(line: Option<Vec<u8>>) -> Option<Vec<u8>> {
    line.map(|mut text| {
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        text
    })
}

/// An update is the very line that it was read from.
pub fn update(bytes: &[u8]) {
    if let Some(update) = Update::parse(bytes) {
        let text = format!("{} {} {}", update.old, update.new, update.reference);
        assert_eq!(text.as_bytes(), bytes);
        assert!(update.ids().is_some());
    }
}

/// A report names no ref that it does not hold, and its reasons are harmless.
pub fn report(text: &str) {
    for outcome in porcelain::parse(text) {
        assert!(text.contains(&outcome.reference));
        let harmless = |reason: &str| !reason.chars().any(contract::text::is_deceptive);
        assert!(outcome.refused.is_none_or(|reason| harmless(&reason)));
    }
}

/// What libgit2 takes for a tree is refused here, or has the same entries: nothing is in it that is not looked at. Whether both
/// take it.
pub fn tree(raw: &[u8]) -> bool {
    let Some(entries) = tree::parse(raw) else {
        return false;
    };
    let seen: Vec<(Vec<u8>, Oid, bool)> = entries
        .into_iter()
        .map(|entry| (entry.name, entry.id, entry.mode == Mode::Tree))
        .collect();
    with_object(ObjectType::Tree, raw, |repository, id| {
        let Ok(tree) = repository.find_tree(id) else {
            return false;
        };
        let theirs: Vec<(Vec<u8>, Oid, bool)> = tree
            .iter()
            .map(|entry| {
                let folder = entry.kind() == Some(ObjectType::Tree);
                (entry.name_bytes().to_vec(), entry.id(), folder)
            })
            .collect();
        assert_eq!(seen, theirs);
        true
    })
}

/// What libgit2 takes for a commit is refused here, or has the same tree and parents. Whether both take it.
pub fn commit(raw: &[u8]) -> bool {
    let Some(root) = tree::head_id(raw, b"tree ") else {
        return false;
    };
    with_object(ObjectType::Commit, raw, |repository, id| {
        let Ok(commit) = repository.find_commit(id) else {
            return false;
        };
        assert_eq!(commit.tree_id(), root);
        assert_eq!(commit.parent_ids().collect::<Vec<_>>(), tree::parents(raw));
        true
    })
}

/// Keeps an object in memory, and looks at it.
fn with_object(kind: ObjectType, raw: &[u8], look: impl FnOnce(&Repository, Oid) -> bool) -> bool {
    git2::opts::strict_object_creation(false);
    let kept = || {
        let odb = Odb::new()?;
        odb.add_new_mempack_backend(1)?;
        let id = odb.write(kind, raw)?;
        Ok::<_, git2::Error>((Repository::from_odb(odb)?, id))
    };
    kept().is_ok_and(|(repository, id)| look(&repository, id))
}

/// The route of a request leads nowhere else: plain segments, none of them hidden.
pub fn request(target: &[u8], headers: &[(&[u8], &[u8])]) {
    let Ok(uri) = http::Uri::try_from(target) else {
        return;
    };
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name),
            http::HeaderValue::from_bytes(value),
        ) {
            map.append(name, value);
        }
    }
    for method in [http::Method::GET, http::Method::POST] {
        if let Some(route) = crate::front::route_of(&method, &uri, &map) {
            let plain = |segment: &str| {
                let bytes = segment.bytes();
                let known = bytes
                    .clone()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-~+:".contains(&byte));
                known && !matches!(segment, "" | "." | "..")
            };
            assert!(route.split('/').all(plain), "{route}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_objects_are_compared() {
        let mut raw = b"100644 a\0".to_vec();
        raw.extend_from_slice(&[7; 20]);
        assert!(tree(&raw));
        let id = "7".repeat(40);
        let who = "A <a@example.com> 1 +0000";
        let raw = format!("tree {id}\nparent {id}\nauthor {who}\ncommitter {who}\n\nx\n");
        assert!(commit(raw.as_bytes()));
    }

    proptest! {
        #[test]
        fn trees_are_read_as_libgit2_reads_them(
            entries in prop::collection::vec(("[01 ]{0,1}[0-7]{0,7}", "[ -~\0/\u{e9}]{0,5}", any::<u8>()), 0..5),
            cut in 0_usize..8,
        ) {
            let mut raw = Vec::new();
            for (mode, name, id) in entries {
                raw.extend_from_slice(format!("{mode} {name}\0").as_bytes());
                raw.extend_from_slice(&[id; 20]);
            }
            raw.truncate(raw.len().saturating_sub(cut.saturating_sub(6)));
            tree(&raw);
        }

        #[test]
        fn commits_are_read_as_libgit2_reads_them(
            head in "(tree|tree |Tree )",
            lines in prop::collection::vec("(parent |parent|\tparent |author a <b> 1 \\+0000|committer a <b> 1 \\+0000|gpgsig |\n)", 0..7),
            digits in "[0-9a-fA-F]{40}",
            end in "[\n\r ]{0,2}",
        ) {
            let mut raw = format!("{head} {digits}{end}").replace("  ", " ");
            for line in &lines {
                let id = if line.starts_with("parent") { digits.as_str() } else { "" };
                raw.extend([line.as_str(), id, "\n"]);
            }
            commit(raw.as_bytes());
            commit(format!("tree {digits}\nparent {digits}\n{}author a <b> 1 +0000\ncommitter a <b> 1 +0000\n\nx", lines.concat()).as_bytes());
        }

        #[test]
        fn nothing_else_breaks_a_promise(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            line in "[0-9a-f]{4}[ -~\n]{0,20}",
            update_line in "[01]{40} [01]{40} [a-z/ ]{0,9}",
            reported in "[ !*=+-]\t[a-z:]{1,9}\t[a-z()\u{1b}\u{202e} ]{0,20}\n",
            target in "/[a-z.~%+/:-]{0,20}(info/refs\\?service=git-upload-pack|\\.git/git-receive-pack)",
        ) {
            for raw in [&bytes[..], line.as_bytes()] {
                lines(raw);
                tree(raw);
                commit(raw);
                update(raw);
            }
            update(update_line.as_bytes());
            report(&reported);
            request(target.as_bytes(), &[(b"content-type", b"application/x-git-receive-pack-request")]);
        }
    }
}
