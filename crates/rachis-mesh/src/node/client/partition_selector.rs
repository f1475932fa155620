//! Selects the partition, and so the stream, that a call goes to.

use crate::redis::keys::{Keys, partition};
use sha2::{Digest, Sha256};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The request streams of one app's partitions, as a caller uses them.
#[derive(Debug)]
pub(crate) struct PartitionSelector {
    /// At least one; the first is the one that every replica reads, whatever its configuration.
    streams: Box<[Arc<str>]>,
    next: AtomicUsize,
}

impl PartitionSelector {
    /// Over so many partitions of `app` (`KEY/APP`), but one at least. `start` says which comes first in turn: nodes that
    /// begin at different ones do not all write to the same one at a time.
    pub(crate) fn new(keys: &Keys, app: &str, count: usize, start: usize) -> Self {
        let streams = (0..count.max(1)).map(|number| keys.calls(&partition(app, number)).into()).collect();
        PartitionSelector { streams, next: AtomicUsize::new(start) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.streams.len()
    }

    /// The one that is always there, or will be when the first replica comes.
    pub(crate) fn first(&self) -> &Arc<str> {
        &self.streams[0]
    }

    /// The stream for a call: the next in turn that is not full, but always the same for the same idempotency key.
    /// `None`: whatever it could go to is full.
    pub(crate) fn select(&self, key: Option<&str>, mut is_full: impl FnMut(&Arc<str>) -> bool) -> Option<&Arc<str>> {
        let count = self.count();
        if count == 1 {
            return Some(self.first()).filter(|stream| !is_full(stream));
        }
        if let Some(key) = key {
            return Some(&self.streams[of_key(key, count)]).filter(|stream| !is_full(stream));
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        (0..count).map(|step| &self.streams[turn.wrapping_add(step) % count]).find(|stream| !is_full(stream))
    }
}

/// The partition of an idempotency key: by the key and their number alone, so it is the same for every caller.
fn of_key(key: &str, count: usize) -> usize {
    let digest = Sha256::digest(key);
    let front = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // Less than `count`, which was a usize.
    usize::try_from(front % count.max(1) as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn selector(count: usize, start: usize) -> PartitionSelector {
        PartitionSelector::new(&Keys::new("ns"), "default/shop", count, start)
    }

    fn nothing_is_full(_: &Arc<str>) -> bool {
        false
    }

    #[test]
    fn one_partition_takes_everything() {
        let one = selector(1, 7);
        for key in [None, Some("a"), Some("b")] {
            assert_eq!(one.select(key, nothing_is_full).map(|stream| &**stream), Some("ns:{app:default/shop}:calls"));
        }
        assert_eq!(one.select(None, |_| true), None);
        assert_eq!(selector(0, 0).count(), 1, "there is always one");
    }

    #[test]
    fn the_place_of_a_key_is_part_of_the_protocol() {
        // Callers of several versions work side by side, so what these say must never change.
        assert_eq!(["a", "b", "order-1", ""].map(|key| of_key(key, 4)), [2, 2, 0, 0]);
        assert_eq!(["a", "b", "order-1", ""].map(|key| of_key(key, 64)), [10, 10, 12, 20]);
    }

    proptest! {
        #[test]
        fn calls_without_a_key_take_turns(count in 1_usize..=64, start: usize, rounds in 1_usize..5) {
            let selector = selector(count, start);
            let mut seen: BTreeMap<Arc<str>, usize> = BTreeMap::new();
            for _ in 0..count * rounds {
                let stream = selector.select(None, nothing_is_full).cloned();
                *seen.entry(stream.unwrap_or_else(|| "none".into())).or_default() += 1;
            }
            // Where the turn begins anew, at the end of what can be counted to, one may be passed over.
            let even = start.checked_add(count * rounds).is_some();
            prop_assert!(seen.len() == count || !even);
            prop_assert!(!even || seen.values().all(|times| *times == rounds), "{seen:?}");
        }

        #[test]
        fn a_key_has_one_place_whoever_calls(key in ".*", count in 1_usize..=64, starts: [usize; 2], turns in 0..9) {
            let [one, other] = starts.map(|start| selector(count, start));
            for _ in 0..turns {
                one.select(None, nothing_is_full);
            }
            prop_assert_eq!(one.select(Some(&key), nothing_is_full), other.select(Some(&key), nothing_is_full));
        }

        #[test]
        fn what_is_full_is_passed_over_but_never_by_a_call_with_a_key(
            key in ".*", count in 2_usize..=64, start: usize, open in 0_usize..64,
        ) {
            let selector = selector(count, start);
            let open = selector.streams[open % count].clone();
            let is_full = |stream: &Arc<str>| *stream != open;
            prop_assert_eq!(selector.select(None, is_full), Some(&open));
            let own = selector.select(Some(&key), nothing_is_full).cloned();
            prop_assert_eq!(selector.select(Some(&key), |stream| Some(stream) == own.as_ref()), None);
        }
    }
}
