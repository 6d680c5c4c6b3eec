//! Doors to what the fuzz targets beside this crate try. Each panics when a promise is broken, which is what a fuzzer looks for;
//! nothing else calls them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use guard::held::Budget;
use http::{HeaderMap, HeaderValue, header};
use mitm::{BodyLength, Inspector as _, Released};
use pipelock_config::{DlpFile, PipelockFile};
use secrets::known::KnownValues;

use crate::body::{self, Kind, RequestBody, Room};
use crate::encoding::Windows;
use crate::examiner::Examiner;
use crate::permit::Verdicts;
use crate::policy::CompiledPolicy;

/// How a body may be laid out, and encoded.
const KINDS: [(&str, &str); 10] = [
    ("application/json", ""),
    ("application/x-ndjson", ""),
    ("application/x-www-form-urlencoded", ""),
    ("multipart/form-data; boundary=x", ""),
    ("application/grpc", ""),
    ("text/plain", ""),
    ("application/json", "gzip"),
    ("application/json", "deflate"),
    ("application/json", "br"),
    ("application/json", "zstd"),
];

fn policy() -> Option<&'static Arc<CompiledPolicy>> {
    static POLICY: OnceLock<Option<Arc<CompiledPolicy>>> = OnceLock::new();
    let compile = || {
        let text = "mode: strict\napi_allowlist: [a.example]\ntls_interception: {enabled: true}\nrequest_body_scanning: {action: \
                    block}\n";
        let seat = PipelockFile::parse(text.as_bytes()).ok()?.seat().ok()?;
        let environment = KnownValues::builder().build();
        let policy = CompiledPolicy::compile(seat, DlpFile::absent(), &environment).ok()?;
        Some(Arc::new(policy))
    };
    POLICY.get_or_init(compile).as_ref()
}

/// A body is judged alike whole and in pieces, and of one that is refused not all leaves. The bytes 1 and 2 stand for the halves
/// of a token, which no fuzzer guesses.
pub fn body(kind: u8, bytes: &[u8], step: u8) {
    let Some(policy) = policy() else { return };
    let Some((content_type, coding)) = KINDS.get(usize::from(kind) % KINDS.len()) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if !coding.is_empty() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let Ok(kind) = Kind::of(&headers) else { return };
    let mut text = Vec::new();
    for byte in bytes {
        match byte {
            1 if coding.is_empty() => text.extend_from_slice(b"AKIAQYLPM"),
            2 if coding.is_empty() => text.extend_from_slice(b"N5HFIQR7XYA"),
            other => text.push(*other),
        }
    }
    let examiner = Examiner::new(Arc::clone(policy), "a.example");
    let whole = body::judge(&examiner, kind.clone(), Bytes::from(text.clone()));

    let verdicts = Verdicts::new(&examiner, false);
    let room = Room {
        held: Budget::new(body::HELD_WHOLE),
        windows: Windows::default(),
    };
    let mut looking = RequestBody::new(examiner, verdicts, kind, BodyLength::Exact(1 << 40), &room);
    let mut left = 0;
    let mut count = |released: Released| left += released.map(|piece| piece.len()).sum::<usize>();
    let mut refused = false;
    let mut pieces = text.chunks(usize::from(step) + 1).peekable();
    // As the core does it: of a body whose length is known the last piece and the end are one step, and nothing of a step that
    // is refused leaves.
    loop {
        let mut released = Released::default();
        if let Some(piece) = pieces.next() {
            refused = looking
                .push(Bytes::copy_from_slice(piece), &mut released)
                .is_err();
        }
        let over = pieces.peek().is_none();
        refused = refused || (over && looking.finish(&mut released).is_err());
        if refused {
            break;
        }
        count(released);
        if over {
            break;
        }
    }
    assert_eq!(refused, whole.is_err(), "whole: {whole:?}");
    if refused {
        assert!(left < text.len().max(1), "all of it left");
    } else {
        assert_eq!(left, text.len(), "some of it stayed");
    }
}
