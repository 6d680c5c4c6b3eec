//! What arrived, as one line of JSON each.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::io::Write as _;

/// How much of a body is kept for what answers to its content: more than any client of the tests sends there. The hash and the
/// length are of the whole body.
const KEPT: usize = 1 << 20;

/// One request as it arrived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// `https` or `http`.
    pub scheme: String,
    /// The Host header or `:authority`.
    pub host: String,
    /// The method; [`MESSAGE`](super::MESSAGE) for what came in a WebSocket.
    pub method: String,
    /// Path and query as they arrived.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Header values by lower-case name; several values are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// Body bytes that arrived.
    pub body_bytes: u64,
    /// SHA-256 of the body, hex.
    pub body_sha256: String,
}

/// A body as it arrived.
pub(super) struct Arrived {
    /// Its first bytes, up to a mebibyte.
    pub(super) beginning: Vec<u8>,
    bytes: u64,
    hash: sha2::Sha256,
}

// === impl Arrived ===

impl Default for Arrived {
    fn default() -> Self {
        Self {
            beginning: Vec::new(),
            bytes: 0,
            hash: sha2::Sha256::new(),
        }
    }
}

impl Arrived {
    /// Reads a body to its end.
    pub(super) async fn read(mut body: Incoming) -> Result<Self, hyper::Error> {
        let mut arrived = Self::default();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                arrived.take(&data);
            }
        }
        Ok(arrived)
    }

    fn take(&mut self, data: &Bytes) {
        self.hash.update(data);
        self.bytes += data.len() as u64;
        let room = KEPT.saturating_sub(self.beginning.len()).min(data.len());
        self.beginning.extend(data.iter().take(room));
    }
}

// === impl Seen ===

impl Seen {
    /// A request and its body.
    pub(super) fn of(scheme: &str, head: &http::request::Parts, arrived: &Arrived) -> Self {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &head.headers {
            let text = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|joined| {
                    joined.push_str(", ");
                    joined.push_str(&text);
                })
                .or_insert_with(|| text.into_owned());
        }
        let host = head
            .uri
            .authority()
            .map(ToString::to_string)
            .or_else(|| headers.get("host").cloned());
        Self {
            scheme: scheme.to_owned(),
            host: host.unwrap_or_default(),
            method: head.method.to_string(),
            target: head
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            version: format!("{:?}", head.version),
            headers,
            body_bytes: arrived.bytes,
            body_sha256: hex::encode(arrived.hash.clone().finalize()),
        }
    }

    /// What came over a connection that this request opened.
    pub(super) fn message(&self, method: &str, payload: &[u8]) -> Self {
        Self {
            method: method.to_owned(),
            headers: BTreeMap::new(),
            body_bytes: payload.len() as u64,
            body_sha256: hex::encode(sha2::Sha256::digest(payload)),
            ..self.clone()
        }
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// One line for `docker logs`; a broken pipe ends nothing.
    pub(super) fn report(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}
