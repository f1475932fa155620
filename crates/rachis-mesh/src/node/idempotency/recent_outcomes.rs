//! What calls with an idempotency key came to of late. A failover may lose it and leave the mark of the run, which would go
//! on to tell repeats that the call runs.

use crate::redis::idempotency::Mark;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Bytes kept for all calls together. Beyond, the oldest is forgotten: a failover loses what was written last.
const BYTES: usize = 8 << 20;
/// What a call takes beside its reply, about.
const OVERHEAD: usize = 512;
/// How many entries in their order may stand for calls that are forgotten, beside one for each that is not.
const SPARE: usize = 1024;

/// The calls that ended here within the time that their marks may still stand.
pub(crate) struct RecentOutcomes {
    all: Mutex<State>,
    /// How long a mark stands that is not renewed.
    holds: Duration,
}

#[derive(Default)]
struct State {
    calls: HashMap<String, RecentOutcome>,
    /// When each ended, the oldest first; one whose number is another by now counts for nothing.
    order: VecDeque<(Instant, String, u64)>,
    bytes: usize,
    count: u64,
}

/// A call that is over.
#[derive(Clone)]
pub(super) struct RecentOutcome {
    pub(super) mark: Mark,
    /// What is kept of it, and until when; `None` where a repeat may run.
    pub(super) kept: Option<(Bytes, Instant)>,
    number: u64,
}

impl RecentOutcome {
    fn size(&self) -> usize {
        OVERHEAD + self.kept.as_ref().map_or(0, |(value, _)| value.len())
    }
}

impl RecentOutcomes {
    /// `holds` is how long a mark stands that is not renewed.
    pub(crate) fn new(holds: Duration) -> Self {
        RecentOutcomes { all: Mutex::default(), holds }
    }

    /// Remembers what a call came to.
    pub(super) fn add(&self, mark: &Mark, kept: Option<(Bytes, Instant)>, now: Instant) {
        let mut all = self.lock();
        all.forget(&mark.key);
        all.count += 1;
        let over = RecentOutcome { mark: mark.clone(), kept, number: all.count };
        all.bytes += over.size();
        all.order.push_back((now, mark.key.clone(), over.number));
        all.calls.insert(mark.key.clone(), over);
        all.forget_before(now, self.holds);
        while all.bytes > BYTES && all.forget_oldest() {}
        if all.order.len() > 2 * all.calls.len() + SPARE {
            let State { calls, order, .. } = &mut *all;
            order.retain(|(_, key, number)| calls.get(key).is_some_and(|over| over.number == *number));
        }
    }

    /// Forgets a call that has begun anew.
    pub(super) fn begun(&self, key: &str) {
        self.lock().forget(key);
    }

    /// All that may be lost, the last one first.
    pub(super) fn all(&self, now: Instant) -> Vec<RecentOutcome> {
        let mut all = self.lock();
        all.forget_before(now, self.holds);
        all.order.iter().rev().filter_map(|(_, key, number)| all.of(key, *number).cloned()).collect()
    }

    /// Returns `true` if this is still the outcome of the call.
    pub(super) fn stands(&self, over: &RecentOutcome) -> bool {
        self.lock().of(&over.mark.key, over.number).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.all.lock()
    }
}

impl State {
    fn of(&self, key: &str, number: u64) -> Option<&RecentOutcome> {
        self.calls.get(key).filter(|over| over.number == number)
    }

    fn forget(&mut self, key: &str) {
        if let Some(over) = self.calls.remove(key) {
            self.bytes -= over.size();
        }
    }

    fn forget_before(&mut self, now: Instant, age: Duration) {
        while self.order.front().is_some_and(|(ended, ..)| now.saturating_duration_since(*ended) > age) {
            self.forget_oldest();
        }
    }

    /// Returns `false` if there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some((_, key, number)) = self.order.pop_front() else { return false };
        if self.of(&key, number).is_some() {
            self.forget(&key);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: Duration = Duration::from_secs(60);

    fn mark(key: &str) -> Mark {
        Mark { key: key.to_owned(), fingerprint: "f".repeat(64), node: None, run: "1-0".to_owned() }
    }

    fn keys(recent: &RecentOutcomes, now: Instant) -> Vec<String> {
        recent.all(now).into_iter().map(|over| over.mark.key).collect()
    }

    #[test]
    fn calls_are_remembered_for_as_long_as_their_marks_may_stand_the_last_one_first() {
        let recent = RecentOutcomes::new(HOLDS);
        let start = Instant::now();
        recent.add(&mark("a"), None, start);
        recent.add(&mark("b"), None, start + HOLDS / 2);
        recent.add(&mark("c"), None, start + HOLDS / 2);
        recent.begun("c");
        assert_eq!(keys(&recent, start + HOLDS), ["b", "a"]);
        assert_eq!(keys(&recent, start + HOLDS + Duration::from_secs(1)), ["b"]);
        recent.add(&mark("b"), None, start + HOLDS + HOLDS / 4);
        assert_eq!(keys(&recent, start + HOLDS + HOLDS / 2 + HOLDS / 4), ["b"], "by its last end");
        recent.add(&mark("d"), None, start + HOLDS * 3);
        let all = recent.lock();
        assert_eq!((all.calls.len(), all.order.len(), all.bytes), (1, 1, OVERHEAD));
    }

    #[test]
    fn they_take_so_many_bytes_and_no_more() {
        let recent = RecentOutcomes::new(HOLDS);
        let now = Instant::now();
        let reply = Bytes::from(vec![0; 100_000]);
        (0..200).for_each(|n| recent.add(&mark(&n.to_string()), Some((reply.clone(), now + HOLDS)), now));
        assert!(recent.lock().bytes <= BYTES);
        let kept = keys(&recent, now);
        assert_eq!((kept.len(), kept[0].as_str()), (BYTES / (reply.len() + OVERHEAD), "199"));
        (0..20_000).for_each(|_| recent.add(&mark("again"), None, now));
        let all = recent.lock();
        assert!(all.order.len() <= 2 * all.calls.len() + SPARE + 1, "{}", all.order.len());
    }
}
