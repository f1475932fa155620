//! The promises about calls and events, kept under faults: real processes, a real Redis, and a journal of what really ran.
//!
//! Not tests of the usual kind, since they take minutes and want the machine for themselves: `cargo test` and nextest
//! find none here, and `scripts/faults.sh` runs them.

// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod answered;
mod boundaries;
mod call;
mod control;
mod damage;
mod deaths;
mod events;
mod gateways;
mod javascript;
mod journal;
mod judge;
mod kinds;
mod links;
mod load;
mod log;
mod mesh;
mod options;
mod outages;
mod plan;
mod proxy;
mod quiet;
mod random;
mod redis;
#[path = "../schedules/resp.rs"]
#[allow(dead_code)]
mod resp;
mod rest;
mod restarts;
mod rights;
mod row;
mod service;
// Not all that the tests of these kinds need.
#[path = "../kinds/servers.rs"]
#[allow(dead_code)]
mod servers;
#[path = "../kinds/shards.rs"]
#[allow(dead_code)]
mod shards;
mod soak;
mod socket;
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
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime},
};

/// Calls a second, where a row says nothing else.
const SHORT_RATE: u64 = 150;
const FULL_RATE: u64 = 500;

/// What panicked in this process, of which the caller is a part.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

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
    let mut rows = chosen(&options.rows);
    rows.retain(|row| options.full || !options.rows.is_empty() || row.repeats.0 > 0);
    if options.names {
        rows.iter().for_each(|row| println!("{:20} {}", row.name, row.fault));
        return ExitCode::SUCCESS;
    }
    keep_panics();
    log::start();
    let seed = options.seed.unwrap_or_else(clock_seed);
    eprintln!("seed {seed}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.spawn(worker::end_all_on_signal());
    let mut findings = Vec::new();
    if let Some(time) = options.soak {
        let rate = options.rate.unwrap_or(SHORT_RATE);
        let setting = Setting { row: "soak", repeats: 1, rate, full: true, seed };
        let finding = runtime.block_on(find("soak", soak::soak(setting, time)));
        findings.push((format!("mixed load with kills for {}", humantime::format_duration(time)), 1, finding));
    } else {
        for row in &rows {
            let setting = setting(row, options, seed);
            let repeats = setting.repeats;
            let finding = runtime.block_on(find(row.name, (row.run)(setting)));
            findings.push((row.fault.to_owned(), repeats, finding));
        }
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

/// The rows of these names, or with these as a part of their names; all where none is given.
fn chosen(names: &[String]) -> Vec<Row> {
    let mut rows = row::all();
    let known: Vec<&str> = rows.iter().map(|row| row.name).collect();
    let is_meant = |row: &Row, name: &String| match known.contains(&name.as_str()) {
        true => row.name == name,
        false => row.name.contains(name.as_str()),
    };
    rows.retain(|row| names.is_empty() || names.iter().any(|name| is_meant(row, name)));
    rows
}

fn setting(row: &Row, options: &Options, seed: u64) -> Setting {
    let (short, full) = row.repeats;
    let (repeats, rate) = match options.full {
        true => (full, row.rate.unwrap_or(FULL_RATE)),
        false => (short.max(1), SHORT_RATE),
    };
    Setting {
        row: row.name,
        repeats: options.repeats.unwrap_or(repeats),
        rate: options.rate.unwrap_or(rate),
        full: options.full,
        seed,
    }
}

/// Runs a row; a panic is a mistake like others.
async fn find(name: &str, row: impl Future<Output = Finding>) -> Finding {
    eprint!("{name:20} ");
    let started = Instant::now();
    let ended = AssertUnwindSafe(row).catch_unwind().await;
    let mut finding = ended.unwrap_or_default();
    finding.problems.append(&mut PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    eprintln!("{} ({:.0?})", if finding.is_good() { "kept" } else { "BROKEN" }, started.elapsed());
    finding.problems.iter().for_each(|problem| eprintln!("    {problem}"));
    finding.notes.iter().for_each(|note| eprintln!("    {note}"));
    finding
}

fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
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
        for note in &finding.notes {
            text.push_str(&format!("\n{fault}: {note}\n"));
        }
    }
    std::fs::write(path, text)
}
