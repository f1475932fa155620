//! Pauses between attempts.

use std::time::{Duration, Instant};
use tokio::sync::watch;
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

/// Pauses, until Redis takes writes again at the latest.
pub(crate) async fn pause_unless(pause: Duration, resumptions: &mut watch::Receiver<u64>) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        Ok(()) = resumptions.changed() => {}
    }
}

/// Slows down a client whose connections succeed and break at once, every time: a server that has become a replica takes
/// connections and refuses every write.
pub(crate) struct ReconnectBackoff {
    backoff: Backoff,
    /// The pause before the next connection, should the current one not last.
    pause: Duration,
    since: Option<Instant>,
    /// Changes when Redis takes writes again, which ends a pause.
    resumptions: watch::Receiver<u64>,
}

impl ReconnectBackoff {
    /// A connection that lasts this long was good.
    const GOOD: Duration = Duration::from_secs(1);

    /// Returns a backoff without a pause before the first connection and the second one.
    pub(super) fn new(backoff: Backoff, resumptions: watch::Receiver<u64>) -> Self {
        ReconnectBackoff { backoff, pause: Duration::ZERO, since: None, resumptions }
    }

    /// Waits if the last connection did not last. Returns `None` if `stop` is cancelled meanwhile.
    pub(crate) async fn before_connecting(&mut self, stop: &CancellationToken) -> Option<()> {
        let was_short = self.since.is_some_and(|since| since.elapsed() < Self::GOOD + self.pause);
        if was_short {
            // The first time is free: any connection may be cut soon after it was made.
            let pause = std::mem::replace(&mut self.pause, self.backoff.pause());
            if !pause.is_zero() {
                stop.run_until_cancelled(pause_unless(jittered(pause), &mut self.resumptions)).await?;
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

    #[tokio::test]
    async fn a_pause_between_connections_ends_when_redis_takes_writes_again() {
        let resumptions = watch::Sender::new(0);
        let hour = Duration::from_secs(3600);
        let mut backoff = ReconnectBackoff::new(Backoff::new(hour, hour), resumptions.subscribe());
        let stop = CancellationToken::new();
        // The first connection and the second are free.
        for _ in 0..2 {
            assert_eq!(backoff.before_connecting(&stop).await, Some(()));
        }
        let mut third = std::pin::pin!(backoff.before_connecting(&stop));
        assert!(futures_util::FutureExt::now_or_never(third.as_mut()).is_none());
        resumptions.send_modify(|times| *times += 1);
        assert_eq!(third.await, Some(()));
    }

    #[test]
    fn a_jittered_pause_is_between_half_and_the_whole() {
        assert!((0..1000).all(|_| (50 * MS..=100 * MS).contains(&jittered(100 * MS))));
    }
}
