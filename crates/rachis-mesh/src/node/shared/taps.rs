//! Calls as they happen, for operators who watch. Nothing is kept while nobody does.

use parking_lot::Mutex;
use rachis_core::{Descriptor, Error, Method, Result};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long calls are kept after they were asked for last.
const LEASE: Duration = Duration::from_secs(5);
/// Calls that are kept; the oldest go first, and are counted.
const KEPT: usize = 1000;
/// Calls in one answer.
const TOLD: usize = 400;
/// What stands for methods that the service does not offer: callers may name as many as they like, and whatever they like.
const OTHER: &str = "(other)";

/// The calls that a node made a moment ago.
pub(crate) struct Taps {
    born: Instant,
    /// Until when calls are kept, in ms since `born`; 0 while nobody watches.
    until: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The number of the next call.
    next: u64,
    calls: VecDeque<TapEntry>,
}

/// A call without anything that its caller chose: no id, no data, no query, no user, no message of an error.
struct TapEntry {
    ended: Instant,
    path: String,
    method: String,
    outcome: &'static str,
    code: Option<u16>,
    took: Duration,
    provider: Option<String>,
}

impl Taps {
    pub(crate) fn new() -> Self {
        Taps { born: Instant::now(), until: AtomicU64::new(0), kept: Mutex::default() }
    }

    /// Returns `true` while someone watches, or did a moment ago.
    pub(crate) fn is_on(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    /// Takes in a call that has ended, if someone watches.
    pub(crate) fn note<T>(
        &self,
        service: &Descriptor,
        method: &Method,
        provider: Option<&str>,
        took: Duration,
        result: &Result<T>,
    ) {
        if !self.is_on() {
            return;
        }
        let ended = Instant::now();
        let mut kept = self.kept.lock();
        if self.ms(ended) > self.until.load(Ordering::Relaxed) {
            self.until.store(0, Ordering::Relaxed);
            kept.calls = VecDeque::new();
            return;
        }
        if kept.calls.len() == KEPT {
            kept.calls.pop_front();
        }
        kept.next += 1;
        let error = result.as_ref().err();
        kept.calls.push_back(TapEntry {
            ended,
            // As it was registered: a placeholder in it has no value.
            path: service.path.clone(),
            method: if service.methods.contains(method) { method.name() } else { OTHER }.to_owned(),
            outcome: error.map_or("ok", |error| error.kind().name()),
            code: error.map(Error::code),
            took,
            provider: provider.map(str::to_owned),
        });
    }

    /// Returns the calls from that number on, and has calls kept for a while more. Without a number it begins to watch: only what
    /// comes from now on is told. `at` tells Redis's time of a moment.
    pub(crate) fn read(&self, from: Option<u64>, at: impl Fn(Instant) -> u64) -> Value {
        let mut kept = self.kept.lock();
        let now = self.ms(Instant::now());
        if now > self.until.load(Ordering::Relaxed) {
            kept.calls = VecDeque::new();
        }
        self.until.store(now.max(1) + ms(LEASE), Ordering::Relaxed);
        let first = kept.next - kept.calls.len() as u64;
        let from = from.unwrap_or(kept.next).min(kept.next);
        let dropped = first.saturating_sub(from);
        let skipped = usize::try_from(from.max(first) - first).unwrap_or(usize::MAX);
        let told: Vec<Value> = kept
            .calls
            .iter()
            .skip(skipped)
            .take(TOLD)
            .map(|call| {
                json!([
                    at(call.ended),
                    call.path,
                    call.method,
                    call.outcome,
                    call.code,
                    u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX),
                    call.provider,
                ])
            })
            .collect();
        let next = from.max(first) + told.len() as u64;
        json!({ "next": next, "dropped": dropped, "more": next < kept.next, "calls": told })
    }

    fn ms(&self, moment: Instant) -> u64 {
        ms(moment.saturating_duration_since(self.born))
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(taps: &Taps, method: &str) {
        let service = Descriptor { path: "users/:id/todos".into(), ..Descriptor::new([Method::Get]) };
        let failed: Result<()> = Err(Error::not_found("hunter2"));
        taps.note(&service, &Method::from(method.to_owned()), Some("rest"), Duration::from_micros(7), &failed);
    }

    fn read(taps: &Taps, from: Option<u64>) -> Value {
        taps.read(from, |_| 5)
    }

    #[test]
    fn nothing_is_kept_while_nobody_watches() {
        let taps = Taps::new();
        note(&taps, "get");
        assert!(!taps.is_on());
        let begun = read(&taps, None);
        assert_eq!(begun, json!({ "next": 0, "dropped": 0, "more": false, "calls": [] }));
        note(&taps, "get");
        assert_eq!(read(&taps, Some(0))["calls"].as_array().unwrap().len(), 1);

        // Nobody has asked for longer than that.
        taps.until.store(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5));
        note(&taps, "get");
        assert!(!taps.is_on() && taps.kept.lock().calls.is_empty());
    }

    #[test]
    fn what_callers_choose_is_not_told() {
        let taps = Taps::new();
        read(&taps, None);
        note(&taps, "get");
        note(&taps, "hunter2");
        let told = read(&taps, Some(0));
        assert_eq!(told["calls"][0], json!([5, "users/:id/todos", "get", "NotFound", 404, 7, "rest"]));
        assert_eq!(told["calls"][1][2], OTHER);
        assert!(!told.to_string().contains("hunter2"));
    }

    #[test]
    fn memory_is_bounded_and_what_is_dropped_is_counted() {
        let taps = Taps::new();
        read(&taps, None);
        for _ in 0..KEPT + 50 {
            note(&taps, "get");
        }
        let mut told = 0;
        let mut from = 0;
        let mut dropped = 0;
        loop {
            let part = read(&taps, Some(from));
            told += part["calls"].as_array().unwrap().len();
            dropped += part["dropped"].as_u64().unwrap();
            from = part["next"].as_u64().unwrap();
            if part["more"] == false {
                break;
            }
        }
        assert_eq!((told, dropped), (KEPT, 50));
        // One that asks for what is not there yet gets nothing, and begins with the next.
        assert_eq!(read(&taps, Some(u64::MAX))["next"], KEPT as u64 + 50);
    }
}
