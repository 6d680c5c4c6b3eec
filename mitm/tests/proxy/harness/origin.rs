//! Origins: the servers that a request is meant for.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::TestAuthority;

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// What an origin got.
pub(crate) type Seen = Request<Incoming>;

/// A listening origin, TLS or not. Certificate for `api.test` and `other.test`.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) authority: TestAuthority,
    connections: Arc<AtomicUsize>,
}

type Serve = Arc<dyn Fn(Box<dyn Io>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Origin {
    /// TLS; `serve` gets each decrypted connection.
    pub(crate) async fn tls(alpn: &[&[u8]], serve: Serve) -> Self {
        let authority = TestAuthority::new("test origin CA");
        let config = authority.server(&["api.test", "other.test"], alpn);
        Self::start(authority, Some(TlsAcceptor::from(config)), serve).await
    }

    pub(crate) async fn plain(serve: Serve) -> Self {
        Self::start(TestAuthority::new("unused"), None, serve).await
    }

    /// HTTP/1.1 over TLS by hyper.
    pub(crate) async fn http<F, R>(handler: F) -> Self
    where
        F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::tls(&[b"http/1.1"], serve_http1(handler)).await
    }

    /// HTTP/2 over TLS by hyper.
    pub(crate) async fn http2<F, R>(handler: F) -> Self
    where
        F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::tls(&[b"h2"], serve_http2(handler)).await
    }

    /// HTTP/1.1 in the clear by hyper.
    pub(crate) async fn plain_http<F, R>(handler: F) -> Self
    where
        F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::plain(serve_http1(handler)).await
    }

    async fn start(authority: TestAuthority, tls: Option<TlsAcceptor>, serve: Serve) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
                socket.set_nodelay(true).unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let (tls, serve) = (tls.clone(), Arc::clone(&serve));
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                serve(Box::new(stream)).await;
                            }
                        }
                        None => serve(Box::new(socket)).await,
                    }
                });
            }
        });
        Self {
            address,
            authority,
            connections,
        }
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// `api.test:PORT`.
    pub(crate) fn name(&self) -> String {
        format!("api.test:{}", self.address.port())
    }

    /// What trusts this origin, speaking HTTP/1.1 and HTTP/2.
    pub(crate) fn trust(&self) -> Arc<ClientConfig> {
        self.authority.client(&[b"h2", b"http/1.1"])
    }
}

fn serve_http1<F, R>(handler: F) -> Serve
where
    F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    Arc::new(move |io| {
        let handler = handler.clone();
        Box::pin(async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(io), service)
                .await;
        })
    })
}

fn serve_http2<F, R>(handler: F) -> Serve
where
    F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    Arc::new(move |io| {
        let handler = handler.clone();
        Box::pin(async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(io), service)
                .await;
        })
    })
}

/// Wraps a script that speaks bytes.
pub(crate) fn serve_raw<F, R>(script: F) -> Serve
where
    F: Fn(Box<dyn Io>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |io| Box::pin(script(io)))
}

/// A whole answer.
pub(crate) fn text(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed())
}
