//! Every size, count and time-out of the core, in one place.
//!
//! A limit is an error that names itself; nothing is ever cut short in silence. There is no total time-out on
//! a body: a model may think, and a stream may last a day. Only what is held back before anything is sent has one.

use std::time::Duration;

use guard::hardening;
use guard::program::Failure;

/// How long the end of a WebSocket message that an inspector holds waits for what follows it. Long enough for a
/// message that was sent in one go with it, short enough for whoever waits for an answer.
pub const HELD_MESSAGE: Duration = Duration::from_millis(500);

/// Sizes and counts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's head, and of a chunked body's trailer section.
    pub head_bytes: usize,
    /// Bytes of a response's head.
    pub response_head_bytes: usize,
    /// Agent connections at one time; the next one is answered 503.
    pub connections: usize,
    /// Concurrent HTTP/2 streams in one agent connection.
    pub streams: u32,
    /// Upstream connections at one time, pooled ones among them; a request that needs one more is answered 503.
    pub upstream_connections: usize,
    /// Idle upstream connections kept per host. As many as work on one host at the same time: with fewer, what is given
    /// back in one moment and needed in the next is closed, and a handshake costs twenty small requests.
    pub idle_per_host: usize,
    /// Hosts whose leaf certificate is kept ready.
    pub leaves: u64,
    pub timeouts: Timeouts,
}

/// One time-out per phase.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From a head's first byte to its last (a new connection: from its acceptance).
    pub head: Duration,
    /// From CONNECT's 200 to the end of the agent's TLS handshake; also each upstream TLS handshake.
    pub tls: Duration,
    /// Name resolution, TCP and an upstream proxy's answer to CONNECT, together.
    pub connect: Duration,
    /// For all of a body's beginning that an inspector wants to see before the head is sent.
    pub deferred: Duration,
    /// From the last byte sent upstream to the response's head. Long: model APIs think.
    pub response_head: Duration,
    /// Between two pieces of a body, in either direction.
    pub idle: Duration,
    /// An agent connection without a request.
    pub keep_alive: Duration,
    /// An upstream connection without a request.
    pub pool_idle: Duration,
    /// From the shutdown signal until what still runs is broken off.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            response_head_bytes: 64 * 1024,
            connections: 1024,
            streams: 128,
            upstream_connections: 2048,
            idle_per_host: 128,
            leaves: 1024,
            timeouts: Timeouts::default(),
        }
    }
}

impl Limits {
    /// For a process of its own: as many connections as it may have descriptors for.
    pub fn of_process() -> Result<Self, Failure> {
        let files = hardening::raise_file_limit().map_err(Failure::system("the limit on open files"))?;
        Self::default().within(files).ok_or_else(|| {
            Failure::Refused(format!(
                "{files} open files are too few to serve a connection. Start it with a higher `ulimit -n`"
            ))
        })
    }

    /// The same with as many connections as `files` descriptors are enough for; none when that is not one.
    pub fn within(mut self, files: u64) -> Option<Self> {
        let connections = hardening::connections_within(files, self.connections);
        if connections == 0 {
            return None;
        }
        if connections < self.connections {
            tracing::warn!(
                "{files} open files are enough for {connections} connections at a time only; raise `ulimit -n`"
            );
        }
        self.connections = connections;
        // A connection counts as four: itself, two upstream, and one for what is open only while a name is resolved and its
        // addresses are tried.
        self.upstream_connections = self.upstream_connections.min(2 * connections);
        Some(self)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            deferred: Duration::from_secs(30),
            response_head: Duration::from_secs(600),
            idle: Duration::from_secs(600),
            keep_alive: Duration::from_secs(300),
            pool_idle: Duration::from_secs(50),
            drain: Duration::from_secs(10),
        }
    }
}
