//! Git pushes and LFS uploads over HTTP: refused on every route, since what is pushed must go through git-gate.
//!
//! Fetching stays possible. A push is known by its two URLs and its media type, and an old push over WebDAV by its methods
//! below a segment that ends in `.git`. LFS: whatever writes under an LFS
//! endpoint is refused, except the batch call, which lists objects for both directions; its body is held (bounded) until it
//! is whole, and passes only when it says `"operation": "download"`, exactly once, in any spelling of the key that a
//! server might read. Where a server has the objects themselves put (a store under another name) cannot be told from
//! the URL; without the batch call's answer there is no permission to put them.

use std::cell::LazyCell;
use std::fmt;
use std::ops::Deref;

use contract::reading::{self, PathProblem};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

const RECEIVE_PACK: &[u8] = b"git-receive-pack";

/// A URL inside a URL inside a URL; each round costs the query's length.
const QUERY_DECODINGS: usize = 3;

/// Methods by which git's old push over WebDAV writes a repository's files.
const WEBDAV_WRITES: [&str; 8] = [
    "PUT",
    "DELETE",
    "LOCK",
    "UNLOCK",
    "MKCOL",
    "MOVE",
    "COPY",
    "PROPPATCH",
];

/// What a request is to git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GitUse {
    /// Neither push nor LFS.
    Other,
    /// An LFS batch call: its body says in which direction.
    LfsBatch,
    /// An LFS upload, verification or lock.
    LfsWrite,
    /// A push.
    Push,
}

/// What this request is to git, by the worst of its path's readings. A path that cannot be read is not judged.
pub fn classify(
    method: &Method,
    path: &[u8],
    query: Option<&[u8]>,
    headers: &HeaderMap,
) -> Result<GitUse, PathProblem> {
    if media_type_mentions(headers, RECEIVE_PACK) {
        return Ok(GitUse::Push);
    }
    // A method in disguise may write whatever the request line says.
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !crate::overrides::replaces_method(query, headers);
    let writes_files = WEBDAV_WRITES.contains(&method.as_str());
    // Asked for at most once, whatever the number of readings: a query is long.
    let service = LazyCell::new(|| query.is_some_and(mentions_receive_pack));
    let lfs_media_type = media_type_mentions(headers, b"application/vnd.git-lfs+json");
    let mut worst = GitUse::Other;
    reading::every_reading(path, |one| {
        worst = worst.max(of_reading(one, &service, safe, lfs_media_type));
        if writes_files && worst == GitUse::Other && is_in_repository(one) {
            worst = GitUse::Push;
        }
        true
    })?;
    // Only the batch call itself may be answered by its body.
    let judged_by_body = *method == Method::POST && !headers.contains_key(CONTENT_ENCODING);
    if worst == GitUse::LfsBatch && !judged_by_body {
        worst = GitUse::LfsWrite;
    }
    Ok(worst)
}

fn of_reading(path: &[u8], service: &dyn Deref<Target = bool>, safe: bool, lfs_media_type: bool) -> GitUse {
    // Some servers look a name up without the blanks and dots at its end.
    let mut last = path
        .rsplit(|byte| *byte == b'/')
        .map(|segment| {
            let end = segment.iter().rposition(|byte| !matches!(byte, b' ' | b'.'));
            segment.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
        })
        .filter(|segment| !segment.is_empty());
    let (last, before) = (last.next().unwrap_or_default(), last.next().unwrap_or_default());
    if last.eq_ignore_ascii_case(RECEIVE_PACK) {
        return GitUse::Push;
    }
    let is_refs = last.eq_ignore_ascii_case(b"refs") && before.eq_ignore_ascii_case(b"info");
    if is_refs && (!safe || **service) {
        return GitUse::Push;
    }
    let lfs = has_pair(path, b"info", b"lfs") || has_pair(path, b"gitlab-lfs", b"objects") || lfs_media_type;
    if safe || !lfs {
        return GitUse::Other;
    }
    let is_batch = last.eq_ignore_ascii_case(b"batch") && before.eq_ignore_ascii_case(b"objects");
    if is_batch {
        GitUse::LfsBatch
    } else {
        GitUse::LfsWrite
    }
}

/// Whether some segment is called like a bare repository.
fn is_in_repository(path: &[u8]) -> bool {
    let mut segments = path.split(|byte| *byte == b'/');
    segments.any(|segment| segment.len() > 4 && segment.to_ascii_lowercase().ends_with(b".git"))
}

