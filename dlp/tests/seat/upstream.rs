//! The upstream: one server for every host, in the clear on port 80 and with TLS on port 443. It remembers what it saw and
//! answers what it was told to.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// A running upstream.
pub(crate) struct Upstream {
    /// Whom to trust there, PEM.
    pub(crate) authority: String,
    /// What it answers: content type and body.
    answer: Arc<Mutex<Answer>>,
    seen: Receiver<Vec<u8>>,
}

/// What is answered to a request.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

/// A certificate authority: its certificate in PEM, and what signs.
pub(crate) fn authority(name: &str) -> (String, String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).unwrap().pem();
    let key_pem = key.serialize_pem();
    (certificate, key_pem, Issuer::new(params, key))
}

impl Upstream {
    /// Starts it; inside a namespace only.
    pub(crate) fn start(hosts: &[String]) -> Self {
        let (pem, _, issuer) = authority("upstream of a test");
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf = CertificateParams::new(hosts.to_vec())
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let (sender, seen) = channel();
        let answer = Arc::new(Mutex::new(Answer::default()));
        listen(80, None, &sender, &answer);
        listen(443, Some(Arc::new(config)), &sender, &answer);
        Self {
            authority: pem,
            answer,
            seen,
        }
    }

    /// What it answers from now on.
    pub(crate) fn answers(&self, headers: &str, body: &[u8]) {
        *self.answer.lock() = Answer {
            headers: headers.to_owned(),
            body: body.to_vec(),
        };
    }

    /// Every request that was begun since this was asked last: its bytes, or a WebSocket's payload.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.try_iter().collect()
    }
}

impl Upstream {
    /// What the frames of a WebSocket held that were sent before its connection ended; nothing when none was opened.
    pub(crate) fn wait_for_messages(&self) -> Vec<u8> {
        self.seen
            .recv_timeout(std::time::Duration::from_secs(5))
            .unwrap_or_default()
    }
}

fn listen(port: u16, tls: Option<Arc<ServerConfig>>, seen: &Sender<Vec<u8>>, answer: &Arc<Mutex<Answer>>) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (seen, answer) = (seen.clone(), answer.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, answer, tls) = (seen.clone(), answer.clone(), tls.clone());
            let stream = stream.unwrap();
            std::thread::spawn(move || match tls {
                None => serve(stream, &seen, &answer),
                Some(config) => serve(
                    StreamOwned::new(ServerConnection::new(config).unwrap(), stream),
                    &seen,
                    &answer,
                ),
            });
        }
    });
}

/// Serves requests until the connection ends. Whatever of a request arrives is told, whole or not, before it is answered.
fn serve(mut stream: impl Read + Write, seen: &Sender<Vec<u8>>, answer: &Mutex<Answer>) {
    while let Some(head) = read_head(&mut stream) {
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        if let Some(key) = String::from_utf8_lossy(&head)
            .lines()
            .find_map(|line| {
                line.split_once(": ")
                    .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            })
            .map(|(_, key)| key.to_owned())
        {
            let accept = accept(key.trim());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
            let _ = seen.send(read_messages(&mut stream));
            return;
        }
        let mut request = head;
        let whole = match (field("content-length"), field("transfer-encoding")) {
            (Some(length), _) => read_exactly(&mut stream, &mut request, length.parse().unwrap()),
            (None, Some(_)) => read_chunks(&mut stream, &mut request),
            (None, None) => true,
        };
        let _ = seen.send(request);
        if !whole {
            return;
        }
        let Answer { headers, body } = answer.lock().clone();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body))
            .is_err()
        {
            return;
        }
        let _ = stream.flush();
        if field("connection").as_deref() == Some("close") {
            return;
        }
    }
}

fn read_head(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(head)
}

fn read_exactly(stream: &mut impl Read, request: &mut Vec<u8>, length: u64) -> bool {
    stream
        .take(length)
        .read_to_end(request)
        .is_ok_and(|read| read as u64 == length)
}

fn read_chunks(stream: &mut impl Read, request: &mut Vec<u8>) -> bool {
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                _ => return false,
            }
        }
        let size = u64::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
        if !read_exactly(stream, request, size) || stream.read_exact(&mut [0; 2]).is_err() {
            return false;
        }
        if size == 0 {
            return true;
        }
    }
}

/// The payload of every whole frame but close frames, until the connection ends.
fn read_messages(stream: &mut impl Read) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut read = || {
        let mut head = [0; 2];
        stream.read_exact(&mut head).ok()?;
        let length = match head[1] & 0x7f {
            126 => {
                let mut long = [0; 2];
                stream.read_exact(&mut long).ok()?;
                u64::from(u16::from_be_bytes(long))
            }
            127 => {
                let mut long = [0; 8];
                stream.read_exact(&mut long).ok()?;
                u64::from_be_bytes(long)
            }
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        if head[1] & 0x80 != 0 {
            stream.read_exact(&mut mask).ok()?;
        }
        let mut data = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut data).ok()?;
        data.iter_mut()
            .zip(mask.iter().cycle())
            .for_each(|(byte, mask)| *byte ^= mask);
        Some((head[0] & 0x0f, data))
    };
    while let Some((opcode, data)) = read() {
        if opcode == 8 {
            break;
        }
        payload.extend(data);
    }
    payload
}

fn accept(key: &str) -> String {
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    STANDARD.encode(digest)
}
