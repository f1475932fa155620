//! The promises about calls and events, kept under faults: real processes, a real Redis, and a journal of what really ran.
//!
//! Not tests of the usual kind, since they take minutes and want the machine for themselves: `cargo test` and nextest
//! find none here, and `scripts/faults.sh` runs them.

// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod call;
mod control;
mod damage;
mod deaths;
mod events;
mod gateways;
mod journal;
mod judge;
mod links;
mod load;
mod mesh;
mod options;
mod outages;
mod proxy;
mod random;
mod redis;
mod restarts;
mod row;
mod service;
mod table;
mod worker;

use futures_util::FutureExt;
use judge::Finding;
use options::Options;
use row::{Row, Setting};
use std::{
    io,
    panic::AssertUnwindSafe,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Instant, SystemTime},
};

/// Calls a second, where a row says nothing else.
const SHORT_RATE: u64 = 150;
const FULL_RATE: u64 = 500;

/// Panics of this process, of which the caller is a part.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    if let Ok(spec) = std::env::var(worker::SPEC) {
        worker::be_a_replica(&spec);
        return ExitCode::SUCCESS;
    }
    match options::read(std::env::args().skip(1)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(options)) => run(&options),
        Err(mistake) => {
            eprintln!("{mistake}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    let wanted =
        |row: &Row| options.rows.is_empty() || options.rows.iter().any(|part| row.name.contains(part.as_str()));
    let rows: Vec<Row> = row::all().into_iter().filter(wanted).collect();
    if options.names {
        rows.iter().for_each(|row| println!("{:20} {}", row.name, row.fault));
        return ExitCode::SUCCESS;
    }
    count_panics();
    let seed = options.seed.unwrap_or_else(clock_seed);
    eprintln!("seed {seed}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut findings = Vec::new();
    for row in &rows {
        let setting = setting(row, options, seed);
        let repeats = setting.repeats;
        let finding = runtime.block_on(find(row, setting));
        findings.push((row.fault.to_owned(), repeats, finding));
    }
    let table = table::table(&findings);
    println!("\n{table}");
    let good = findings.iter().filter(|(_, _, finding)| finding.is_good()).count();
    let bad = findings.len() - good;
    if let Some(path) = &options.out
        && let Err(error) = write(path, &table, &findings)
    {
        eprintln!("{} can not be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!("{good} passed, {bad} failed");
    if bad == 0 && good > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn setting(row: &Row, options: &Options, seed: u64) -> Setting {
    let (short, full) = row.repeats;
    let (repeats, rate) = match options.full {
        true => (full, row.rate.unwrap_or(FULL_RATE)),
        false => (short, SHORT_RATE),
    };
    Setting {
        row: row.name,
        repeats: options.repeats.unwrap_or(repeats),
        rate: options.rate.unwrap_or(rate),
        full: options.full,
        seed,
    }
}

/// Runs a row; one that can not go on is one that failed.
async fn find(row: &Row, setting: Setting) -> Finding {
    eprint!("{:20} ", row.name);
    let (started, panics) = (Instant::now(), PANICS.load(Ordering::Relaxed));
    let ended = AssertUnwindSafe((row.run)(setting)).catch_unwind().await;
    let mut finding = ended.unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_owned())).unwrap_or_default();
        Finding { problems: vec![why], ..Finding::default() }
    });
    let panics = PANICS.load(Ordering::Relaxed) - panics;
    if panics > 0 && finding.is_good() {
        finding.problems.push(format!("{panics} panics in the caller's process"));
    }
    eprintln!("{} ({:.0?})", if finding.is_good() { "kept" } else { "BROKEN" }, started.elapsed());
    finding.problems.iter().for_each(|problem| eprintln!("    {problem}"));
    finding.notes.iter().for_each(|note| eprintln!("    {note}"));
    finding
}

fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(panic);
    }));
}

fn clock_seed() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs())
}

fn write(path: &std::path::Path, table: &str, findings: &[(String, u32, Finding)]) -> io::Result<()> {
    let mut text = table.to_owned();
    for (fault, _, finding) in findings {
        for problem in &finding.problems {
            text.push_str(&format!("\nBROKEN, {fault}: {problem}\n"));
        }
    }
    std::fs::write(path, text)
}