/// Whether one segment follows the other somewhere in the path, letter case and empty segments aside.
fn has_pair(path: &[u8], first: &[u8], second: &[u8]) -> bool {
    let mut before: &[u8] = b"";
    for segment in path
        .split(|byte| *byte == b'/')
        .filter(|segment| !segment.is_empty())
    {
        if before.eq_ignore_ascii_case(first) && segment.eq_ignore_ascii_case(second) {
            return true;
        }
        before = segment;
    }
    false
}

/// Whether the query names the service, percent-encoded up to [`QUERY_DECODINGS`] times, under whatever key. One that is encoded
/// more often is taken to: nothing but a disguise is.
fn mentions_receive_pack(query: &[u8]) -> bool {
    let mut spelling = query.to_vec();
    for _ in 0..=QUERY_DECODINGS {
        if contains_ignoring_case(&spelling, RECEIVE_PACK) {
            return true;
        }
        let decoded = reading::percent_decode(&spelling);
        if decoded.len() == spelling.len() {
            return false;
        }
        spelling = decoded;
    }
    true
}

fn media_type_mentions(headers: &HeaderMap, what: &[u8]) -> bool {
    [CONTENT_TYPE, ACCEPT]
        .iter()
        .flat_map(|name| headers.get_all(name))
        .any(|value| contains_ignoring_case(value.as_bytes(), what))
}

