//! A package index of Python's simple form (PEP 503) with one generated wheel.

use super::answer::{Body, broken, whole};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Response;
use sha2::Digest as _;
use std::io::{Cursor, Write as _};

/// The one package, here and in the registry of Node's.
pub const PACKAGE: &str = "bottle-fixture";

const WHEEL: &str = "bottle_fixture-1.0.0-py3-none-any.whl";
const MODULE: &str = "greeting = 'hello from the wheel'\n";
const METADATA: &str = "Metadata-Version: 2.1\nName: bottle-fixture\nVersion: 1.0.0\n";
const KIND: &str = "Wheel-Version: 1.0\nGenerator: fixture\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

/// The page of the package and the wheel; nothing else is known.
pub(super) fn answer(path: &str) -> Option<Response<Body>> {
    let wheel = || wheel().map_err(anyhow::Error::from);
    let made = match path.strip_prefix("/simple/")?.split_once('/')? {
        (PACKAGE, "") => wheel().map(|wheel| {
            let hash = hex::encode(sha2::Sha256::digest(&wheel));
            let page = format!(
                "<!DOCTYPE html><html><body><a href=\"{WHEEL}#sha256={hash}\">{WHEEL}</a></body></html>\n"
            );
            whole("text/html", page)
        }),
        (PACKAGE, WHEEL) => wheel().map(|wheel| whole("application/octet-stream", wheel)),
        _ => return None,
    };
    Some(made.unwrap_or_else(|why| broken(&why)))
}

/// The same bytes each time, for the hash on the page: entries of a zip archive without a clock have the same date.
fn wheel() -> zip::result::ZipResult<Vec<u8>> {
    let folder = "bottle_fixture-1.0.0.dist-info";
    let files = [
        ("bottle_fixture.py".to_owned(), MODULE),
        (format!("{folder}/METADATA"), METADATA),
        (format!("{folder}/WHEEL"), KIND),
    ];
    let record_name = format!("{folder}/RECORD");
    let mut record = String::new();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in &files {
        let hash = BASE64_URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(content));
        record.push_str(&format!("{name},sha256={hash},{}\n", content.len()));
        archive.start_file(name, stored)?;
        archive.write_all(content.as_bytes())?;
    }
    record.push_str(&format!("{record_name},,\n"));
    archive.start_file(&record_name, stored)?;
    archive.write_all(record.as_bytes())?;
    Ok(archive.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_is_the_one_that_the_page_names() {
        assert_eq!(wheel().unwrap(), wheel().unwrap());
        assert!(answer("/simple/bottle-fixture/").is_some() && answer("/simple/other/").is_none());
    }
}
