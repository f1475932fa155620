//! Callers that call again and again, and what they measure: the same loop for Rachis, the limit and NATS.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Calls at the start of each measurement that are not counted, until batches and caches are as they stay.
const WARM_UP: Duration = Duration::from_millis(300);

/// What came of some time of calling.
pub(crate) struct Measured {
    callers: usize,
    /// Of each call that was answered, in microseconds; sorted.
    latencies: Vec<u32>,
    errors: u64,
    time: Duration,
}

impl Measured {
    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }

    /// Microseconds within which `share` of the calls were answered.
    pub(crate) fn at(&self, share: f64) -> u32 {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at).or(self.latencies.last()).copied().unwrap_or(0)
    }

    /// As the driver reads it.
    pub(crate) fn figure(&self) -> Value {
        json!({
            "callers": self.callers, "rate": self.rate(), "p50": self.at(0.5), "p99": self.at(0.99),
            "errors": self.errors,
        })
    }
}

/// Lets `callers` call for `time`, each again as soon as it has its answer.
///
/// `call` gets the number of its caller and says whether it was answered.
pub(crate) async fn measure<F, Fut>(callers: usize, time: Duration, call: F) -> Measured
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = bool> + Send,
{
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let running: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut errors = 0;
                loop {
                    let asked = Instant::now();
                    if asked >= end {
                        return (latencies, errors);
                    }
                    match call(caller).await {
                        _ if asked < begin => {}
                        true => latencies.push(micros(asked.elapsed())),
                        false => errors += 1,
                    }
                }
            })
        })
        .collect();
    let mut measured = Measured { callers, latencies: Vec::new(), errors: 0, time };
    for caller in running {
        let (latencies, errors) = caller.await.expect("a caller does not panic");
        measured.latencies.extend(latencies);
        measured.errors += errors;
    }
    measured.time = begin.elapsed();
    measured.latencies.sort_unstable();
    measured
}

/// Whole microseconds; beyond an hour it does not matter.
pub(crate) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
