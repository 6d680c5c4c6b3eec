//! The agent's side: the three ways in, over the guard's socket.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use contract::Denial;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How a request goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    AbsoluteForm,
    TunnelHttp1,
    TunnelHttp2,
}

pub(crate) const EVERY_WAY: [Way; 3] = [Way::AbsoluteForm, Way::TunnelHttp1, Way::TunnelHttp2];
pub(crate) const TUNNELS: [Way; 2] = [Way::TunnelHttp1, Way::TunnelHttp2];

/// A request to be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// The body goes in single bytes and without a length.
    pub(crate) in_pieces: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False: the stream broke off.
    pub(crate) whole: bool,
}

pub(crate) fn get(host: &str, target: &str) -> Ask {
    ask("GET", host, target)
}

pub(crate) fn ask(method: &str, host: &str, target: &str) -> Ask {
    Ask {
        method: method.to_owned(),
        host: host.to_owned(),
        target: target.to_owned(),
        ..Ask::default()
    }
}

impl Ask {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn in_pieces(mut self) -> Self {
        self.in_pieces = true;
        self
    }
}

impl Got {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The denial, of which the marking header and the JSON must agree.
    pub(crate) fn denial(&self) -> Denial {
        assert_eq!(
            self.headers
                .get("x-bottle-denied-by")
                .map(|by| by.to_str().unwrap()),
            Some("egress"),
            "{self:?}"
        );
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Sent = BoxBody<Bytes, std::convert::Infallible>;

/// An open connection to the guard.
pub(crate) enum Connection {
    Http1(hyper::client::conn::http1::SendRequest<Sent>, Way),
    Http2(hyper::client::conn::http2::SendRequest<Sent>),
}

/// What the guard said to CONNECT when it was not yes.
pub(crate) type NoTunnel = Got;

impl Connection {
    /// Opens one for this host; a refused CONNECT is an answer too.
    pub(crate) async fn open(
        socket: &Path,
        authority: &str,
        way: Way,
        host: &str,
    ) -> Result<Self, Box<NoTunnel>> {
        if way == Way::AbsoluteForm {
            let stream = UnixStream::connect(socket).await.unwrap();
            return Ok(Self::http1(stream, way).await);
        }
        let stream = connect(socket, &format!("{host}:443"), "").await?;
        let tls = tls(stream, authority, host, way == Way::TunnelHttp2)
            .await
            .unwrap();
        if way == Way::TunnelHttp1 {
            return Ok(Self::http1(tls, way).await);
        }
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                .await
                .unwrap();
        tokio::spawn(connection);
        Ok(Self::Http2(sender))
    }

    async fn http1<IO>(io: IO, way: Way) -> Self
    where
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::Http1(sender, way)
    }

    /// Sends a request and hands over the answer when its head is there.
    pub(crate) async fn begin(&mut self, ask: &Ask) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Self::Http1(sender, way) => {
                let uri = match way {
                    Way::AbsoluteForm => format!("http://{}{}", ask.host, ask.target),
                    _ => ask.target.clone(),
                };
                let mut request = build(ask, &uri);
                request.headers_mut().insert("host", ask.host.parse().unwrap());
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                let request = build(ask, &format!("https://{}{}", ask.host, ask.target));
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Sends a request whose body, of `length` bytes, comes from `pieces`.
    pub(crate) async fn send_streamed(
        &mut self,
        ask: &Ask,
        length: usize,
        pieces: tokio::sync::mpsc::Receiver<Bytes>,
    ) -> Got {
        let stream = futures_util::stream::unfold(pieces, |mut pieces| async move {
            let piece = pieces.recv().await?;
            Some((Ok(Frame::data(piece)), pieces))
        });
        let ask = ask.clone().header("content-length", length.to_string());
        let request = |uri: &str| build(&ask, uri).map(|_| StreamBody::new(stream).boxed());
        let response = match self {
            Self::Http1(sender, way) => {
                let uri = match way {
                    Way::AbsoluteForm => format!("http://{}{}", ask.host, ask.target),
                    _ => ask.target.clone(),
                };
                let mut request = request(&uri);
                request.headers_mut().insert("host", ask.host.parse().unwrap());
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                let request = request(&format!("https://{}{}", ask.host, ask.target));
                sender.send_request(request).await
            }
        };
        collect(response.unwrap()).await
    }

    pub(crate) async fn send(&mut self, ask: &Ask) -> Got {
        let response = self.begin(ask).await.unwrap();
        collect(response).await
    }
}

fn build(ask: &Ask, uri: &str) -> Request<Sent> {
    let mut request = Request::builder().method(ask.method.as_str()).uri(uri);
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let bytes = Bytes::from(ask.body.clone());
    let body = if ask.in_pieces {
        let frames: Vec<_> = bytes
            .chunks(1)
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        StreamBody::new(futures_util::stream::iter(frames)).boxed()
    } else {
        Full::new(bytes).boxed()
    };
    request.body(body).unwrap()
}

pub(crate) async fn collect(response: http::Response<Incoming>) -> Got {
    let (parts, mut body) = response.into_parts();
    let mut received = Vec::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => received.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    Got {
        status: parts.status,
        headers: parts.headers,
        body: received.into(),
        whole,
    }
}

/// Asks for a tunnel, with more header lines if given.
pub(crate) async fn connect(socket: &Path, target: &str, lines: &str) -> Result<UnixStream, Box<NoTunnel>> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(stream);
    }
    stream.read_to_end(&mut answer).await.unwrap();
    Err(Box::new(parse(&answer)))
}

