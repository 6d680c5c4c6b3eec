//! A stand-in for the real pipelock image, which cannot be pulled where tests run: it speaks that program's documented contract, as far
//! as a bottle relies on it.
//!
//! `run -c FILE -l ADDRESS`; a strict reading of its YAML (an unknown top-level key is fatal, so is a CA key in PKCS#8); `/health`; the
//! allowlist in strict mode, followed while the file changes; plain-text 403s that say `CONNECT blocked: …`; TLS interception with the
//! bottle's CA; no acknowledgement. It looks for nothing in what passes: what leaves is not what is tested with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use mitm::{
    AddressRules, CertificateAuthority, ConnectPlan, ConnectRequest, Denial, Forward, Limits, ListenAddress,
    Listener, LocalResponse, Outcome, Permit, Policy, Proxy, Reason, Refusal, RequestHead, Upstream, Verdict,
    trust,
};
use parking_lot::RwLock;
use pipelock_config::{PipelockFile, Seat};
use tokio_util::sync::CancellationToken;

/// How long after a change the file is read again, as in the real one.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Top-level keys of its schema that a bottle may write.
const KNOWN: [&str; 8] = [
    "explain_blocks",
    "forward_proxy",
    "internal",
    "logging",
    "media_policy",
    "metrics_listen",
    "sentry",
    "websocket_proxy",
];

struct Standin {
    seat: Arc<RwLock<Seat>>,
    upstream: Arc<Upstream>,
}

struct Through;

impl Permit for Through {
    fn finished(self, _: Outcome) {}
}

fn plain(status: StatusCode, text: String) -> LocalResponse {
    let mut answer = Response::new(Bytes::from(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn blocked(text: String) -> Denial {
    Denial {
        logged: text.clone(),
        told_agent: plain(StatusCode::FORBIDDEN, text),
    }
}

impl Policy for Standin {
    type Permit = Through;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<ConnectPlan, Denial> {
        let host = request.authority.host.to_string();
        if self.seat.read().admits(&host) {
            Ok(ConnectPlan::Intercept { http2: true })
        } else {
            Err(blocked(format!(
                "CONNECT blocked: domain not in allowlist: {host}\n"
            )))
        }
    }

    async fn admit(&self, head: &RequestHead, _: &mut HeaderMap) -> Verdict<Through> {
        let host = head.authority.host.to_string();
        if !self.seat.read().admits(&host) {
            return Verdict::Deny(blocked(format!("blocked: domain not in allowlist: {host}\n")));
        }
        Verdict::Forward(Forward {
            permit: Through,
            upstream: self.upstream.clone(),
        })
    }

    fn refused(&self, refusal: &Refusal<'_>) -> LocalResponse {
        if refusal.reason == Reason::NotAProxyRequest && refusal.target == Some(b"/health") {
            return plain(StatusCode::OK, "{\"status\":\"healthy\"}\n".to_owned());
        }
        plain(refusal.reason.status(), format!("blocked: {}\n", refusal.detail))
    }
}

/// Runs it until the process ends.
pub async fn run(config: &Path, listen: ListenAddress) -> anyhow::Result<()> {
    let (file, seat) = read(config)?;
    let authority = authority(config, &file)?;
    let rules = AddressRules {
        permitted: seat.permitted_networks.clone(),
        never: Vec::new(),
    };
    // The image has the public roots; where the tests' own upstream is trusted, its authority lies beside the config.
    let extra = fs_err::read_to_string(config.with_file_name("extra-ca.pem")).unwrap_or_default();
    let upstream = Upstream::direct(rules, trust::public_roots(&extra)?);
    let seat = Arc::new(RwLock::new(seat));
    tokio::spawn(follow(config.to_owned(), seat.clone()));
    let listener = Listener::bind(&listen)?;
    let proxy = Proxy::new(Arc::new(Standin { seat, upstream }), authority, Limits::default());
    proxy.serve(listener, CancellationToken::new()).await;
    Ok(())
}

fn read(config: &Path) -> anyhow::Result<(PipelockFile, Seat)> {
    let text = fs_err::read(config)?;
    let file = PipelockFile::parse(&text)?;
    if let Some(key) = file.others.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        bail!("config: field {key} not found in type config.Config");
    }
    ensure!(
        !file.api_allowlist.is_empty(),
        "config: strict mode requires a non-empty api_allowlist"
    );
    let seat = file.seat()?;
    Ok((file, seat))
}

/// The CA that the file names, relative to it.
fn authority(config: &Path, file: &PipelockFile) -> anyhow::Result<CertificateAuthority> {
    let beside = |key: &str| -> anyhow::Result<String> {
        let name = file
            .tls_interception
            .others
            .get(key)
            .and_then(|name| name.as_str());
        let name = name.with_context(|| format!("config: tls_interception.{key} is missing"))?;
        Ok(fs_err::read_to_string(config.with_file_name(name))?)
    };
    let (certificate, key) = (beside("ca_cert")?, beside("ca_key")?);
    ensure!(
        key.starts_with("-----BEGIN EC PRIVATE KEY-----"),
        "tls: failed to parse CA key: use SEC1 (EC PRIVATE KEY)"
    );
    Ok(CertificateAuthority::from_pem(&certificate, &key)?)
}

/// Reads the file again when it has changed; one that does not parse leaves the old policy in force, and nothing says so but
/// the log.
async fn follow(config: PathBuf, seat: Arc<RwLock<Seat>>) {
    let mut last = fs_err::read(&config).ok();
    loop {
        tokio::time::sleep(DEBOUNCE).await;
        let now = fs_err::read(&config).ok();
        if now == last {
            continue;
        }
        last = now;
        if let Ok((_, changed)) = read(&config) {
            *seat.write() = changed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::RouteTable;
    use pipelock_config::{CredentialKey, Engine, Model, allow_host, render, sec1_key};
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0; 512];
        let read = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_apply_path_of_the_real_engine_is_a_changed_file_and_a_probe() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("pipelock.yaml");
        let table = "schema_version: 1\ngeneration: 1\nroutes: [{host: docs.rs}]\n";
        let table = RouteTable::parse(table.as_bytes()).unwrap();
        let model = Model::of_routes(&table, CredentialKey::new([1; 32]), |_| None);
        let rendered = render(&model, Engine::Pipelock);
        fs_err::write(&config, &rendered.pipelock_yaml).unwrap();
        let authority = crate::authority::Authority::new().unwrap();
        fs_err::write(directory.path().join("ca.pem"), authority.certificate()).unwrap();
        let key = directory.path().join("ca-key.pem");
        fs_err::write(&key, authority.key()).unwrap();
        let address: std::net::SocketAddr = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        };
        let refused = run(&config, ListenAddress::Tcp(address))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("SEC1"), "{refused}");

        fs_err::write(&key, &*sec1_key(&authority.key()).unwrap()).unwrap();
        let running = tokio::spawn({
            let config = config.clone();
            async move { run(&config, ListenAddress::Tcp(address)).await }
        });
        while TcpStream::connect(address).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(ask(address, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").contains("healthy"));
        let probe = "CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n";
        let refused = ask(address, probe);
        assert!(
            refused.starts_with("HTTP/1.1 403") && refused.contains("text/plain"),
            "{refused}"
        );
        let admitted = allow_host(&rendered.pipelock_yaml, &"pypi.org".parse().unwrap()).unwrap();
        fs_err::write(&config, admitted).unwrap();
        while !ask(address, probe).starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.abort();
    }
}
