//! `rachis bench`: how fast a running mesh answers one call, as a user of it would find out.

mod load;
mod report;

use super::{
    Exit,
    exit::Failure,
    global::{Global, duration},
    observe,
    out::{self, Out},
    request::{Request, Words},
};
use load::{Load, Tally};
use rachis::signal;
use report::Report;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  rachis bench todos get 7                              16 callers, each calls again when it has its answer, for 10 s
  rachis bench todos find --query '{\"$limit\":10}' --callers 64 --duration 30s
  rachis bench todos create '{\"text\":\"x\"}' --rate 500   500 calls a second, however long the answers take
";

/// Measure how fast a method of a service answers
///
/// This node joins the mesh as an onlooker and makes the same call over and over. Without --rate each caller makes its
/// next call when it has the answer to the last. With --rate calls are due at even intervals, and latency counts from
/// when a call was due, so time spent waiting behind slow answers is not hidden. Calls that write, write. The exit code
/// is 1 when a call failed. With --json: one object with calls, errors (by name), seconds, rate (calls/s) and latency
/// (microseconds: mean, p50, p90, p99, p999, max).
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    words: Words,

    /// How many calls are under way at once, at most
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    callers: u32,

    /// Calls a second of all callers together [default: as many as they can]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,

    /// How long to measure, e.g. 30s
    #[arg(short, long, value_name = "DUR", default_value = "10s", value_parser = duration)]
    duration: Duration,

    /// How long to call before measuring
    #[arg(long, value_name = "DUR", default_value = "1s", value_parser = duration)]
    warm_up: Duration,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let request = Request::read(&args.words)?;
    let node = observe::join(global).await?;
    if let Some(error) = request.unserved(&node) {
        observe::leave(node).await;
        return Err(Failure::Said(Exit::NoAnswer, error.to_string()));
    }
    let load = Load::new(node.clone(), request, args.callers, args.rate);
    let measured = tokio::select! {
        measured = measure(&load, args) => Some(measured),
        () = signal() => None,
    };
    observe::leave(node).await;
    let Some((tally, time)) = measured else {
        return Err(Failure::failed("interrupted before the end"));
    };
    let report = Report::new(&tally, time);
    if out.json {
        out.document(&report)?
    } else {
        report.print(out)?
    }
    if tally.calls() == 0 {
        return Err(Failure::Said(Exit::NoAnswer, "no call ended in time: is --duration long enough?".to_owned()));
    }
    Ok(if tally.errors.is_empty() { Exit::Good } else { Exit::Failed })
}

/// Calls for the time of the warm-up, then for the time that counts.
async fn measure(load: &Load, args: &Args) -> (Tally, Duration) {
    if !args.warm_up.is_zero() {
        load.run(args.warm_up, || ()).await;
    }
    let bar = out::progress(args.duration);
    let start = Instant::now();
    let tally = load.run(args.duration, || bar.set_position(millis(start.elapsed()))).await;
    let time = start.elapsed();
    bar.finish_and_clear();
    (tally, time)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
