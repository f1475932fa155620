//! The requests that this replica works on, so that none is begun twice.

use crate::redis::streams::EntryId;
use rustc_hash::FxHashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Entry ids of requests from their start until Redis has been told that they are settled. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct InHand(Arc<Mutex<FxHashSet<EntryId>>>);

/// One request in hand, until this is dropped.
pub(crate) struct Held {
    all: InHand,
    entry: EntryId,
}

impl InHand {
    /// Takes a request in hand; `None` when it is already.
    pub(crate) fn take(&self, entry: EntryId) -> Option<Held> {
        let new = self.lock().insert(entry);
        new.then(|| Held { all: self.clone(), entry })
    }

    pub(crate) fn contains(&self, entry: EntryId) -> bool {
        self.lock().contains(&entry)
    }

    /// All that is in hand now.
    pub(crate) fn all(&self) -> Vec<EntryId> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, FxHashSet<EntryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(crate) fn entry(&self) -> EntryId {
        self.entry
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_one_hand_at_a_time() {
        let all = InHand::default();
        let one = EntryId::new(1, 0);
        let held = all.take(one).unwrap();
        assert!(all.take(one).is_none() && all.contains(one));
        assert_eq!(held.entry(), one);
        drop(held);
        assert!(!all.contains(one) && all.take(one).is_some());
    }
}
