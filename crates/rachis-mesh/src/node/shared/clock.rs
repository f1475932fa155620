//! Redis's clock, as far as this node knows it: deadlines and expiry are decided by no node's own.

use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

/// By how much of the time that passes two clocks may drift apart, as a divisor: one part in a thousand, twice what NTP
/// corrects at most without a step.
const DRIFT: i64 = 1000;

/// Estimates Redis's time from the answers that carried it. When the server looked at its clock is only known to lie between
/// question and answer, so one that was long under way says little, and is not believed against a better one.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    // Redis's ms minus ms since `start`.
    offset: AtomicI64,
    best: Mutex<Option<Sample>>,
}

/// What one answer said, in ms.
#[derive(Clone, Copy, Debug)]
struct Sample {
    offset: i64,
    /// How far off it may be.
    error: i64,
    /// Since `start`.
    taken: i64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let unix = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Clock { start: Instant::now(), offset: AtomicI64::new(ms(unix)), best: Mutex::default() }
    }

    /// Takes in that Redis said `now` in an answer that came just now and took `round_trip`.
    pub(crate) fn set(&self, now: u64, round_trip: Duration) {
        self.note(now, round_trip, ms(self.start.elapsed()));
    }

    fn note(&self, now: u64, round_trip: Duration, taken: i64) {
        // Half a ms is what the server cuts off.
        let error = ms(round_trip) / 2 + 1;
        let offset = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(error - 1).saturating_sub(taken);
        let sample = Sample { offset, error, taken };
        let mut best = self.best.lock();
        if best.is_none_or(|best| sample.beats(best)) {
            *best = Some(sample);
            self.offset.store(offset, Ordering::Relaxed);
        }
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

impl Sample {
    /// Returns `true` if it is better than `other`, or contradicts it: the clock was set, or is another server's.
    fn beats(self, other: Sample) -> bool {
        let aged = other.error.saturating_add((self.taken - other.taken).max(0) / DRIFT);
        self.error <= aged || self.offset.abs_diff(other.offset) > self.error.saturating_add(aged).unsigned_abs()
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::node::shared::clock::*;

    /// Redis's clock when a test begins.
    const BEGIN: u64 = 1_700_000_000_000;

    /// An answer that comes `at`, in ms, of a server that looked at its clock after `there` of the `round_trip`.
    fn answer(clock: &Clock, at: i64, there: i64, round_trip: i64) {
        let read = BEGIN.saturating_add_signed(at - round_trip + there);
        clock.note(read, Duration::from_millis(round_trip.unsigned_abs()), at);
    }

    /// How far off the clock is.
    fn off(clock: &Clock) -> i64 {
        clock.offset.load(Ordering::Relaxed) - i64::try_from(BEGIN).unwrap()
    }

    #[test]
    fn an_answer_that_was_long_under_way_does_not_set_the_clock() {
        for there in [0, 1000, 2000] {
            let clock = Clock::new();
            answer(&clock, 2000, 1, 2);
            answer(&clock, 6000, there, 2000);
            assert_eq!(off(&clock), 0, "{there}");
        }
    }

    #[test]
    fn the_first_answer_is_believed_and_then_each_that_is_better() {
        let clock = Clock::new();
        answer(&clock, 2000, 0, 800);
        assert_eq!(off(&clock), -400);
        answer(&clock, 4000, 0, 100);
        assert_eq!(off(&clock), -50);
        answer(&clock, 6000, 0, 500);
        assert_eq!(off(&clock), -50);
    }

    #[test]
    fn a_clock_that_was_set_is_followed_and_one_that_drifts_is_too() {
        let clock = Clock::new();
        answer(&clock, 2000, 1, 2);
        clock.note(BEGIN + 4000 + 60_000, Duration::from_millis(200), 4000);
        assert!((59_900..=60_101).contains(&off(&clock)), "{}", off(&clock));
        let clock = Clock::new();
        answer(&clock, 2000, 1, 2);
        // A minute later what was known to the ms is not any more.
        answer(&clock, 62_000, 0, 60);
        assert_eq!(off(&clock), -30);
    }
}
