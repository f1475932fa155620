//! How many calls are made in a second.

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use std::{num::NonZeroU32, time::Duration};

/// Lets so many calls through in a second, and as many at once after a second without one.
pub(super) struct RateLimit(DefaultDirectRateLimiter);

impl RateLimit {
    pub(super) fn new(rate: usize) -> Self {
        let rate = u32::try_from(rate).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        RateLimit(RateLimiter::direct(Quota::per_second(rate)))
    }

    /// Counts a call. Returns how long it would have to wait if there were too many.
    pub(super) fn check(&self) -> Option<Duration> {
        self.0.check().err().map(|not_yet| not_yet.wait_time_from(self.0.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_the_rate_is_told_how_long_to_wait() {
        let limit = RateLimit::new(2);
        assert_eq!((limit.check(), limit.check()), (None, None));
        let wait = limit.check().unwrap();
        assert!(wait > Duration::from_millis(400) && wait <= Duration::from_millis(500), "{wait:?}");
    }
}
