//! A pipelock seat in a few lines: a proxy on a Unix socket that opens every tunnel, answers for every host with its own
//! authority, and remembers what arrived.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With scheme and host where it came in absolute form or over HTTP/2.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False: it broke off.
    pub(crate) whole: bool,
}

pub(crate) struct Seat {
    pub(crate) socket: PathBuf,
    pub(crate) authority: String,
    /// Signs for hosts named `through.…`, into which the seat does not look.
    pub(crate) upstream_authority: String,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    /// What came in messages of WebSockets, text or binary; a control frame counts with its payload.
    messages: Mutex<Vec<Bytes>>,
    /// How many WebSockets have ended.
    ended: watch::Sender<usize>,
    tunnels: Mutex<Vec<String>>,
    spoken_in: Mutex<Vec<String>>,
    issuer: Issuer<'static, KeyPair>,
    upstream_issuer: Issuer<'static, KeyPair>,
    /// Lets a stream at `/events` go on.
    next_event: Notify,
}

/// An authority of its own: issuer and certificate in PEM.
pub(crate) fn authority(name: &str) -> (Issuer<'static, KeyPair>, String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::KeyCertSign,
        rcgen::KeyUsagePurpose::CrlSign,
    ];
    let certificate = params.self_signed(&key).unwrap().pem();
    let key_pem = key.serialize_pem();
    (Issuer::new(params, key), certificate, key_pem)
}

impl Seat {
    /// Listens in `directory`.
    pub(crate) fn start(directory: &Path) -> Self {
        let (issuer, authority, _) = authority("the seat");
        let (upstream_issuer, upstream_authority, _) = self::authority("the upstream");
        let socket = directory.join("seat.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            messages: Mutex::default(),
            ended: watch::Sender::new(0),
            tunnels: Mutex::default(),
            spoken_in: Mutex::default(),
            issuer,
            upstream_issuer,
            next_event: Notify::new(),
        });
        tokio::spawn({
            let shared = shared.clone();
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(stream, shared.clone()));
                }
            }
        });
        Self {
            socket,
            authority,
            upstream_authority,
            shared,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// What arrived in messages, once so many WebSockets have ended.
    pub(crate) async fn messages(&self, ended: usize) -> Vec<Bytes> {
        let mut count = self.shared.ended.subscribe();
        let waited = count.wait_for(|count| *count >= ended);
        let patience = std::time::Duration::from_secs(30);
        tokio::time::timeout(patience, waited)
            .await
            .expect("the WebSockets end")
            .unwrap();
        self.shared.messages.lock().clone()
    }

    pub(crate) fn tunnels(&self) -> Vec<String> {
        self.shared.tunnels.lock().clone()
    }

    /// The tunnels in which there was a byte.
    pub(crate) fn spoken_in(&self) -> Vec<String> {
        self.shared.spoken_in.lock().clone()
    }

    pub(crate) fn next_event(&self) {
        self.shared.next_event.notify_one();
    }
}

async fn serve(mut stream: UnixStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
        // A plain request: the head goes to hyper with the rest.
        if head.len() == 8 && !head.starts_with(b"CONNECT ") {
            return serve_http(Rewound { head, stream }, shared, false).await;
        }
    }
    let text = String::from_utf8(head).unwrap();
    let target = text.split(' ').nth(1).unwrap().to_owned();
    shared.tunnels.lock().push(target.clone());
    let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
    if stream.write_all(established).await.is_err() {
        return;
    }
    let Ok(first) = stream.read_u8().await else { return };
    shared.spoken_in.lock().push(target.clone());
    let stream = Rewound {
        head: vec![first],
        stream,
    };
    let host = target.strip_suffix(":443").unwrap();
    let issuer = if host.starts_with("through.") {
        &shared.upstream_issuer
    } else {
        &shared.issuer
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(server_config(host, issuer));
    if let Ok(tls) = acceptor.accept(stream).await {
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        serve_http(tls, shared, http2).await;
    }
}

fn server_config(host: &str, issuer: &Issuer<'static, KeyPair>) -> Arc<rustls::ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([host.to_owned()])
        .unwrap()
        .signed_by(&key, issuer)
        .unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    // h2 upstream for one host, so that both are exercised.
    config.alpn_protocols = if host.starts_with("h2.") {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Arc::new(config)
}

async fn serve_http<IO>(io: IO, shared: Arc<Shared>, http2: bool)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, shared.clone()));
    let io = TokioIo::new(io);
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .with_upgrades()
            .await
    };
}

