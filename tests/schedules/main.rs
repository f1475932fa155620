//! The promises about calls, events and the registry, kept under thousands of schedules: which command comes first, which
//! reply is late, which connection is cut where, who dies when. All of it follows from a seed, and can be had again.
//!
//! Not tests of the usual kind: `scripts/faults.sh` runs them, and `cargo test` and nextest find one here, of whether seeds
//! repeat. What a schedule is made of, and why it can be repeated, is told in `docs/decisions/0001-schedules.md`.

// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod backend;
mod call;
mod clock;
mod commands;
mod connection;
mod hub;
mod judge;
mod link;
mod listener;
mod mesh;
mod names;
mod options;
mod outage;
mod plan;
#[path = "../faults/random.rs"]
mod random;
mod repeats;
mod resp;
mod rights;
mod schedule;
mod service;
mod supervisor;
mod trace;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(worker::FOLDER) {
        let seed = std::env::var(clock::SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
        worker::work(folder.as_ref(), seed);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match options::read(arguments.clone().into_iter()) {
        Ok(None) => repeats::run(&arguments),
        Ok(Some(options)) => supervisor::run(&options),
        Err(mistake) => {
            eprintln!("{mistake}");
            ExitCode::from(2)
        }
    }
}
