//! What speaks to the seat: one connection per request, as plain as can be, so that a test can send anything.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contract::Denial;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, as far as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Some(Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            body: bytes[end..].to_vec(),
            head,
        })
    }

    /// The refusal that it holds.
    pub(crate) fn denial(&self) -> Denial {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A stream either way.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Sends these bytes in absolute form and reads to the end.
pub(crate) fn plain(socket: &Path, request: &[u8]) -> Answer {
    let mut stream = open(socket);
    stream.write_all(request).unwrap();
    finish(stream)
}

/// A tunnel to port 443 of a host with TLS inside, or the answer to CONNECT.
pub(crate) fn tunnel(socket: &Path, authority: &str, host: &str) -> Result<Box<dyn Stream>, Answer> {
    let mut stream = open(socket);
    write!(stream, "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return Err(Answer::default());
        }
        head.push(byte[0]);
    }
    let mut answer = Answer::read(&head).unwrap();
    if answer.status != 200 {
        let _ = stream.read_to_end(&mut answer.body);
        return Err(answer);
    }
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    Ok(Box::new(StreamOwned::new(tls, stream)))
}

/// Sends these bytes through a tunnel and reads to the end.
pub(crate) fn tunnelled(socket: &Path, authority: &str, host: &str, request: &[u8]) -> Answer {
    match tunnel(socket, authority, host) {
        Err(answer) => answer,
        Ok(mut stream) => {
            // It may be refused and closed before all is sent.
            let _ = stream.write_all(request);
            finish(stream)
        }
    }
}

/// Reads to the end, however it comes.
pub(crate) fn finish(mut stream: impl Read) -> Answer {
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..read]);
    }
    Answer::read(&answer).unwrap_or_default()
}

/// A request whose connection ends with its answer.
pub(crate) fn request(
    method: &str,
    host: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Vec<u8> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

/// One frame as a client sends it.
pub(crate) fn frame(opcode: u8, fin: bool, rsv1: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

fn open(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
