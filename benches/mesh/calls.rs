//! Closed-loop callers and what they measure.

use crate::{config, figure};
use hdrhistogram::Histogram;
use rachis::{Node, Result};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Callers, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    callers: Vec<usize>,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// Calls at the start that nobody counts.
const WARM_UP: usize = 200;

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let node = Node::builder(config(redis, "caller")?).start().await?;
    node.wait_for("echo").await?;
    for number in 0..WARM_UP {
        node.service("echo").get(number.to_string()).await?;
    }
    for &callers in &args.callers {
        let measured = measure(&node, callers, Duration::from_secs_f64(args.seconds)).await;
        figure(&measured.figure(callers));
    }
    node.shutdown().await
}

/// What came of some time of calling.
pub(crate) struct Measured {
    latency: Histogram<u64>,
    errors: u64,
    time: Duration,
}

impl Measured {
    fn figure(&self, callers: usize) -> Value {
        let rate = self.latency.len() as f64 / self.time.as_secs_f64();
        let at = |share| self.latency.value_at_quantile(share);
        json!({ "callers": callers, "rate": rate, "p50": at(0.5), "p99": at(0.99), "errors": self.errors })
    }

    /// Microseconds below which that share of the calls stayed.
    pub(crate) fn at(&self, share: f64) -> u64 {
        self.latency.value_at_quantile(share)
    }
}

/// Calls `echo` for `time`, `callers` at once.
pub(crate) async fn measure(node: &Node, callers: usize, time: Duration) -> Measured {
    let start = Instant::now();
    let running: Vec<_> = (0..callers)
        .map(|_| {
            let echo = node.service("echo");
            tokio::spawn(async move {
                let (mut latency, mut errors) = (histogram(), 0);
                let mut number = 0u64;
                while start.elapsed() < time {
                    let asked = Instant::now();
                    match echo.get(number.to_string()).await {
                        Ok(_) => latency.saturating_record(micros(asked.elapsed())),
                        Err(_) => errors += 1,
                    }
                    number += 1;
                }
                (latency, errors)
            })
        })
        .collect();
    let mut measured = Measured { latency: histogram(), errors: 0, time };
    for caller in running {
        let (latency, errors) = caller.await.unwrap();
        measured.latency.add(latency).unwrap();
        measured.errors += errors;
    }
    measured.time = start.elapsed();
    measured
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap()
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
