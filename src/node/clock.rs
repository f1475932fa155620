//! Redis's clock, as far as this node knows it: deadlines and expiry are decided by no node's own.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

/// Estimates Redis's time from the last answer that carried it. A few milliseconds off on a slow link, never more than
/// the round trip.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    // Redis's ms minus ms since `start`.
    offset: AtomicI64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let unix = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Clock { start: Instant::now(), offset: AtomicI64::new(ms(unix)) }
    }

    /// Takes in that Redis said `now` in an answer that took `round_trip`.
    pub(crate) fn set(&self, now: u64, round_trip: Duration) {
        let now = i64::try_from(now).unwrap_or(i64::MAX) + ms(round_trip) / 2;
        self.offset.store(now - ms(self.start.elapsed()), Ordering::Relaxed);
    }

    /// Redis's time, in ms since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// The same at another moment.
    pub(crate) fn at(&self, moment: Instant) -> u64 {
        let since = ms(moment.saturating_duration_since(self.start));
        u64::try_from(self.offset.load(Ordering::Relaxed).saturating_add(since)).unwrap_or(0)
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
