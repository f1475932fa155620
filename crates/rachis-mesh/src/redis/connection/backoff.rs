//! Pauses between attempts.

use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Pauses that double from the first to the longest.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Returns pauses that begin with `first` and double until they reach `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, next: first }
    }

    /// Returns the pause to make now.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        pause
    }

    /// Returns the next pause, and leaves it the next one.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// Begins with the first pause again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Returns between half and the whole of `pause`, so that nodes cut off together do not come back together.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause / 2 + (pause / 2).mul_f64(fastrand::f64())
}

/// Slows down a client whose connections succeed and break at once, every time: a server that has become a replica takes
/// connections and refuses every write.
pub(crate) struct ReconnectBackoff {
    backoff: Backoff,
    /// The pause before the next connection, should the current one not last.
    pause: Duration,
    since: Option<Instant>,
}

impl ReconnectBackoff {
    /// A connection that lasts this long was good.
    const GOOD: Duration = Duration::from_secs(1);

    /// Returns a backoff without a pause before the first connection and the second one.
    pub(super) fn new(backoff: Backoff) -> Self {
        ReconnectBackoff { backoff, pause: Duration::ZERO, since: None }
    }

    /// Waits if the last connection did not last. Returns `None` if `stop` is cancelled meanwhile.
    pub(crate) async fn before_connecting(&mut self, stop: &CancellationToken) -> Option<()> {
        let was_short = self.since.is_some_and(|since| since.elapsed() < Self::GOOD + self.pause);
        if was_short {
            // The first time is free: any connection may be cut soon after it was made.
            let pause = std::mem::replace(&mut self.pause, self.backoff.pause());
            if !pause.is_zero() {
                stop.run_until_cancelled(tokio::time::sleep(jittered(pause))).await?;
            }
        } else {
            self.backoff.reset();
            self.pause = Duration::ZERO;
        }
        self.since = Some(Instant::now());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_a_reset() {
        let mut backoff = Backoff::new(10 * MS, 50 * MS);
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause()).collect();
        assert_eq!(pauses, [10 * MS, 20 * MS, 40 * MS, 50 * MS, 50 * MS]);
        backoff.reset();
        assert_eq!(backoff.pause(), 10 * MS);
    }

    #[test]
    fn a_jittered_pause_is_between_half_and_the_whole() {
        assert!((0..1000).all(|_| (50 * MS..=100 * MS).contains(&jittered(100 * MS))));
    }
}
