//! The upstream connection of a tunnel, begun when the agent has sent a ClientHello for the tunnel's own host, while that
//! handshake goes on.
//!
//! Nothing is sent on it but a handshake: no request is forwarded that was not admitted, and one that is admitted
//! by another way of dialling or trusting does not get it. It is made only where the pool holds none, at most one
//! per tunnel and [`AT_A_TIME`] in all, and is closed with the agent's connection when no request wanted it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::authority::Authority;
use crate::connect::connect;
use crate::core::Core;
use crate::dial::DialError;
use crate::policy::Policy;
use crate::pool::{Key, Sender};

/// Connections at one time that no request has asked for yet.
pub(crate) const AT_A_TIME: usize = 64;

/// A connection under way, or there.
pub(crate) struct Ahead {
    key: Key,
    dialling: JoinHandle<Result<Sender, DialError>>,
    _slot: OwnedSemaphorePermit,
}

/// The one of an agent's connection, until a request takes it.
pub(crate) type KeptAhead = Mutex<Option<Ahead>>;

/// Begins one, where the policy lets it and it saves anything.
/// `http2`: the agent will speak it.
pub(crate) fn begin<P: Policy>(core: &Core<P>, authority: &Authority, http2: bool) -> Option<Ahead> {
    let upstream = core.policy.dial_ahead(authority)?;
    let key = Key::new(&upstream, authority, true, http2);
    if core.pool.holds(&key) {
        return None;
    }
    let ahead_slot = Arc::clone(&core.ahead).try_acquire_owned().ok()?;
    // It makes nobody wait and no pooled connection go.
    let slot = Arc::clone(&core.upstream_slots).try_acquire_owned().ok()?;
    let dialling = tokio::spawn({
        let (limits, key) = (core.limits.clone(), key.clone());
        async move { connect(&upstream, &key, &limits, slot).await }
    });
    Some(Ahead {
        key,
        dialling,
        _slot: ahead_slot,
    })
}

/// As many as may be there.
pub(crate) fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_A_TIME))
}

/// Waits for the connection that leads where `key` does. What went wrong with it counts only for a request that
/// came while it was dialled: a later one dials anew.
pub(crate) async fn take(kept: &KeptAhead, key: &Key) -> Result<Option<Sender>, DialError> {
    let ahead = kept.lock().take_if(|ahead| ahead.key == *key);
    let Some(mut ahead) = ahead else {
        return Ok(None);
    };
    let late = ahead.dialling.is_finished();
    match (&mut ahead.dialling).await {
        Ok(Ok(sender)) => Ok(Some(sender)),
        Ok(Err(error)) if !late => Err(error),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.dialling.abort();
    }
}
