//! Runs schedules side by side, each in a process of its own, and tells of those that broke a promise.

use crate::{backend::Server, clock, options::Options, plan::Plan, worker};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long one schedule may take, in real time.
const LONGEST: Duration = Duration::from_secs(600);
/// Lines of a trace that are shown of a schedule that failed.
const SHOWN: usize = 40;

/// What became of a schedule.
#[derive(Clone, Debug, Default)]
struct Told {
    lines: Vec<String>,
    problems: Vec<String>,
    sum: String,
}

struct Supervisor<'a> {
    options: &'a Options,
    folder: PathBuf,
    preload: PathBuf,
    next: AtomicU64,
    steps: AtomicU64,
    passed: AtomicU64,
    failed: Mutex<Vec<u64>>,
    started: Instant,
}

/// What was found in one run of a schedule, and the sum of its history.
pub(crate) type Found = (Vec<String>, String);

/// Runs each of these schedules twice.
pub(crate) fn twice(seeds: &[u64]) -> io::Result<Vec<[Found; 2]>> {
    let options = Options { first: 1, count: 0, time: None, side_by_side: 1, tell: false, without: String::new() };
    let all = Supervisor::new(&options)?;
    let once = |seed: &u64| {
        let told = all.schedule(&all.folder.join("0"), *seed, "", false);
        (told.problems, told.sum)
    };
    Ok(seeds.iter().map(|seed| [once(seed), once(seed)]).collect())
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let all = match Supervisor::new(options) {
        Ok(all) => all,
        Err(error) => {
            eprintln!("schedules need a C compiler: {error}");
            return ExitCode::FAILURE;
        }
    };
    thread::scope(|scope| {
        for slot in 0..options.side_by_side.max(1) {
            let all = &all;
            scope.spawn(move || all.work(slot));
        }
    });
    let (passed, failed) =
        (all.passed.load(Ordering::Relaxed), all.failed.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let (time, steps) = (all.started.elapsed(), all.steps.load(Ordering::Relaxed));
    let rate = passed as f64 / time.as_secs_f64();
    eprintln!("{passed} schedules kept every promise, {steps} steps, in {time:.1?} ({rate:.1} a second)");
    if !failed.is_empty() {
        eprintln!("these did not: {failed:?}");
    }
    println!("{} passed, {} failed", u64::from(failed.is_empty()), u64::from(!failed.is_empty()));
    if failed.is_empty() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl<'a> Supervisor<'a> {
    fn new(options: &'a Options) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("schedules-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let preload = clock::build(&folder)?;
        let (next, steps, passed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let (failed, started) = (Mutex::default(), Instant::now());
        Ok(Supervisor { options, folder, preload, next, steps, passed, failed, started })
    }

    fn work(&self, slot: usize) {
        let folder = self.folder.join(slot.to_string());
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let is_late = self.options.time.is_some_and(|time| self.started.elapsed() > time);
            if number >= self.options.count || is_late {
                return;
            }
            let seed = self.options.first + number;
            let told = self.schedule(&folder, seed, &self.options.without, self.options.tell);
            if self.options.tell {
                told.lines.iter().for_each(|line| println!("{line}"));
                println!("sum {}", told.sum);
            }
            let steps = told.sum.split(' ').nth(1).and_then(|steps| steps.parse().ok()).unwrap_or(0);
            self.steps.fetch_add(steps, Ordering::Relaxed);
            if told.problems.is_empty() {
                self.passed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
            self.explain(&folder, seed, &told);
        }
    }

    /// Finds out what is needed for a schedule to fail, and tells it.
    fn explain(&self, folder: &Path, seed: u64, told: &Told) {
        let plan = Plan::of(seed);
        let mut without: Vec<String> =
            self.options.without.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        let again = self.schedule(folder, seed, &without.join(","), false);
        let mut text = format!("\nseed {seed}\n{plan}");
        if again.sum != told.sum {
            text.push_str("a second run was not the same\n");
        }
        for number in 0..plan.faults.len() {
            let mut fewer = without.clone();
            fewer.push(number.to_string());
            if !self.schedule(folder, seed, &fewer.join(","), false).problems.is_empty() {
                without = fewer;
            }
        }
        let without = without.join(",");
        let least = self.schedule(folder, seed, &without, true);
        // With its trace it takes other ways where the time that a line takes is all that matters.
        let problems = if least.problems.is_empty() { &told.problems } else { &least.problems };
        text.push_str(&format!("it fails without these faults as well: {without}\n"));
        problems.iter().take(5).for_each(|problem| text.push_str(&format!("  {problem}\n")));
        let from = least.lines.len().saturating_sub(SHOWN);
        if !self.options.tell {
            let file = std::env::temp_dir().join(format!("schedule-{seed}.txt"));
            if std::fs::write(&file, least.lines.join("\n")).is_ok() {
                text.push_str(&format!("{} lines of trace are in {}\n", from + SHOWN, file.display()));
            }
        }
        let without = if without.is_empty() { String::new() } else { format!(" --without {without}") };
        text.push_str(&format!("again: scripts/faults.sh --schedule {seed}{without}\n"));
        eprintln!("{text}");
    }

    fn schedule(&self, folder: &Path, seed: u64, without: &str, tell: bool) -> Told {
        match self.process(folder, seed, without, tell) {
            Ok(told) => told,
            Err(error) => Told { problems: vec![format!("the schedule could not be run: {error}")], ..Told::default() },
        }
    }

    fn process(&self, folder: &Path, seed: u64, without: &str, tell: bool) -> io::Result<Told> {
        let _server = Server::start(folder, &self.preload)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env("LD_PRELOAD", &self.preload).env(clock::FILE, Server::clock(folder)).env(clock::MONOTONIC, "1");
        command.env(clock::SEED, seed.to_string()).env(worker::FOLDER, folder).env(worker::WITHOUT, without);
        if tell {
            command.env(worker::TELL, "1");
        }
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut out = process.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let text = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let started = Instant::now();
        while process.try_wait()?.is_none() {
            if started.elapsed() > LONGEST {
                process.kill()?;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let status = process.wait()?;
        let text = text.join().map_err(|_| io::Error::other("its output can not be read"))??;
        let mut told = Told::default();
        for line in text.lines() {
            if let Some(problem) = line.strip_prefix("problem ") {
                told.problems.push(problem.to_owned());
            } else if let Some(sum) = line.strip_prefix("sum ") {
                told.sum = sum.to_owned();
            } else {
                told.lines.push(line.to_owned());
            }
        }
        if told.sum.is_empty() {
            told.problems.push(format!("the schedule did not come to its end: {status}"));
        }
        Ok(told)
    }
}
