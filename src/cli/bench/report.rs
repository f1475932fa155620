//! What was measured, for people and for programs.

use super::load::Tally;
use crate::cli::out::{BAD, Out};
use serde::Serialize;
use std::{collections::BTreeMap, io, time::Duration};

/// Bars of the histogram, one for each of these shares of all calls.
const SHARES: [f64; 7] = [0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0];
/// The longest bar.
const WIDTH: f64 = 40.0;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    calls: u64,
    errors: BTreeMap<String, u64>,
    seconds: f64,
    /// Answered calls a second.
    rate: f64,
    latency: Latency,
    #[serde(skip)]
    shares: Vec<(f64, u64)>,
}

/// In microseconds.
#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Report {
    pub(crate) fn new(tally: &Tally, time: Duration) -> Self {
        let latency = &tally.latency;
        let at = |share| latency.value_at_quantile(share);
        Report {
            calls: tally.calls(),
            errors: tally.errors.clone(),
            seconds: time.as_secs_f64(),
            rate: latency.len() as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE),
            latency: Latency {
                mean: latency.mean(),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: latency.max(),
            },
            shares: SHARES.iter().map(|share| (*share, at(*share))).collect(),
        }
    }

    pub(crate) fn print(&self, out: &mut Out) -> io::Result<()> {
        let failed: u64 = self.errors.values().sum();
        out.line(format!(
            "{} calls in {:.1} s: {:.0} answered a second, {failed} failed",
            self.calls, self.seconds, self.rate
        ))?;
        for (name, count) in &self.errors {
            out.line(out.paint(BAD, &format!("  {count} {name}")))?;
        }
        if self.calls == failed {
            return Ok(());
        }
        out.line(format!("latency, mean {}:", time(self.latency.mean as u64)))?;
        let longest = self.latency.max.max(1) as f64;
        for (share, us) in &self.shares {
            let bar = "▇".repeat(((*us as f64 / longest) * WIDTH).round() as usize);
            let percent = format!("{}%", (share * 1000.0).round() / 10.0);
            out.line(format!("{percent:>7}  {:>9}  {bar}", time(*us)).trim_end())?;
        }
        Ok(())
    }
}

/// Microseconds by a unit that suits them.
fn time(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{:.2} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_told_by_a_unit_that_suits_it() {
        assert_eq!([950, 1234, 2_500_000].map(time), ["950 µs", "1.23 ms", "2.50 s"]);
    }
}
