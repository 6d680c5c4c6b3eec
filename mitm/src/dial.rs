//! Reaching an upstream: the one function that every request, WebSocket and tunnel goes through.
//!
//! Direct: resolve once, check every address, dial only what was checked. One forbidden address among public
//! ones refuses the host: an honest public name has none. Through a proxy: CONNECT, and when the proxy says
//! no, its answer is handed on whole, for the agent to read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Method, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::address::AddressRules;
use crate::authority::{Authority, Host};
use crate::refusal::Reason;
use crate::stream::{Rewound, Stream};
use crate::upstream::{Dialer, ProxyAddress, Resolve, SystemResolver};

/// How long one address may take before the next is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// No connection.
#[derive(Debug)]
pub(crate) enum DialError {
    Refused {
        reason: Reason,
        detail: String,
    },
    /// The upstream proxy answered CONNECT with something other than 2xx.
    ProxyAnswered(Box<Response<Incoming>>),
}

impl DialError {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Refused {
            reason,
            detail: detail.into(),
        }
    }
}

/// Opens a byte stream to `authority`; `tunnel` when it must lead through a proxy to the host itself (TLS),
/// not only to the proxy (plain HTTP in absolute form). All of it within `limit`. The stream keeps `slot`.
pub(crate) async fn dial(
    dialer: &Dialer,
    authority: &Authority,
    tunnel: bool,
    limit: Duration,
    slot: OwnedSemaphorePermit,
) -> Result<Rewound<Stream>, DialError> {
    let dialled = tokio::time::timeout(limit, async {
        match dialer {
            Dialer::Direct { rules, resolver } => direct(rules, &**resolver, authority).await,
            Dialer::ThroughProxy(proxy) => through_proxy(proxy, authority, tunnel).await,
        }
    });
    match dialled.await {
        Ok(dialled) => dialled.map(|stream| stream.in_slot(slot)),
        Err(_) => {
            let detail = format!("no connection to {authority} within {} s", limit.as_secs_f32());
            Err(DialError::new(Reason::UpstreamConnectTimeout, detail))
        }
    }
}

// === direct ===

async fn direct(
    rules: &AddressRules,
    resolver: &dyn Resolve,
    authority: &Authority,
) -> Result<Rewound<Stream>, DialError> {
    let addresses = resolve(resolver, &authority.host).await?;
    for &address in &addresses {
        if let Err(forbidden) = rules.check(address) {
            // The operator's log has the address; the agent must not learn what lies inside.
            tracing::warn!("{} is not dialled: {forbidden}", authority.host);
            let detail = format!(
                "{} resolves to an address that must not be reached",
                authority.host
            );
            return Err(DialError::new(Reason::AddressForbidden, detail));
        }
    }
    let sockets: Vec<_> = addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, authority.port))
        .collect();
    let socket = connect_any(&sockets).await.map_err(|error| {
        DialError::new(
            Reason::UpstreamUnreachable,
            format!("no connection to {authority}: {error}"),
        )
    })?;
    Ok(Rewound::new(Bytes::new(), socket))
}

async fn resolve(resolver: &dyn Resolve, host: &Host) -> Result<Vec<IpAddr>, DialError> {
    let name = match host {
        Host::Ip(address) => return Ok(vec![*address]),
        Host::Dns(name) => name,
    };
    match resolver.resolve(name).await {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(DialError::new(
            Reason::UpstreamUnresolved,
            format!("{name} has no address"),
        )),
        Err(error) => Err(DialError::new(
            Reason::UpstreamUnresolved,
            format!("{name} does not resolve: {error}"),
        )),
    }
}

/// Tries the addresses in the resolver's order, the next one beside it when one is slow.
async fn connect_any(addresses: &[SocketAddr]) -> io::Result<Stream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match waiting.next() {
            Some(address) => attempts.push(TcpStream::connect(*address)),
            None if attempts.is_empty() => return Err(last_error),
            None => {}
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(socket) => return Stream::tcp(socket),
                Err(error) => last_error = error,
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

// === through a proxy ===

async fn through_proxy(
    proxy: &ProxyAddress,
    authority: &Authority,
    tunnel: bool,
) -> Result<Rewound<Stream>, DialError> {
    let stream = reach_proxy(proxy).await.map_err(|error| {
        DialError::new(
            Reason::UpstreamUnreachable,
            format!("the upstream proxy cannot be reached: {error}"),
        )
    })?;
    if !tunnel {
        return Ok(Rewound::new(Bytes::new(), stream));
    }
    let broke = |error: hyper::Error| {
        DialError::new(
            Reason::UpstreamUnreachable,
            format!("the upstream proxy broke off CONNECT: {error}"),
        )
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broke)?;
    tokio::spawn(connection.with_upgrades());
    let mut response = sender
        .send_request(connect_request(authority)?)
        .await
        .map_err(broke)?;
    if !response.status().is_success() {
        return Err(DialError::ProxyAnswered(Box::new(response)));
    }
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(broke)?;
    let parts = upgraded.downcast::<TokioIo<Stream>>().map_err(|_| {
        DialError::new(
            Reason::UpstreamUnreachable,
            "the tunnel through the upstream proxy was lost",
        )
    })?;
    Ok(Rewound::new(parts.read_buf, parts.io.into_inner()))
}

async fn reach_proxy(proxy: &ProxyAddress) -> io::Result<Stream> {
    match proxy {
        ProxyAddress::Unix(path) => reach_unix(path).await,
        ProxyAddress::Tcp(authority) => {
            let addresses = match &authority.host {
                Host::Ip(address) => vec![*address],
                Host::Dns(name) => SystemResolver.resolve(name).await?,
            };
            let sockets: Vec<_> = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, authority.port))
                .collect();
            connect_any(&sockets).await
        }
    }
}

async fn reach_unix(path: &Path) -> io::Result<Stream> {
    Ok(Stream::Unix(UnixStream::connect(path).await?))
}

fn connect_request(authority: &Authority) -> Result<Request<Empty<Bytes>>, DialError> {
    let target = authority.to_string();
    Request::builder()
        .method(Method::CONNECT)
        .uri(&*target)
        .header(http::header::HOST, &*target)
        .body(Empty::new())
        .map_err(|error| DialError::new(Reason::BadAuthority, error.to_string()))
}