/// A WebSocket to the guard, or what was answered instead.
pub(crate) type Opened = Result<WebSocketStream<TlsStream<UnixStream>>, Box<Got>>;

/// Asks for an upgrade as this request would.
pub(crate) async fn open_websocket(socket: &Path, authority: &str, ask: &Ask) -> Opened {
    let stream = connect(socket, &format!("{}:443", ask.host), "").await?;
    let mut tls = tls(stream, authority, &ask.host, false).await.unwrap();
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
        ask.method, ask.target, ask.host
    );
    for (name, value) in &ask.headers {
        head += &format!("{name}: {value}\r\n");
    }
    tls.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !is_whole(&answer) {
        answer.push(tls.read_u8().await.unwrap());
    }
    let got = parse(&answer);
    if got.status == StatusCode::SWITCHING_PROTOCOLS {
        Ok(WebSocketStream::from_raw_socket(tls, Role::Client, None).await)
    } else {
        Err(Box::new(got))
    }
}

/// Writes raw bytes to the guard and reads until it closes or an answer is whole.
pub(crate) async fn raw<IO>(mut io: IO, bytes: &[u8]) -> Got
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    io.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = io.read(&mut piece).await.unwrap_or(0);
        answer.extend_from_slice(&piece[..count]);
        if count == 0 || is_whole(&answer) {
            return parse(&answer);
        }
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        return false;
    };
    let body: usize = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |header| {
            std::str::from_utf8(header.value).unwrap().parse().unwrap()
        });
    bytes.len() >= length + body
}

fn parse(bytes: &[u8]) -> Got {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(bytes).unwrap() else {
        panic!("no whole head: {}", String::from_utf8_lossy(bytes));
    };
    let mut map = HeaderMap::new();
    for header in head.headers.iter() {
        map.append(
            http::HeaderName::from_bytes(header.name.as_bytes()).unwrap(),
            header.value.try_into().unwrap(),
        );
    }
    Got {
        status: StatusCode::from_u16(head.code.unwrap()).unwrap(),
        headers: map,
        body: Bytes::copy_from_slice(&bytes[length..]),
        whole: true,
    }
}

/// TLS to the host, trusting the bottle's authority alone.
pub(crate) async fn tls(
    stream: UnixStream,
    authority: &str,
    name: &str,
    http2: bool,
) -> std::io::Result<TlsStream<UnixStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![if http2 {
        b"h2".to_vec()
    } else {
        b"http/1.1".to_vec()
    }];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector
        .connect(ServerName::try_from(name.to_owned()).unwrap(), stream)
        .await
}
