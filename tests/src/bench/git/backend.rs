//! `git http-backend` behind the smallest HTTP server that can run it: smart HTTP without a gate and without a hook.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

/// A running server; it ends with its runtime.
pub(super) struct Backend {
    port: u16,
    _runtime: tokio::runtime::Runtime,
}

// === impl Backend ===

impl Backend {
    /// Serves the repositories below `root`.
    pub(super) fn start(root: PathBuf) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let root = root.clone();
                let service = service_fn(move |request| {
                    let root = root.clone();
                    async move {
                        let answer = answer(root, request).await;
                        Ok::<_, Infallible>(answer.unwrap_or_else(|error| broken(&error)))
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(Self {
            port,
            _runtime: runtime,
        })
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}.git", self.port)
    }
}

fn broken(error: &anyhow::Error) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{error:#}\n"))));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

/// One request as CGI (RFC 3875).
async fn answer(root: PathBuf, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", &root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let body = body.collect().await?.to_bytes();
    command.env("CONTENT_LENGTH", body.len().to_string());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("git has no input")?;
    let feed = async move {
        // What git does not want to read it does not need.
        let _ = input.write_all(&body).await;
        drop(input);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    read(&output?.stdout)
}

/// What a CGI program writes: header lines, an empty one, the body.
fn read(output: &[u8]) -> anyhow::Result<Response<Full<Bytes>>> {
    let end = output
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .context("git wrote no headers")?;
    let (head, body) = (
        output.get(..end).unwrap_or_default(),
        output.get(end + 4..).unwrap_or_default(),
    );
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(body)));
    for line in std::str::from_utf8(head)?.split("\r\n") {
        let (name, value) = line.split_once(": ").context("no header")?;
        if name == "Status" {
            let code = value.split(' ').next().unwrap_or_default();
            *answer.status_mut() = StatusCode::from_bytes(code.as_bytes())?;
        } else {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            answer.headers_mut().append(name, HeaderValue::from_str(value)?);
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_headers_are_the_answer_s() {
        let answer = read(b"Status: 403 Forbidden\r\nContent-Type: a/b\r\n\r\nno").unwrap();
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.headers()["content-type"], "a/b");
        assert!(read(b"nothing").is_err());
    }
}
