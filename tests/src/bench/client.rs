//! The measuring client: one HTTP/1.1 connection over TLS, made directly or through a CONNECT proxy.

use crate::bench::Files;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How the origin is reached.
#[derive(Clone)]
pub struct Client {
    proxy: Option<SocketAddr>,
    tls: TlsConnector,
}

/// One open connection.
pub struct Connection {
    sender: SendRequest<Body>,
    host: String,
}

impl Client {
    /// A client that trusts the origin and the intercepting proxies alike.
    pub fn new(proxy: Option<SocketAddr>, files: &Files) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for name in ["upstream-ca.pem", "ca.pem"] {
            roots.add(
                rustls_pki_types::CertificateDer::from_pem_file(files.path(name)).context("a CA file")?,
            )?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every connection pays for a whole handshake: that is what is compared.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            proxy,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Opens a connection to a host: TCP, CONNECT where there is a proxy, TLS.
    pub async fn connect(&self, host: &str) -> anyhow::Result<Connection> {
        let stream = match self.proxy {
            None => TcpStream::connect((crate::bench::namespaces::ORIGIN, 443)).await?,
            Some(proxy) => {
                let mut stream = TcpStream::connect(proxy).await?;
                stream.set_nodelay(true)?;
                let head = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                established(&mut stream).await?;
                stream
            }
        };
        stream.set_nodelay(true)?;
        let name = rustls_pki_types::ServerName::try_from(host.to_owned())?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .context("TLS with the proxy or origin")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection {
            sender,
            host: host.to_owned(),
        })
    }
}

/// Reads the answer to CONNECT, and not a byte more.
async fn established(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut head = Vec::with_capacity(128);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < 4096, "the proxy's answer to CONNECT does not end");
        head.push(stream.read_u8().await.context("the proxy closed at CONNECT")?);
    }
    ensure!(
        head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.0 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    Ok(())
}

impl Connection {
    async fn send(&mut self, method: Method, path: &str, body: Body) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .body(body)?;
        let response = self.sender.send_request(request).await?;
        ensure!(response.status() == 200, "{path} answered {}", response.status());
        Ok(response)
    }

    /// One GET; how many body bytes came.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<usize> {
        let response = self.send(Method::GET, path, Empty::new().boxed_unsync()).await?;
        read(response).await
    }

    /// One GET, up to the first piece of its body; the rest is read too.
    pub async fn first_piece(&mut self, path: &str, arrived: impl FnOnce()) -> anyhow::Result<()> {
        let mut response = self.send(Method::GET, path, Empty::new().boxed_unsync()).await?;
        response.body_mut().frame().await.context("no body")??;
        arrived();
        read(response).await.map(|_| ())
    }

    /// One POST of this many bytes in pieces of 64 KiB.
    pub async fn post(&mut self, path: &str, bytes: usize) -> anyhow::Result<()> {
        const PIECE: &[u8] = &[b'y'; 64 * 1024];
        let pieces = (0..bytes / PIECE.len()).map(|_| Ok(Frame::data(Bytes::from_static(PIECE))));
        let body = UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(pieces)));
        let response = self.send(Method::POST, path, body).await?;
        read(response).await.map(|_| ())
    }
}

impl Connection {
    /// One POST of this JSON, its length known.
    pub async fn post_json(&mut self, path: &str, body: Bytes) -> anyhow::Result<()> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .header("user-agent", "bench/1.0")
            .header("accept", "application/json")
            .body(http_body_util::Full::new(body).boxed_unsync())?;
        let response = self.sender.send_request(request).await?;
        ensure!(response.status() == 200, "{path} answered {}", response.status());
        read(response).await.map(|_| ())
    }
}

async fn read(response: Response<Incoming>) -> anyhow::Result<usize> {
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes += data.len();
        }
    }
    Ok(bytes)
}
