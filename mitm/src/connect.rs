//! A new upstream connection: dialled, trusted, and speaking the protocol that was agreed on.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::again::again_at_once;
use crate::authority::{Authority, Host};
use crate::dial::{DialError, dial};
use crate::limits::Limits;
use crate::pool::{Key, Sender};
use crate::refusal::Reason;
use crate::stream::{Rewound, Stream};
use crate::upstream::Upstream;

/// HTTP/2 flow-control windows, bytes. With the protocol's 64 KiB a distant upstream is limited to 64 KiB per
/// round trip; what is buffered here at most is one window per stream that its reader does not read.
pub(crate) const STREAM_WINDOW: u32 = 1024 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// The most that is read of an HTTP/1 body before it is passed on, bytes: hyper would let its buffers grow to six times
/// that, for every large body under way, and be no faster. (It is more than any head may have.)
pub(crate) const READ_AT_ONCE: usize = 64 * 1024;

/// Connects to where `key` leads by `upstream`, which is the key's. In the clear through a proxy: to the proxy.
pub(crate) async fn connect(
    upstream: &Upstream,
    key: &Key,
    limits: &Limits,
    slot: OwnedSemaphorePermit,
) -> Result<Sender, DialError> {
    let stream = dial(
        &upstream.dialer,
        &key.authority,
        key.tls,
        limits.timeouts.connect,
        slot,
    )
    .await?;
    if key.tls {
        speak(upstream, key, stream, limits).await
    } else {
        http1_sender(stream, limits).await
    }
}

/// TLS over a stream to where `key` leads, and the protocol that is agreed on.
pub(crate) async fn speak(
    upstream: &Upstream,
    key: &Key,
    stream: Rewound<Stream>,
    limits: &Limits,
) -> Result<Sender, DialError> {
    let stream = secure(upstream.tls(key.http2), stream, &key.authority, limits).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2_sender(stream, limits).await
    } else {
        http1_sender(stream, limits).await
    }
}

/// A connection of its own for a WebSocket: TLS to the host itself, offering HTTP/1.1 alone.
pub(crate) async fn connect_for_upgrade(
    upstream: &Upstream,
    authority: &Authority,
    limits: &Limits,
    slot: OwnedSemaphorePermit,
) -> Result<TlsStream<Rewound<Stream>>, DialError> {
    let stream = dial(&upstream.dialer, authority, true, limits.timeouts.connect, slot).await?;
    secure(upstream.tls(false), stream, authority, limits).await
}

/// TLS, trusting as `tls` says.
async fn secure(
    tls: Arc<ClientConfig>,
    stream: Rewound<Stream>,
    authority: &Authority,
    limits: &Limits,
) -> Result<TlsStream<Rewound<Stream>>, DialError> {
    let handshake = TlsConnector::from(tls).connect(server_name(authority)?, stream);
    match tokio::time::timeout(limits.timeouts.tls, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(DialError::new(
            Reason::UpstreamTls,
            format!("TLS with {authority} failed: {error}"),
        )),
        Err(_) => {
            let seconds = limits.timeouts.tls.as_secs_f32();
            let detail = format!("TLS with {authority} was not done within {seconds} s");
            Err(DialError::new(Reason::UpstreamConnectTimeout, detail))
        }
    }
}

fn server_name(authority: &Authority) -> Result<ServerName<'static>, DialError> {
    match &authority.host {
        Host::Dns(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|_| DialError::new(Reason::UpstreamTls, format!("{name} cannot be in a certificate"))),
        Host::Ip(address) => Ok(ServerName::IpAddress(IpAddr::clone(address).into())),
    }
}

async fn http1_sender<IO>(stream: IO, limits: &Limits) -> Result<Sender, DialError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_header_size(limits.response_head_bytes)
        .max_buf_size(READ_AT_ONCE.max(limits.response_head_bytes + 1024))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(not_http)?;
    tokio::spawn(async move {
        if let Err(error) = again_at_once(connection).await {
            tracing::debug!(%error, "upstream HTTP/1 connection ended");
        }
    });
    Ok(Sender::Http1(sender))
}

async fn http2_sender<IO>(stream: IO, limits: &Limits) -> Result<Sender, DialError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.timeouts.pool_idle)
        .keep_alive_timeout(limits.timeouts.connect)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(not_http)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream HTTP/2 connection ended");
        }
    });
    Ok(Sender::Http2(sender))
}

fn not_http(error: hyper::Error) -> DialError {
    DialError::new(
        Reason::UpstreamBroke,
        format!("the upstream does not speak HTTP: {error}"),
    )
}
