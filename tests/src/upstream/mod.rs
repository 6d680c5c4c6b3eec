//! The fixture "internet": an HTTPS (and HTTP) server that answers for any name in its certificate and tells,
//! one JSON line per request on its standard output, exactly what arrived. That line is the oracle of every whole-system test: what an
//! agent was told is one thing, what reached the other side is the proof.
//!
//! It speaks what the clients of an agent speak: HTTP/1.1 and HTTP/2, WebSocket, gRPC, git's smart HTTP (fetching only), and the two
//! package indexes. It stands for a model, too, with a script for the real Claude Code. It is told apart by the request alone, so one server stands for every host. It checks no credential and
//! refuses nothing: what should not have arrived shall be seen.

mod answer;
mod git;
mod grpc;
mod messages;
mod node_registry;
mod python_index;
mod seen;
mod websocket;

pub use messages::SAW_IT;
pub use python_index::PACKAGE;
pub use seen::Seen;
pub use websocket::{MESSAGE, TELL_AUTHORIZATION};

use answer::Body;
use anyhow::Context as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use seen::Arrived;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

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
    let service = hyper::service::service_fn(move |request| respond(scheme, request));
    // A client that goes away is part of the tests; there is nobody to tell.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

async fn respond(scheme: &'static str, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    if websocket::is_asked_for(request.headers()) {
        let (head, body) = request.into_parts();
        let seen = Seen::of(scheme, &head, &Arrived::default());
        seen.report();
        return Ok(websocket::accept(Request::from_parts(head, body), seen));
    }
    let (head, body) = request.into_parts();
    let arrived = Arrived::read(body).await?;
    let seen = Seen::of(scheme, &head, &arrived);
    seen.report();
    if grpc::is_asked_for(&head.headers) {
        return Ok(grpc::answer(seen.path(), &arrived.beginning));
    }
    if messages::is_asked_for(&seen) {
        return Ok(messages::answer(&seen, &arrived.beginning));
    }
    if let Some(service) = git::asked_for(&seen) {
        return Ok(git::answer(service, &seen, &arrived.beginning).await);
    }
    Ok(python_index::answer(seen.path())
        .or_else(|| node_registry::answer(&seen))
        .unwrap_or_else(|| answer::echo(&seen)))
}
