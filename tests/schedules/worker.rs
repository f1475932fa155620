//! The process that runs one schedule, with the clock and the random numbers of that schedule.

use crate::{backend::Server, clock::Clock, hub::Hub, plan::Plan, schedule, trace::Trace};
use std::{
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Says where Redis is, and thereby that this process is to run a schedule.
pub(crate) const FOLDER: &str = "SCHEDULE_FOLDER";
/// Which faults to leave out.
pub(crate) const WITHOUT: &str = "SCHEDULE_WITHOUT";
/// Whether to tell everything.
pub(crate) const TELL: &str = "SCHEDULE_TELL";

/// What panicked.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs the schedule of this seed, and writes down what was found.
pub(crate) fn work(folder: &Path, seed: u64) {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string().replace('\n', " "));
    }));
    rachis_testing::beat_on_starting_runtime();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (problems, trace) = runtime.block_on(async {
        let clock = Clock::take(&Server::clock(folder)).expect("a clock");
        let is_told = std::env::var_os(TELL).is_some();
        let trace = Trace::new(clock.clone(), is_told);
        if is_told {
            tell_logs(&trace);
        }
        let mut plan = Plan::of(seed);
        let without = std::env::var(WITHOUT).unwrap_or_default();
        let without: Vec<usize> = without.split(',').filter_map(|number| number.parse().ok()).collect();
        let mut number = 0;
        plan.faults.retain(|_| {
            number += 1;
            !without.contains(&(number - 1))
        });
        let hub = Hub::new(&Server::socket(folder), clock, trace.clone(), &plan);
        let mut problems = schedule::run(plan, hub).await;
        problems.append(&mut PANICS.lock().unwrap_or_else(PoisonError::into_inner));
        (problems, trace)
    });
    let mut out = io::stdout().lock();
    let (sum, lines) = trace.sum();
    let mut tell = || -> io::Result<()> {
        trace.take().iter().try_for_each(|line| writeln!(out, "{line}"))?;
        problems.iter().try_for_each(|problem| writeln!(out, "problem {problem}"))?;
        writeln!(out, "sum {sum:016x} {lines}")
    };
    tell().expect("somebody reads");
    // What the runtime still has to do is of no interest.
    std::process::exit(0);
}

/// Puts what is logged between the lines of the trace.
fn tell_logs(trace: &Trace) {
    let trace = trace.clone();
    let make = move || Lines(trace.clone());
    let filter = tracing_subscriber::EnvFilter::new("rachis=debug");
    tracing_subscriber::fmt().with_ansi(false).without_time().with_env_filter(filter).with_writer(make).init();
}

struct Lines(Trace);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.remark(String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
