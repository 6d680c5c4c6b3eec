//! What blocks a whole buffer blocks it in chunks, too, and is told before its last byte leaves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets::{Decoding, Finding, Options, Scanner, Setting};
use std::sync::LazyLock;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::built_in().expect("tests see to it"));

fn in_container(finding: &Finding) -> bool {
    let is_container = |step| {
        matches!(
            step,
            Decoding::Gzip | Decoding::Zip | Decoding::Pdf | Decoding::Zstd
        )
    };
    finding.decoded.steps().any(is_container)
}

fuzz_target!(|input: (&[u8], u8)| {
    let (bytes, size) = input;
    let options = Options::new(Setting::Traffic);
    let Ok(whole) = SCANNER.scan(bytes, &options) else {
        return;
    };
    let mut stream = SCANNER.stream(&options);
    let (mut told, mut fresh) = (Vec::new(), Vec::new());
    let (mut pushed, mut left) = (0, 0);
    for chunk in bytes.chunks(usize::from(size) + 1) {
        let Ok(hold) = stream.push(chunk, &mut fresh) else {
            return;
        };
        for finding in &fresh {
            assert!(
                in_container(finding) || left < finding.span.end,
                "{finding:?} after {left}"
            );
        }
        told.append(&mut fresh);
        pushed += chunk.len() as u64;
        assert!(hold as u64 <= pushed);
        left = left.max(pushed - hold as u64);
    }
    if stream.finish(&mut fresh).is_err() {
        return;
    }
    for finding in &fresh {
        assert!(
            in_container(finding) || left < finding.span.end,
            "{finding:?} after {left}"
        );
    }
    told.append(&mut fresh);
    for finding in whole.iter().filter(|finding| finding.blocks()) {
        let meets =
            |other: &&Finding| other.span.start < finding.span.end && finding.span.start < other.span.end;
        assert!(
            told.iter().any(|other| other.blocks() && meets(&other)),
            "{finding:?} only in the whole"
        );
    }
    for finding in told.iter().filter(|finding| finding.blocks()) {
        let meets =
            |other: &&Finding| other.span.start < finding.span.end && finding.span.start < other.span.end;
        assert!(
            whole.iter().any(|other| other.blocks() && meets(&other)),
            "{finding:?} only in chunks"
        );
    }
});
