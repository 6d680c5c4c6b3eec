//! Blocking calls under way, by what their client calls them: for `notifications/cancelled` of the older revisions.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

/// What a client calls a call: its session, where it sent one, and the request's identifier in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The `Mcp-Session-Id` header.
    pub session: Option<String>,
    /// The JSON-RPC identifier.
    pub request: RequestId,
}

/// The calls under way.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    begun: u64,
    by_key: HashMap<CallKey, Vec<(u64, CancellationToken)>>,
}

/// A call under way; when it is dropped, the call is over.
#[derive(Debug)]
pub struct Call {
    calls: Calls,
    key: CallKey,
    number: u64,
    cancelled: CancellationToken,
}

// === impl Calls ===

impl Calls {
    /// A call begins.
    pub fn begin(&self, key: CallKey) -> Call {
        let cancelled = CancellationToken::new();
        let mut under_way = self.0.lock();
        under_way.begun += 1;
        let number = under_way.begun;
        let same = under_way.by_key.entry(key.clone()).or_default();
        same.push((number, cancelled.clone()));
        Call {
            calls: self.clone(),
            key,
            number,
            cancelled,
        }
    }

    /// Its client does not want the answer any more. Clients without a session may call two calls by one name: then nobody
    /// can tell which is meant, and both go on.
    pub fn cancel(&self, key: &CallKey) {
        match self.0.lock().by_key.get(key).map(Vec::as_slice) {
            Some([(_, only)]) => only.cancel(),
            Some(_) => tracing::warn!("two calls have the identifier that was cancelled; both go on"),
            None => {}
        }
    }
}

// === impl Call ===

impl Call {
    /// Resolves when its client cancels it.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut under_way = self.calls.0.lock();
        if let Some(same) = under_way.by_key.get_mut(&self.key) {
            same.retain(|(number, _)| *number != self.number);
            if same.is_empty() {
                under_way.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(session: Option<&str>, request: i64) -> CallKey {
        CallKey {
            session: session.map(str::to_owned),
            request: RequestId::Number(request),
        }
    }

    #[tokio::test]
    async fn a_call_is_cancelled_by_its_own_session_alone() {
        let calls = Calls::default();
        let call = calls.begin(key(Some("a"), 1));
        calls.cancel(&key(Some("b"), 1));
        calls.cancel(&key(None, 1));
        calls.cancel(&key(Some("a"), 2));
        assert!(!call.cancelled.is_cancelled());
        calls.cancel(&key(Some("a"), 1));
        call.cancelled().await;
        drop(call);
        assert!(calls.0.lock().by_key.is_empty());
    }

    #[test]
    fn two_calls_of_one_name_are_not_cancelled_for_each_other() {
        let calls = Calls::default();
        let (first, second) = (calls.begin(key(None, 1)), calls.begin(key(None, 1)));
        calls.cancel(&key(None, 1));
        assert!(!first.cancelled.is_cancelled() && !second.cancelled.is_cancelled());
        drop(first);
        calls.cancel(&key(None, 1));
        assert!(second.cancelled.is_cancelled(), "now it is the only one");
    }
}
