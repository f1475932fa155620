//! Callers that call until their time is over.

use crate::cli::request::Request;
use hdrhistogram::Histogram;
use rachis::{Error, Node};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Three digits are more than a noisy machine can tell, and cost 40 KiB a caller at most.
const DIGITS: u8 = 3;
/// The longest latency told apart, in microseconds; no call lasts longer than its timeout.
const LONGEST_US: u64 = 600_000_000;
/// How often the progress is told.
const TICK: Duration = Duration::from_millis(100);

/// What to call and how hard.
pub(crate) struct Load {
    node: Node,
    request: Arc<Request>,
    callers: u32,
    /// Between two calls of one caller.
    interval: Option<Duration>,
}

/// What came of calls.
pub(crate) struct Tally {
    /// Of those that were answered, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// How many failed, by the name of the error and what it says of the outcome.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Load {
    /// `rate` is calls a second of all callers together.
    pub(crate) fn new(node: Node, request: Request, callers: u32, rate: Option<u32>) -> Self {
        let interval = rate.map(|rate| Duration::from_secs(1) * callers / rate);
        Load { node, request: Arc::new(request), callers, interval }
    }

    /// Calls for `time`; a call under way at its end is waited for. `tick` is called now and then.
    pub(crate) async fn run(&self, time: Duration, tick: impl Fn()) -> Tally {
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for number in 0..self.callers {
            let first = self.interval.map_or(start, |interval| start + interval * number / self.callers);
            let caller = Caller { node: self.node.clone(), request: self.request.clone(), interval: self.interval };
            callers.spawn(caller.run(first, start + time));
        }
        let mut tally = Tally::new();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                ended = callers.join_next() => match ended {
                    Some(Ok(part)) => tally.add(part),
                    // A caller does not panic and is not aborted; what it had counted is missing then.
                    Some(Err(error)) => tracing::error!(%error, "a caller was lost"),
                    None => return tally,
                },
                _ = ticks.tick() => tick(),
            }
        }
    }
}

struct Caller {
    node: Node,
    request: Arc<Request>,
    interval: Option<Duration>,
}

impl Caller {
    async fn run(self, mut due: Instant, end: Instant) -> Tally {
        let mut tally = Tally::new();
        while due < end {
            tokio::time::sleep_until(due.into()).await;
            let outcome = self.request.call(&self.node).await;
            let ended = Instant::now();
            tally.count(outcome.as_ref().err(), ended.saturating_duration_since(due));
            // Calls that are due keep their time, even if this caller is late.
            due = self.interval.map_or(ended, |interval| due + interval);
        }
        tally
    }
}

impl Tally {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        // The bounds are constants within what it takes.
        Tally { latency: latency.unwrap_or_else(|_| unreachable!()), errors: BTreeMap::new() }
    }

    fn count(&mut self, error: Option<&Error>, time: Duration) {
        match error {
            None => self.latency.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            Some(error) => *self.errors.entry(name(error)).or_default() += 1,
        }
    }

    fn add(&mut self, other: Tally) {
        // Both have the same bounds, so it can not fail.
        let _ = self.latency.add(&other.latency);
        for (name, count) in other.errors {
            *self.errors.entry(name).or_default() += count;
        }
    }

    /// Calls that ended, one way or the other.
    pub(crate) fn calls(&self) -> u64 {
        self.latency.len() + self.failed()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

fn name(error: &Error) -> String {
    match error.outcome() {
        Some(outcome) => format!("{:?} ({outcome})", error.kind()),
        None => format!("{:?}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis::Outcome;

    #[test]
    fn errors_are_counted_apart_from_latencies_and_by_what_they_say() {
        let mut tally = Tally::new();
        let mut other = Tally::new();
        tally.count(None, Duration::from_millis(2));
        other.count(None, Duration::from_millis(4));
        let unknown = Error::unavailable("gone").with_outcome(Outcome::Unknown);
        other.count(Some(&unknown), Duration::from_secs(9));
        tally.add(other);
        assert_eq!((tally.calls(), tally.failed(), tally.latency.len()), (3, 1, 2));
        assert_eq!(tally.errors.keys().collect::<Vec<_>>(), ["Unavailable (unknown)"]);
        assert!(tally.latency.max() < 5000, "{}", tally.latency.max());
    }

    #[test]
    fn a_latency_beyond_all_bounds_counts_as_the_longest() {
        let mut tally = Tally::new();
        tally.count(None, Duration::from_secs(100_000));
        assert!(tally.latency.max() >= LONGEST_US);
    }
}
