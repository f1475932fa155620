//! How long calls took: counted while they are made, and read as percentiles.

use histogram::{AtomicHistogram, Config, Histogram, SparseHistogram};
use serde_json::{Value, json};
use std::time::Duration;

/// Buckets are an eighth of their value wide.
const GROUPING: u8 = 3;
/// Values reach from a microsecond to 134 s; what took longer counts as that.
const LARGEST: u8 = 27;

/// Counts latencies as calls end; one atomic each.
pub(crate) struct LatencyRecorder(AtomicHistogram);

impl LatencyRecorder {
    pub(crate) fn new() -> Self {
        LatencyRecorder(AtomicHistogram::with_config(&config()))
    }

    pub(crate) fn note(&self, took: Duration) {
        // Every value up to the largest has a bucket.
        let _ = self.0.increment(micros(took).min((1 << LARGEST) - 1));
    }

    pub(crate) fn read(&self) -> Latencies {
        Latencies(self.0.load())
    }
}

/// How long many calls took.
///
/// A percentile is off by an eighth at most. What took more than two minutes counts as two minutes.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Histogram);

impl Default for Latencies {
    fn default() -> Self {
        Latencies(Histogram::with_config(&config()))
    }
}

impl Latencies {
    /// Returns the number of calls.
    pub fn count(&self) -> u64 {
        self.0.as_slice().iter().sum()
    }

    /// Returns the time within which this share of the calls ended, 0.5 for the median, or `None` where there was no call or
    /// `share` is not from 0 to 1.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let bucket = self.0.quantile_bucket(share).ok()??;
        Some(Duration::from_micros(bucket.start().midpoint(bucket.end())))
    }

    /// Adds those of others.
    pub fn add(&mut self, others: &Latencies) {
        // All have the same buckets; the counters do not reach their ends.
        if let Ok(sum) = self.0.checked_add(&others.0) {
            self.0 = sum;
        }
    }

    /// Returns those that came after `earlier` was read from the same node; all of them where the node was started anew since.
    pub fn since(&self, earlier: &Latencies) -> Latencies {
        self.0.checked_sub(&earlier.0).map_or_else(|_| self.clone(), Latencies)
    }

    /// Returns the numbers of the buckets that are not empty, with their counts.
    #[doc(hidden)] // for the gateway, which keeps many
    pub fn buckets(&self) -> Vec<(u16, u64)> {
        let counts = self.0.as_slice().iter().enumerate().filter(|(_, count)| **count > 0);
        // There are some hundred.
        counts.map(|(bucket, count)| (u16::try_from(bucket).unwrap_or(u16::MAX), *count)).collect()
    }

    /// Returns those of these buckets; what is no bucket is left out.
    #[doc(hidden)]
    pub fn of_buckets(buckets: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut histogram = Histogram::with_config(&config());
        let counts = histogram.as_mut_slice();
        for (bucket, count) in buckets {
            if let Some(counted) = counts.get_mut(usize::from(bucket)) {
                *counted = counted.saturating_add(count);
            }
        }
        Latencies(histogram)
    }

    /// As numbers of buckets and their counts, without those that are empty.
    pub(crate) fn to_json(&self) -> Value {
        let (_, buckets, counts) = SparseHistogram::from(&self.0).into_parts();
        json!([buckets, counts])
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let list = |at: usize| value.get(at)?.as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>();
        let mut histogram = Histogram::with_config(&config());
        let counts = histogram.as_mut_slice();
        for (bucket, count) in list(0)?.into_iter().zip(list(1)?) {
            *counts.get_mut(usize::try_from(bucket).ok()?)? = count;
        }
        Some(Latencies(histogram))
    }
}

#[allow(clippy::expect_used)] // constants, and tested
fn config() -> Config {
    Config::new(GROUPING, LARGEST).expect("GROUPING is smaller than LARGEST")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::node::shared::latencies::*;

    fn of(times: impl IntoIterator<Item = Duration>) -> Latencies {
        let recorder = LatencyRecorder::new();
        times.into_iter().for_each(|time| recorder.note(time));
        recorder.read()
    }

    #[test]
    fn percentiles_are_off_by_an_eighth_at_most() {
        let latencies = of((1..=1000).map(Duration::from_millis));
        assert_eq!(latencies.count(), 1000);
        for (share, exact) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let told = latencies.percentile(share).unwrap().as_secs_f64() * 1000.0;
            assert!((told - exact).abs() <= exact / 8.0, "{share}: {told}");
        }
    }

    #[test]
    fn no_call_has_no_percentile_and_the_longest_has_one() {
        assert_eq!(Latencies::default().percentile(0.5), None);
        assert_eq!(of([Duration::ZERO]).percentile(0.5), Some(Duration::ZERO));
        assert!(of([Duration::MAX]).percentile(1.0).unwrap() > Duration::from_secs(100));
        assert_eq!(of([Duration::ZERO]).percentile(f64::NAN), None);
    }

    #[test]
    fn they_are_added_up_and_taken_apart() {
        let early = of([Duration::from_millis(1)]);
        let mut both = early.clone();
        both.add(&of([Duration::from_millis(100)]));
        assert_eq!(both.count(), 2);
        assert_eq!(both.since(&early), of([Duration::from_millis(100)]));
        // Of a node that was started anew.
        assert_eq!(early.since(&both), early);
    }

    #[test]
    fn they_come_back_as_they_were_and_nonsense_is_none() {
        let latencies = of([1, 20, 20, 5_000].map(Duration::from_millis));
        assert_eq!(Latencies::from_json(&latencies.to_json()), Some(latencies));
        for nonsense in [json!(null), json!([[1]]), json!([[1_000_000], [1]]), json!([["a"], [1]])] {
            assert_eq!(Latencies::from_json(&nonsense), None, "{nonsense}");
        }
    }
}
