//! The fixture "internet": an HTTPS (and HTTP) server that answers for any name in its certificate and tells,
//! one JSON line per request on its standard output, exactly what arrived. That line is the oracle of every whole-system test: what an
//! agent was told is one thing, what reached the other side is the proof.

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request as it arrived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// `https` or `http`.
    pub scheme: String,
    /// The Host header or `:authority`.
    pub host: String,
    /// The method.
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

/// Where it listens and what it shows.
pub struct Settings {
    /// TLS listener.
    pub https: SocketAddr,
    /// Plain listener.
    pub http: SocketAddr,
    /// Certificate chain and key.
    pub tls: Arc<rustls::ServerConfig>,
}

/// A server configuration from PEM files, offering h2 and http/1.1.
pub fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    use rustls_pki_types::pem::PemObject as _;
    let chain = rustls_pki_types::CertificateDer::pem_slice_iter(&fs_err::read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .context("the certificate is not PEM")?;
    let key =
        rustls_pki_types::PrivateKeyDer::from_pem_slice(&fs_err::read(key)?).context("the key is not PEM")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until the process ends.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let https = TcpListener::bind(settings.https)
        .await
        .context("binding the TLS listener")?;
    let http = TcpListener::bind(settings.http)
        .await
        .context("binding the plain listener")?;
    let acceptor = TlsAcceptor::from(settings.tls);
    loop {
        tokio::select! {
            accepted = https.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        connection("https", stream).await;
                    }
                });
            }
            accepted = http.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                tokio::spawn(connection("http", stream));
            }
        }
    }
}

async fn connection<S>(scheme: &'static str, stream: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| answer(scheme, request));
    // A client that goes away is part of the tests; there is nobody to tell.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(scheme: &'static str, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let (head, mut body) = request.into_parts();
    let mut hash = sha2::Sha256::new();
    let mut body_bytes = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            hash.update(&data);
            body_bytes += data.len() as u64;
        }
    }
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
    let seen = Seen {
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
        body_bytes,
        body_sha256: hex::encode(hash.finalize()),
    };
    report(&seen);
    Ok(respond(&seen))
}

/// One line for `docker logs`; a broken pipe ends nothing.
fn report(seen: &Seen) {
    if let Ok(line) = serde_json::to_string(seen) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

fn respond(seen: &Seen) -> Response<Body> {
    let path = seen.target.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut response = match last {
        "events" => streamed(
            "text/event-stream",
            (1..=3)
                .map(|n| Bytes::from(format!("data: event {n}\n\n")))
                .collect(),
        ),
        "megabyte" => streamed(
            "application/octet-stream",
            vec![Bytes::from(vec![b'x'; 64 * 1024]); 16],
        ),
        // An upstream that repeats what it was sent, credential included: what a tripwire is for.
        "mirror" => Response::new(full(
            seen.headers
                .get("authorization")
                .cloned()
                .unwrap_or_default()
                .into(),
        )),
        _ => {
            let told = serde_json::json!({
                "upstream": seen.host, "method": seen.method, "target": seen.target,
                "body_bytes": seen.body_bytes, "body_sha256": seen.body_sha256,
            });
            let mut response = Response::new(full(Bytes::from(format!("{told}\n"))));
            response
                .headers_mut()
                .insert("content-type", http::HeaderValue::from_static("application/json"));
            response
        }
    };
    if last == "teapot" {
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
    }
    response
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed()
}

fn streamed(content_type: &'static str, pieces: Vec<Bytes>) -> Response<Body> {
    let frames = futures_util::stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
    let mut response = Response::new(BoxBody::new(StreamBody::new(frames)));
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(content_type));
    response
}
