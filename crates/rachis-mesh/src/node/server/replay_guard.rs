//! Guards against replays: knows the requests that must not run twice and have run here, and so the copies of them that
//! another writer puts into Redis.

use crate::redis::queue::EntryId;
use std::collections::{HashMap, VecDeque};

/// Requests remembered; at a hundred bytes each, some megabytes. Beyond it the oldest is forgotten, and a copy of it would
/// run. Only a writer to Redis without the secret makes copies.
const MOST: usize = 65_536;

/// A call: the node that makes it, and its number there.
type Call = (String, u64);

/// What was started, until its time is over and it could not be started again. Pure: time comes in as a parameter.
#[derive(Debug, Default)]
pub(crate) struct ReplayGuard {
    entries: HashMap<Call, EntryId>,
    /// Oldest first, with the end of their time.
    order: VecDeque<(u64, Call)>,
}

impl ReplayGuard {
    /// Remembers a request, delivered as `entry`, that counts until `until` (ms of Redis's clock). Returns `false` if
    /// it was delivered under another entry before, so that this is a copy.
    pub(crate) fn insert(&mut self, from: &str, id: u64, entry: EntryId, until: u64, now: u64) -> bool {
        self.forget(now);
        let call = (from.to_owned(), id);
        if let Some(known) = self.entries.get(&call) {
            return *known == entry;
        }
        self.entries.insert(call.clone(), entry);
        self.order.push_back((until, call));
        true
    }

    /// Forgets a request that was not begun: it comes again under another entry.
    pub(crate) fn remove(&mut self, from: &str, id: u64) {
        let call = (from.to_owned(), id);
        if self.entries.remove(&call).is_some() {
            self.order.retain(|(_, other)| *other != call);
        }
    }

    /// A long timeout keeps later ones behind it, so what is kept is bounded by number, too.
    fn forget(&mut self, now: u64) {
        while self.order.front().is_some_and(|(until, _)| *until < now) || self.order.len() >= MOST {
            let Some((_, call)) = self.order.pop_front() else { return };
            self.entries.remove(&call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_and_a_second_delivery_is_no_copy() {
        let mut guard = ReplayGuard::default();
        assert!(guard.insert("a", 1, EntryId::new(1, 0), 100, 0));
        assert!(guard.insert("a", 1, EntryId::new(1, 0), 100, 50));
        assert!(!guard.insert("a", 1, EntryId::new(2, 0), 100, 100));
        assert!(guard.insert("a", 2, EntryId::new(2, 0), 100, 0) && guard.insert("b", 1, EntryId::new(2, 0), 100, 0));
    }

    #[test]
    fn what_was_handed_back_may_come_under_another_entry() {
        let mut guard = ReplayGuard::default();
        assert!(guard.insert("a", 1, EntryId::new(1, 0), 100, 0));
        guard.remove("a", 1);
        assert!(guard.insert("a", 1, EntryId::new(2, 0), 100, 0));
        assert!(!guard.insert("a", 1, EntryId::new(3, 0), 100, 0));
    }

    #[test]
    fn what_can_not_start_any_more_is_forgotten() {
        let mut guard = ReplayGuard::default();
        for id in 0..1000 {
            assert!(guard.insert("a", id, EntryId::new(1, 0), 100 + id, 100 + id));
        }
        assert!((1..=2).contains(&guard.entries.len()), "{}", guard.entries.len());
        assert_eq!(guard.entries.len(), guard.order.len());
    }

    #[test]
    fn no_more_is_remembered_than_allowed() {
        let mut guard = ReplayGuard::default();
        for id in 0..MOST as u64 + 10 {
            assert!(guard.insert("a", id, EntryId::new(1, 0), u64::MAX, 0));
        }
        assert_eq!((guard.entries.len(), guard.order.len()), (MOST, MOST));
    }
}