/// Switches to WebSocket, tells what it gets, and answers with what the path asks for.
fn upgrade(mut request: Request<Incoming>, shared: Arc<Shared>) -> Response<Body> {
    use futures_util::{SinkExt as _, StreamExt as _};
    let accept = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
    let upgrading = hyper::upgrade::on(&mut request);
    let asked = request.uri().path().to_owned();
    let credential = credential(request.headers());
    tokio::spawn(async move {
        let io = TokioIo::new(upgrading.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        let parts: &[&str] = match asked.rsplit('/').next().unwrap() {
            "echo-message" => &[&format!("you sent {credential}")],
            "echo-messages" => &[&credential[..9], &credential[9..]],
            _ => &[],
        };
        for part in parts {
            let _ = socket.send(Message::text(*part)).await;
        }
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                continue;
            }
            let data = message.into_data();
            shared.messages.lock().push(data.clone());
            let _ = socket.send(Message::binary(data)).await;
        }
        shared.ended.send_modify(|ended| *ended += 1);
    });
    let mut response = Response::new(whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", &accept),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn credential(headers: &HeaderMap) -> String {
    let value = headers
        .get("authorization")
        .map_or("", |value| value.to_str().unwrap());
    value.trim_start_matches("Bearer ").to_owned()
}

type Body = BoxBody<Bytes, std::io::Error>;

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Infallible> {
    if request.headers().contains_key("upgrade") {
        shared.seen.lock().push(Seen {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
            body: Bytes::new(),
            whole: true,
        });
        if request.uri().path().ends_with("/no-websocket") {
            return Ok(Response::new(whole("upstream")));
        }
        return Ok(upgrade(request, shared));
    }
    let (parts, mut body) = request.into_parts();
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
    shared.seen.lock().push(Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers.clone(),
        body: received.into(),
        whole,
    });
    Ok(respond(parts.uri.path(), &parts.headers, shared))
}

fn respond(path: &str, headers: &HeaderMap, shared: Arc<Shared>) -> Response<Body> {
    let credential = || credential(headers);
    let mut response = Response::new(whole("upstream"));
    let set = |response: &mut Response<Body>, name: &'static str, value: &str| {
        response.headers_mut().insert(name, value.parse().unwrap());
    };
    match path.rsplit('/').next().unwrap() {
        "echo-body" => *response.body_mut() = bytewise(format!("you sent {} to me", credential())),
        "echo-base64" => {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(format!("x{}", credential()));
            *response.body_mut() = bytewise(encoded);
        }
        "echo-header" => set(&mut response, "x-debug", &credential()),
        "echo-name" => {
            let name = http::HeaderName::from_bytes(format!("x-{}", credential()).as_bytes()).unwrap();
            response.headers_mut().insert(name, "x".parse().unwrap());
        }
        "zstd" => set(&mut response, "content-encoding", "zstd"),
        "gzip" => {
            set(&mut response, "content-encoding", "gzip");
            *response.body_mut() = bytewise(gzip("upstream"));
        }
        "echo-gzip" => {
            set(&mut response, "content-encoding", "gzip");
            *response.body_mut() = bytewise(gzip(&format!("you sent {} to me", credential())));
        }
        "alt-svc" => set(&mut response, "alt-svc", "h3=\":443\""),
        "seat-denied" => {
            *response.status_mut() = StatusCode::FORBIDDEN;
            set(&mut response, "x-bottle-denied-by", "pipelock");
            *response.body_mut() = whole("{\"denied_by\":\"pipelock\"}");
        }
        "egress-denied" => {
            *response.status_mut() = StatusCode::FORBIDDEN;
            set(&mut response, "x-bottle-denied-by", "egress");
        }
        "events" => {
            set(&mut response, "content-type", "text/event-stream");
            *response.body_mut() = events(shared);
        }
        _ => {}
    }
    response
}

fn whole(text: &str) -> Body {
    Full::new(Bytes::copy_from_slice(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed()
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// One byte per frame, so that nothing is ever seen whole.
fn bytewise(text: impl Into<Vec<u8>>) -> Body {
    let frames = text
        .into()
        .into_iter()
        .map(|byte| Ok(Frame::data(Bytes::copy_from_slice(&[byte]))));
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

/// Three events, each when the test says so.
fn events(shared: Arc<Shared>) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for number in 1..=3 {
            shared.next_event.notified().await;
            let event = Bytes::from(format!("data: {number}\n\n"));
            if sender.send(Ok(Frame::data(event))).await.is_err() {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let next = receiver.recv().await?;
        Some((next, receiver))
    });
    StreamBody::new(stream).boxed()
}

/// A stream whose first bytes were read already.
struct Rewound {
    head: Vec<u8>,
    stream: UnixStream,
}

impl tokio::io::AsyncRead for Rewound {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.head.is_empty() {
            return std::pin::Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.head.len().min(buffer.remaining());
        buffer.put_slice(&self.head[..count]);
        self.head.drain(..count);
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Rewound {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
