//! The upstream connection of a tunnel, begun before a request asks for it: dialled when CONNECT is admitted, and taken through its
//! TLS handshake when the agent has sent a ClientHello for the tunnel's own host, while that handshake goes on.
//!
//! Nothing is sent on it but a handshake: no request is forwarded that was not admitted, and one that is admitted
//! by another way of dialling or trusting does not get it. It is made only where the pool holds none, at most one
//! per tunnel and [`AT_A_TIME`] in all, and is closed with the agent's connection when no request wanted it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::authority::Authority;
use crate::connect::speak;
use crate::core::Core;
use crate::dial::{DialError, dial};
use crate::limits::Limits;
use crate::policy::Policy;
use crate::pool::{Key, Sender};
use crate::refusal::Reason;
use crate::upstream::Upstream;

/// Connections at one time that no request has asked for yet.
pub(crate) const AT_A_TIME: usize = 64;

/// How long what went wrong with one stands for the request that comes next: to dial again so soon would have the same answer, and
/// an upstream proxy would tell of it twice.
const STANDS: Duration = Duration::from_secs(5);

/// None: the other side gave it up before anything was said on it.
type Connecting = AbortOnDropHandle<Result<Option<Sender>, (DialError, Instant)>>;

/// A stream under way, or there. Not yet known: which protocol the agent speaks, and with it which key it has.
pub(crate) struct Dialled {
    upstream: Arc<Upstream>,
    connecting: Connecting,
    settled: oneshot::Sender<Key>,
    slot: OwnedSemaphorePermit,
}

/// A connection under way, or there.
pub(crate) struct Ahead {
    key: Key,
    connecting: Connecting,
    _slot: OwnedSemaphorePermit,
}

/// The one of an agent's connection, until a request takes it.
pub(crate) type KeptAhead = Mutex<Option<Ahead>>;

/// Begins one, where the policy lets it and the pool holds none, whatever the agent will speak.
pub(crate) fn begin<P: Policy>(core: &Core<P>, authority: &Authority) -> Option<Dialled> {
    dial_for(core, authority, &[false, true])
}

/// Goes on with one, or begins it now that it is known whether the agent speaks HTTP/2; drops one that was made needless meanwhile.
pub(crate) fn go_on<P: Policy>(
    core: &Core<P>,
    authority: &Authority,
    begun: Option<Dialled>,
    http2: bool,
) -> Option<Ahead> {
    let Dialled {
        upstream,
        connecting,
        settled,
        slot,
    } = begun.or_else(|| dial_for(core, authority, &[http2]))?;
    let key = Key::new(&upstream, authority, true, http2);
    if core.pool.holds(&key) {
        return None;
    }
    // It fails for one that could not be dialled, and whoever takes it is told why; or that was given up.
    let _ = settled.send(key.clone());
    Some(Ahead {
        key,
        connecting,
        _slot: slot,
    })
}

/// `http2`: what the agent may speak.
fn dial_for<P: Policy>(core: &Core<P>, authority: &Authority, http2: &[bool]) -> Option<Dialled> {
    let upstream = core.policy.dial_ahead(authority)?;
    let held = |http2: &bool| core.pool.holds(&Key::new(&upstream, authority, true, *http2));
    if http2.iter().any(held) {
        return None;
    }
    let slot = Arc::clone(&core.ahead).try_acquire_owned().ok()?;
    // It makes nobody wait and no pooled connection go.
    let upstream_slot = Arc::clone(&core.upstream_slots).try_acquire_owned().ok()?;
    let (settled, key) = oneshot::channel();
    let connecting = tokio::spawn({
        let (upstream, authority, limits) = (Arc::clone(&upstream), authority.clone(), core.limits.clone());
        async move {
            connect(&upstream, &authority, &limits, upstream_slot, key)
                .await
                .map_err(|error| (error, Instant::now()))
        }
    });
    Some(Dialled {
        upstream,
        connecting: AbortOnDropHandle::new(connecting),
        settled,
        slot,
    })
}

async fn connect(
    upstream: &Upstream,
    authority: &Authority,
    limits: &Limits,
    slot: OwnedSemaphorePermit,
    key: oneshot::Receiver<Key>,
) -> Result<Option<Sender>, DialError> {
    let mut stream = dial(&upstream.dialer, authority, true, limits.timeouts.connect, slot).await?;
    let key = tokio::select! {
        biased;
        // Nobody speaks first in TLS: this is its end.
        _ = stream.read_u8() => return Ok(None),
        key = key => key,
    };
    let key =
        key.map_err(|_| DialError::new(Reason::UpstreamUnreachable, "no ClientHello came from the agent"))?;
    speak(upstream, &key, stream, limits).await.map(Some)
}

/// As many as may be there.
pub(crate) fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_A_TIME))
}

/// Waits for the connection that leads where `key` does. What went wrong with it long ago counts for nobody: such a request dials
/// anew, and so does one whose connection was given up before anything was said on it.
pub(crate) async fn take(kept: &KeptAhead, key: &Key) -> Result<Option<Sender>, DialError> {
    let ahead = kept.lock().take_if(|ahead| ahead.key == *key);
    let Some(mut ahead) = ahead else {
        return Ok(None);
    };
    match (&mut ahead.connecting).await {
        Ok(Ok(sender)) => Ok(sender),
        Ok(Err((error, since))) if since.elapsed() < STANDS => Err(error),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}
