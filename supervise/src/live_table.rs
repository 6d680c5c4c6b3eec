//! Asks egress for its live table, through the socket in its front door: what the agent itself could read at
//! `http://_egress.local/allowlist`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use contract::place::{INTROSPECTION_HOST, INTROSPECTION_PATH};
use contract::{LiveTable, SCHEMA_VERSION};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// How long egress may take. It answers from memory; a guard that has not in this time is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest table that is read, in bytes.
const MAX_TABLE: usize = 2 * 1024 * 1024;

/// The table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadTable {
    /// nobody is there
    #[error("egress cannot be reached at {0}: {1}")]
    Unreachable(PathBuf, std::io::Error),
    /// somebody is there and does not speak HTTP
    #[error("egress broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// the body broke off, or is too long
    #[error("egress broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// it took too long
    #[error("egress did not answer within {} s", PATIENCE.as_secs())]
    Late,
    /// it answered something else
    #[error("egress answered {0} and no live table")]
    NoTable(http::StatusCode),
}

/// Reads the table from the egress that listens at a socket.
pub async fn read(socket: &Path) -> Result<LiveTable, UnreadTable> {
    tokio::time::timeout(PATIENCE, exchange(socket))
        .await
        .unwrap_or(Err(UnreadTable::Late))
}

async fn exchange(socket: &Path) -> Result<LiveTable, UnreadTable> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| UnreadTable::Unreachable(socket.to_owned(), error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let mut request = http::Request::new(Empty::<Bytes>::new());
    // Absolute form, as to any proxy. Both parts are constants of ours.
    if let Ok(uri) = format!("http://{INTROSPECTION_HOST}{INTROSPECTION_PATH}").parse() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().insert(
        http::header::HOST,
        http::HeaderValue::from_static(INTROSPECTION_HOST),
    );
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_TABLE)
        .collect()
        .await
        .map_err(UnreadTable::Body)?
        .to_bytes();
    driving.abort();
    serde_json::from_slice(&body)
        .ok()
        .filter(|table: &LiveTable| status == http::StatusCode::OK && table.schema_version == SCHEMA_VERSION)
        .ok_or(UnreadTable::NoTable(status))
}
