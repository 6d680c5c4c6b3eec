//! Bodies that must be whole before a byte of them leaves, and how much of them may be held in all.
//!
//! One agent may have thousands of requests under way; each may be short, and all together must not fill the memory. A
//! body holds its share until its last byte was sent on.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that all held bodies may have together: an eighth of what a guard's container may use.
pub const HELD_IN_ALL: usize = 64 * 1024 * 1024;

/// What may be held, shared by every request of a guard.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

/// One body, as far as it has come.
#[derive(Debug)]
pub struct HeldBody {
    budget: Budget,
    bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

/// Too much is held already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverBudget;

/// Keeps the share as long as the bytes.
struct Charged {
    bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

// === impl Budget ===

impl Budget {
    /// So many bytes in all.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// An empty body.
    pub fn body(&self) -> HeldBody {
        HeldBody {
            budget: self.clone(),
            bytes: Vec::new(),
            share: None,
        }
    }
}

// === impl HeldBody ===

impl HeldBody {
    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing has come.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Keeps the next piece, copied: the piece may be a sliver of a large buffer.
    pub fn push(&mut self, data: &[u8]) -> Result<(), OverBudget> {
        let length = u32::try_from(data.len()).map_err(|_| OverBudget)?;
        let more = self.budget.0.clone().try_acquire_many_owned(length);
        let more = more.map_err(|_| OverBudget)?;
        match &mut self.share {
            Some(share) => share.merge(more),
            None => self.share = Some(more),
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// The whole body. Its share is given back when the last clone or slice of it is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Charged {
            bytes: self.bytes,
            _share: self.share,
        })
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_hold_no_more_than_the_budget_until_one_has_been_sent() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.body(), budget.body());
        first.push(b"123").unwrap();
        first.push(b"456").unwrap();
        assert_eq!(second.push(b"12345"), Err(OverBudget));
        let sending = first.into_bytes();
        let rest = sending.slice(3..);
        drop(sending);
        assert_eq!(second.push(b"12345"), Err(OverBudget));
        assert_eq!(rest, "456");
        drop(rest);
        second.push(b"1234567890").unwrap();
        drop(second);
        assert_eq!(budget.body().push(b"1234567890"), Ok(()));
    }
}
