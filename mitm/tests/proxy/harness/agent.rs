//! The agent's side: raw bytes to the proxy, and readers that notice a broken stream.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Io, TestAuthority, within};

/// One connection to the proxy.
pub(crate) struct Agent {
    pub(crate) io: Box<dyn Io>,
    /// Read and not consumed.
    pub(crate) unread: BytesMut,
}

/// A response as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False when the stream broke off before the message's end.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Agent {
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self::over(socket)
    }

    pub(crate) fn over(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            unread: BytesMut::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Sends, when the other side may have closed already.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.io.write_all(bytes.as_ref()).await;
        let _ = self.io.flush().await;
    }

    /// Sends a CONNECT and reads its answer.
    pub(crate) async fn connect(&mut self, authority: &str) -> Answer {
        self.send(format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
        ))
        .await;
        read_answer(self, "CONNECT").await
    }

    /// CONNECT, then TLS; the session's ALPN must be agreed on as offered.
    pub(crate) async fn tunnel(mut self, authority: &str, trust: &TestAuthority, alpn: &[&[u8]]) -> Self {
        let answer = self.connect(authority).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let host = authority.rsplit_once(':').unwrap().0.to_owned();
        self.tls(&host, trust.client(alpn)).await.expect("a TLS session")
    }

    pub(crate) async fn tls(self, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        assert!(self.unread.is_empty());
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = within(TlsConnector::from(config).connect(name, self.io)).await?;
        Ok(Self::over(stream))
    }

    /// One HTTP/1.1 request and its answer.
    pub(crate) async fn request(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let method = request.as_ref().split(|&byte| byte == b' ').next().unwrap();
        let method = String::from_utf8(method.to_vec()).unwrap();
        self.send(request).await;
        read_answer(self, &method).await
    }

    /// Reads to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Bytes {
        while self.fill().await {}
        self.unread.split().freeze()
    }

    /// False at the end of the connection, however it came.
    pub(crate) async fn fill(&mut self) -> bool {
        matches!(within(self.io.read_buf(&mut self.unread)).await, Ok(1..))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.unread.split_to(end);
                self.unread.advance(2);
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// At most `length` bytes; fewer when the connection ends.
    pub(crate) async fn take(&mut self, length: usize) -> Bytes {
        while self.unread.len() < length && self.fill().await {}
        let length = length.min(self.unread.len());
        self.unread.split_to(length).freeze()
    }
}

/// Reads a response's head: status and headers.
pub(crate) async fn read_head(agent: &mut Agent) -> Option<(u16, HeaderMap)> {
    let status = agent.line().await?;
    let status = status.split(' ').nth(1)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    loop {
        let line = agent.line().await?;
        if line.is_empty() {
            return Some((status, headers));
        }
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        headers.append(
            http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
}

/// Reads one response to a request with this method.
pub(crate) async fn read_answer(agent: &mut Agent, method: &str) -> Answer {
    let (status, headers) = read_head(agent).await.expect("a response head");
    let length = headers
        .get("content-length")
        .map(|value| value.to_str().unwrap().parse::<usize>().unwrap());
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|value| value == "chunked");
    let bodiless =
        method == "HEAD" || status == 204 || status == 304 || (method == "CONNECT" && status == 200);
    let (body, complete) = if bodiless {
        (Bytes::new(), true)
    } else if chunked {
        read_chunks(agent).await
    } else if let Some(length) = length {
        let body = agent.take(length).await;
        let complete = body.len() == length;
        (body, complete)
    } else {
        (agent.rest().await, true)
    };
    Answer {
        status,
        headers,
        body,
        complete,
    }
}

async fn read_chunks(agent: &mut Agent) -> (Bytes, bool) {
    let mut body = BytesMut::new();
    loop {
        let Some(line) = agent.line().await else {
            return (body.freeze(), false);
        };
        let length = usize::from_str_radix(&line, 16).unwrap();
        if length == 0 {
            loop {
                match agent.line().await {
                    None => return (body.freeze(), false),
                    Some(line) if line.is_empty() => return (body.freeze(), true),
                    Some(_trailer) => {}
                }
            }
        }
        let data = agent.take(length).await;
        body.extend_from_slice(&data);
        if data.len() < length || agent.line().await.is_none() {
            return (body.freeze(), false);
        }
    }
}

/// A plain GET inside a tunnel.
pub(crate) fn get(authority: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

/// An HTTP/2 client over a tunnel.
pub(crate) async fn h2_client<B>(agent: Agent) -> SendRequest<B>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(agent.io))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}
