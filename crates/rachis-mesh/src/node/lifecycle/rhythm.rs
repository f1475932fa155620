//! When a node beats: the nodes of a mesh do so together, a few at a time.
//!
//! A Redis at rest that is woken by each heartbeat alone finds nothing of what it needs in the processor's caches, which
//! costs it more than the heartbeat itself. So the interval has slots, by Redis's clock the same for all, and a node beats
//! at the beginning of one: the one nearest to when it first would have.

use std::time::Duration;

/// Slots in an interval. With the defaults a slot takes 50 ms, and of a thousand nodes 25 beat at its beginning: Redis is
/// through with them in about a ms, and a call that comes just then waits no longer.
const SLOTS: u64 = 40;
/// Nodes do not know Redis's clock well enough for shorter slots than this, in ms.
const SHORTEST: u64 = 5;

/// An interval and its slots, in ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    interval: u64,
    slot: u64,
}

impl Rhythm {
    pub(crate) fn new(interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let slot = interval / SLOTS;
        Rhythm { interval, slot: if slot < SHORTEST { 1 } else { slot } }
    }

    /// How long a slot takes.
    pub(crate) fn slot(self) -> Duration {
        Duration::from_millis(self.slot)
    }

    /// From a beat at `now`, in ms of Redis's clock, to the next one: the interval, give or take half a slot. To the nearest
    /// beginning and not to the last, so that a beat a moment before its slot does not move on to the one before.
    pub(crate) fn pause(self, now: u64) -> Duration {
        let phase = now.saturating_add(self.interval) % self.slot;
        let pause =
            if phase * 2 < self.slot { self.interval - phase } else { self.interval.saturating_add(self.slot - phase) };
        Duration::from_millis(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn next(interval: Duration, now: u64) -> u64 {
        now + Rhythm::new(interval).pause(now).as_millis() as u64
    }

    #[test]
    fn beats_that_are_close_come_together_from_the_next_on() {
        let interval = Duration::from_secs(2);
        for moment in NOW - 25..NOW + 25 {
            assert_eq!(next(interval, moment), NOW + 2000, "{moment}");
        }
        assert_eq!(next(interval, NOW + 25), NOW + 2050);
    }

    #[test]
    fn a_beat_that_comes_a_moment_too_early_or_too_late_keeps_its_slot() {
        let mut now = NOW;
        for moment in [0, 3, -2, 20, -20, 0] {
            now = next(Duration::from_secs(2), now.saturating_add_signed(moment));
        }
        assert_eq!(now, NOW + 6 * 2000);
    }

    #[test]
    fn a_pause_is_the_interval_but_for_half_a_slot_whatever_both_are() {
        for interval in [1, 10, 199, 200, 333, 1500, 2000, 3_600_000, u64::MAX] {
            for now in [0, 1, 17, NOW, NOW + 49, u64::MAX] {
                let pause = Rhythm::new(Duration::from_millis(interval)).pause(now).as_millis() as u64;
                assert!(pause.abs_diff(interval) <= interval / 80 + 1, "{pause} after {now}, of {interval}");
            }
        }
    }

    #[test]
    fn short_intervals_are_kept_to_the_ms() {
        for now in NOW..NOW + 10 {
            assert_eq!(next(Duration::from_millis(100), now), now + 100);
        }
    }
}
