//! From CONNECT's 200 to a TLS session with the agent, or to the end.
//!
//! There is no third outcome. What does not begin with a ClientHello that names the CONNECT's own host is refused, also
//! where the plan is to pass the tunnel through.

use std::time::Duration;

use bytes::BytesMut;
use rustls::server::ClientHello;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ahead::{self, Ahead, Dialled};
use crate::answer::{self, ALERT_UNRECOGNIZED_NAME};
use crate::authority::{Authority, DnsName, Host};
use crate::core::Core;
use crate::detect::{Detected, detect};
use crate::policy::{ConnectionId, LocalResponse, Policy};
use crate::refusal::{Reason, Refusal};
use crate::stream::{Rewound, Stream};

/// How much is read at a time while looking at the first bytes: a ClientHello, with room for a long key share.
const FIRST_READ: usize = 4096;

/// A terminated TLS session.
pub(crate) struct Intercepted {
    pub(crate) stream: TlsStream<Rewound<Rewound<Stream>>>,
    /// What was agreed on with the agent.
    pub(crate) http2: bool,
    /// The upstream connection that was begun meanwhile.
    pub(crate) ahead: Option<Ahead>,
}

/// One tunnel that is being set up.
pub(crate) struct Tunnel<'a, P> {
    core: &'a Core<P>,
    connection: ConnectionId,
    authority: &'a Authority,
}

/// Terminates the agent's TLS. None: refused (and reported) or gone. `begun`: the upstream connection that is dialled already.
pub(crate) async fn intercept<P: Policy>(
    core: &Core<P>,
    stream: Rewound<Stream>,
    connection: ConnectionId,
    authority: &Authority,
    http2: bool,
    begun: Option<Dialled>,
) -> Option<Intercepted> {
    let tunnel = Tunnel::new(core, connection, authority);
    let deadline = Instant::now() + core.limits.timeouts.tls;
    let handshake = tokio::time::timeout_at(deadline, tunnel.handshake(stream, http2, begun));
    handshake.await.unwrap_or_else(|_| {
        tunnel.refuse(Reason::TlsHandshake, &too_late(core.limits.timeouts.tls), false);
        None
    })
}

pub(crate) fn too_late(limit: Duration) -> String {
    format!("no TLS session within {} s after CONNECT", limit.as_secs_f32())
}

impl<'a, P: Policy> Tunnel<'a, P> {
    pub(crate) fn new(core: &'a Core<P>, connection: ConnectionId, authority: &'a Authority) -> Self {
        Self {
            core,
            connection,
            authority,
        }
    }

    async fn handshake(
        &self,
        mut stream: Rewound<Stream>,
        http2: bool,
        begun: Option<Dialled>,
    ) -> Option<Intercepted> {
        let first = self.first_bytes(&mut stream).await?;
        self.accept(Rewound::new(first.freeze(), stream), http2, begun)
            .await
    }

    /// Reads until it is certain that a TLS handshake begins. None: refused (and reported) or gone.
    pub(crate) async fn first_bytes(&self, stream: &mut Rewound<Stream>) -> Option<BytesMut> {
        let mut first = BytesMut::with_capacity(FIRST_READ);
        loop {
            match detect(&first) {
                Detected::Tls => return Some(first),
                Detected::Undecided => {}
                Detected::Http => {
                    let detail =
                        "after CONNECT this proxy wants TLS; plain HTTP goes as GET http://host/path";
                    let answer = self.refuse(Reason::NotTls, detail, true);
                    answer::answer_and_close(stream, &answer).await;
                    return None;
                }
                Detected::Other => {
                    self.refuse(Reason::NotTls, "the first bytes after CONNECT are not TLS", false);
                    return None;
                }
            }
            if !matches!(stream.read_buf(&mut first).await, Ok(1..)) {
                return None;
            }
        }
    }

    async fn accept(
        &self,
        stream: Rewound<Rewound<Stream>>,
        http2: bool,
        begun: Option<Dialled>,
    ) -> Option<Intercepted> {
        let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let mut start = match acceptor.await {
            Ok(start) => start,
            Err(error) => {
                self.refuse(
                    Reason::NotTls,
                    &format!("no readable ClientHello: {error}"),
                    false,
                );
                return None;
            }
        };
        if let Err((reason, detail)) = self.check_name(start.client_hello().server_name()) {
            self.refuse(reason, &detail, false);
            answer::write_and_close(start.io.get_mut(), ALERT_UNRECOGNIZED_NAME).await;
            return None;
        }
        let http2_next = http2 && offers_http2(&start.client_hello());
        let ahead = ahead::go_on(self.core, self.authority, begun, http2_next);
        let config = match self.core.certificates.config(&self.authority.host, http2).await {
            Ok(config) => config,
            Err(error) => {
                self.refuse(Reason::CertificateUnavailable, &error.to_string(), false);
                return None;
            }
        };
        match start.into_stream(config).await {
            Ok(stream) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Some(Intercepted { stream, http2, ahead })
            }
            Err(error) => {
                let detail = format!("the agent broke off the TLS handshake: {error}");
                self.refuse(Reason::TlsHandshake, &detail, false);
                None
            }
        }
    }

    /// SNI must name the CONNECT's host. A host that is an address has no SNI (RFC 6066 §3).
    pub(crate) fn check_name(&self, named: Option<&str>) -> Result<(), (Reason, String)> {
        match (&self.authority.host, named) {
            (Host::Ip(_), None) => Ok(()),
            (host, Some(named)) if host.dns().is_some_and(|name| is_same(name, named)) => Ok(()),
            (host, Some(named)) => {
                let detail = format!("CONNECT names {host} and the TLS server name is {named}");
                Err((Reason::AuthorityMismatch, detail))
            }
            (_, None) => Err((
                Reason::SniMissing,
                "the TLS ClientHello must name the server (SNI)".to_owned(),
            )),
        }
    }

    /// Before there was a leave.
    pub(crate) fn refuse(&self, reason: Reason, detail: &str, answerable: bool) -> LocalResponse {
        self.tell(reason, detail, false, answerable)
    }

    /// After there was one; its permit hears of the end.
    pub(crate) fn refuse_admitted(&self, reason: Reason, detail: &str) {
        self.tell(reason, detail, true, false);
    }

    fn tell(&self, reason: Reason, detail: &str, admitted: bool, answerable: bool) -> LocalResponse {
        self.core.refuse(&Refusal {
            reason,
            detail,
            connection: self.connection,
            way_in: None,
            authority: Some(self.authority),
            method: None,
            target: None,
            admitted,
            answerable,
        })
    }
}

/// Then it is what will be agreed on.
fn offers_http2(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut offered| offered.any(|name| name == b"h2"))
}

fn is_same(name: &DnsName, named: &str) -> bool {
    name.as_str().eq_ignore_ascii_case(named)
}
