//! A registry of Node packages with one generated tarball.

use super::answer::{Body, broken, whole};
use super::{PACKAGE, Seen};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::{Compression, GzBuilder};
use http::Response;
use serde_json::json;
use sha2::Digest as _;

const ROOT: &str = "/npm/";
const TARBALL: &str = "bottle-fixture-1.0.0.tgz";
const PROGRAM: &str = "module.exports = 'hello from the tarball'\n";

/// The document of the package, the tarball, and an empty answer to what else npm asks (an audit).
pub(super) fn answer(seen: &Seen) -> Option<Response<Body>> {
    let rest = seen.path().strip_prefix(ROOT)?;
    let made = match rest.split_once("/-/") {
        None if rest == PACKAGE => tarball().map(|tarball| document(&seen.host, &tarball)),
        Some((PACKAGE, TARBALL)) => tarball().map(|tarball| whole("application/octet-stream", tarball)),
        _ if rest.starts_with("-/") => Ok(whole("application/json", "{}")),
        _ => return None,
    };
    Some(made.unwrap_or_else(|why| broken(&why.into())))
}

fn document(host: &str, tarball: &[u8]) -> Response<Body> {
    let integrity = BASE64_STANDARD.encode(sha2::Sha512::digest(tarball));
    let document = json!({
        "name": PACKAGE,
        "dist-tags": { "latest": "1.0.0" },
        "versions": { "1.0.0": {
            "name": PACKAGE,
            "version": "1.0.0",
            "dist": {
                "tarball": format!("https://{host}{ROOT}{PACKAGE}/-/{TARBALL}"),
                "integrity": format!("sha512-{integrity}"),
            },
        } },
    });
    whole("application/json", document.to_string())
}

/// The same bytes each time, for the hash in the document: no entry has a date.
fn tarball() -> std::io::Result<Vec<u8>> {
    let manifest = json!({ "name": PACKAGE, "version": "1.0.0", "main": "index.js" }).to_string();
    let compressed = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    let mut archive = tar::Builder::new(compressed);
    for (name, content) in [("package.json", manifest.as_str()), ("index.js", PROGRAM)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("package/{name}"), content.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tarball_is_the_one_that_the_document_names() {
        assert_eq!(tarball().unwrap(), tarball().unwrap());
    }
}
