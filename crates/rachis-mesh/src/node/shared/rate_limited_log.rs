//! A limit for warnings that other nodes can bring about as often as they like.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long after one warning the next of its kind may follow.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets one warning through now and then and counts the others, so that no node can fill another's disk with them.
#[derive(Debug)]
pub(crate) struct RateLimitedLog(Mutex<(Option<Instant>, u64)>);

impl RateLimitedLog {
    pub(crate) const fn new() -> Self {
        RateLimitedLog(Mutex::new((None, 0)))
    }

    /// Returns how many warnings were suppressed since the last one that was permitted, or `None` if this one is to be
    /// suppressed as well.
    pub(crate) fn permit(&self) -> Option<u64> {
        self.permit_at(Instant::now())
    }

    fn permit_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        let (next, silent) = &mut *state;
        if next.is_some_and(|next| now < next) {
            *silent += 1;
            return None;
        }
        *next = Some(now + PAUSE);
        Some(std::mem::take(silent))
    }
}

#[cfg(test)]
mod tests {
    use crate::node::shared::rate_limited_log::*;

    #[test]
    fn one_of_many_is_said_and_the_next_one_tells_of_the_others() {
        let log = RateLimitedLog::new();
        let start = Instant::now();
        let said: Vec<_> = (0..5).map(|_| log.permit_at(start)).collect();
        assert_eq!(said, [Some(0), None, None, None, None]);
        assert_eq!((log.permit_at(start + PAUSE), log.permit_at(start + PAUSE)), (Some(4), None));
    }
}