fn contains_ignoring_case(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

/// Whether the body of an LFS batch call asks for downloads and nothing else.
pub fn only_downloads(body: &[u8]) -> bool {
    let mut json = serde_json::Deserializer::from_slice(body);
    let operation = json.deserialize_map(OperationVisitor);
    operation.is_ok_and(|operation| operation) && json.end().is_ok()
}

struct OperationVisitor;

impl<'de> Visitor<'de> for OperationVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an LFS batch request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut operations = 0;
        let mut download = true;
        while let Some(key) = map.next_key::<String>()? {
            // Some JSON readers match keys in any letter case, and take the last of several.
            if key.eq_ignore_ascii_case("operation") {
                operations += 1;
                download &= map.next_value::<String>()? == "download";
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(operations == 1 && download)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn used(method: &str, target: &str) -> GitUse {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (target, None),
        };
        let method: Method = method.parse().unwrap();
        classify(&method, path.as_bytes(), query, &HeaderMap::new()).unwrap()
    }

    #[test]
    fn a_push_is_known_by_both_urls_in_every_spelling() {
        for (method, target) in [
            ("GET", "/acme/app.git/info/refs?service=git-receive-pack"),
            ("GET", "/acme/app.git/info/refs?x=1&service=git%2Dreceive%2dpack"),
            (
                "GET",
                "/acme/app.git/info/refs?service=git-upload-pack&service=git-receive-pack",
            ),
            ("GET", "/acme/app.git/info/refs?%73ervice=%2567it-receive-pack"),
            ("GET", "/acme/app.git/info%2Frefs?service=git-receive-pack"),
            ("GET", "/acme/app.git/x/../info/refs?service=GIT-receive-pack"),
            ("GET", "/acme/app.git/info/refs/?service=git-receive-pack"),
            ("POST", "/acme/app.git/info/refs"),
            ("POST", "/acme/app.git/git-receive-pack"),
            ("POST", "/acme/app.git/git%2Dreceive-pack"),
            ("POST", "/acme/app.git/git-receive-pack;x=1"),
            ("POST", "/acme/app.git//git-receive-pack/"),
            ("POST", "/acme/app.git/git-receive-pack/."),
            ("PUT", "/acme/app.git/git-receive-pack"),
            ("POST", "/acme/app/git-receive-pack%20"),
            ("POST", "/acme/app/git-receive-pack."),
            ("PUT", "/acme/app.git/objects/ab/cd"),
            ("LOCK", "/acme/app.git/HEAD"),
            ("MOVE", "/acme/app.GIT/refs/heads/main"),
        ] {
            assert_eq!(used(method, target), GitUse::Push, "{method} {target}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-git-receive-pack-request"),
        );
        assert_eq!(
            classify(&Method::POST, b"/rpc", None, &headers).unwrap(),
            GitUse::Push
        );
    }

    #[test]
    fn fetching_and_reading_about_git_are_not_pushes() {
        for (method, target) in [
            ("GET", "/acme/app.git/info/refs?service=git-upload-pack"),
            ("POST", "/acme/app.git/git-upload-pack"),
            ("GET", "/search?q=git-receive-pack"),
            ("GET", "/docs/git-receive-pack.html"),
            ("GET", "/acme/app.git/info/lfs/locks"),
            ("GET", "/acme/app.git/gitlab-lfs/objects/0123"),
            ("POST", "/crm/v3/objects/batch"),
        ] {
            assert_eq!(used(method, target), GitUse::Other, "{method} {target}");
        }
    }

    #[test]
    fn whatever_writes_under_an_lfs_endpoint_is_refused() {
        for (method, target) in [
            ("PUT", "/acme/app.git/info/lfs/objects/0123/456"),
            ("PUT", "/acme/app.git/info%2flfs/objects/batch"),
            ("PUT", "/acme/app.git/gitlab-lfs/objects/0123/456"),
            ("POST", "/acme/app.git/info/lfs/objects"),
            ("POST", "/acme/app.git/info/lfs/verify"),
            ("POST", "/acme/app.git/info/lfs/locks"),
            ("POST", "/acme/app.git/INFO/LFS/locks/verify"),
            ("DELETE", "/acme/app.git/info/lfs/locks/1"),
        ] {
            assert_eq!(used(method, target), GitUse::LfsWrite, "{method} {target}");
        }
    }

    #[test]
    fn the_batch_call_is_decided_by_its_body_unless_the_body_is_encoded() {
        let batch = b"/acme/app.git/info/lfs/objects/batch";
        let mut headers = HeaderMap::new();
        assert_eq!(
            classify(&Method::POST, batch, None, &headers).unwrap(),
            GitUse::LfsBatch
        );
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(
            classify(&Method::POST, batch, None, &headers).unwrap(),
            GitUse::LfsWrite
        );
        headers.clear();
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/vnd.git-lfs+json; charset=utf-8"),
        );
        assert_eq!(
            classify(&Method::POST, b"/lfs/objects/batch", None, &headers).unwrap(),
            GitUse::LfsBatch
        );
    }

    #[test]
    fn a_method_in_disguise_makes_a_read_a_write() {
        let mut headers = HeaderMap::new();
        headers.insert("x-http-method-override", HeaderValue::from_static("POST"));
        let batch = b"/acme/app.git/info/lfs/objects/batch";
        assert_eq!(
            classify(&Method::GET, batch, None, &headers).unwrap(),
            GitUse::LfsWrite
        );
    }

    #[test]
    fn a_query_that_is_encoded_without_end_is_a_push_and_costs_little() {
        let query = format!("%{}", "25".repeat(7400));
        let deep = format!("/%{}61/x/info/refs", "25".repeat(20));
        for path in ["/x/info/refs", deep.as_str()] {
            let used = classify(
                &Method::GET,
                path.as_bytes(),
                Some(query.as_bytes()),
                &HeaderMap::new(),
            );
            assert!(matches!(used, Ok(GitUse::Push) | Err(_)), "{path}");
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_too_many_ways_is_a_problem_and_not_a_guess() {
        let puzzle: String = (0..40).map(|n| format!("/a;{n}//..%25{n:02}\\\\.%2f")).collect();
        assert!(classify(&Method::GET, puzzle.as_bytes(), None, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_batch_call_passes_only_when_every_reader_sees_a_download() {
        assert!(only_downloads(
            br#" {"operation": "download", "objects": [{"oid": "1"}]} "#
        ));
        assert!(only_downloads(br#"{"oper\u0061tion": "download"}"#));
        for body in [
            &br#"{"operation": "upload"}"#[..],
            br#"{"operation": "download", "operation": "upload"}"#,
            br#"{"operation": "upload", "operation": "download"}"#,
            br#"{"operation": "download", "Operation": "upload"}"#,
            br#"{"operation": "Download"}"#,
            br#"{"operation": ["download"]}"#,
            br#"{"objects": []}"#,
            br#"{"x": {"operation": "download"}}"#,
            br#"{"operation": "download"} {"operation": "upload"}"#,
            br#"{"operation": "download""#,
            b"[]",
            b"",
            b"\xff\xfe{\0}\0",
        ] {
            assert!(!only_downloads(body), "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>) {
            let _ = only_downloads(&body);
        }

        #[test]
        fn no_path_hides_a_push(tail in "(%2f|/|;x|\\.|%2e|\\\\){0,4}") {
            let target = format!("/a/git-receive-pack{tail}");
            if reading::readings(target.as_bytes()).is_ok_and(|set| set.contains(b"/a/git-receive-pack".as_slice())) {
                prop_assert_eq!(used("POST", &target), GitUse::Push);
            }
        }
    }
}
