//! The last hour of a node in samples, for those who look at it later: bounded, in memory, and kept by the node itself.

use crate::node::{
    client::waiting::Waiting,
    server::partitions::Partitions,
    shared::{
        context::NodeContext,
        latencies::Latencies,
        metrics::{Meters, Reading},
    },
};
use parking_lot::Mutex;
use rachis_core::{App, Method};
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The time that a sample is about. The time of a sample is a multiple of it by Redis's clock, so those of all nodes can be
/// added up.
pub(crate) const STEP: Duration = Duration::from_secs(10);
/// An hour of them.
const SAMPLES: usize = 360;
/// The memory that samples may take, about; beyond, the oldest go before their hour is over.
const BYTES: usize = 1 << 20;
/// Services that have a place of their own in a sample, the busiest first. All others are one.
const PATHS: usize = 64;
/// The path of what is counted as one, as metrics have it.
const OTHERS: &str = "(others)";
/// What an answer may weigh: it travels through an inbox that replies share.
const ANSWER: usize = 64 << 10;

/// What a node counted within one [`STEP`].
struct Sample {
    /// When it was taken, in ms of Redis's clock.
    at: u64,
    /// How long it is about, in ms. More than a step after a pause of the process.
    took: u64,
    in_flight: u64,
    pending: u64,
    events_out: u64,
    events_in: u64,
    /// The calls that ran here, of whatever caller.
    served: Vec<Served>,
    /// The calls that were made here.
    made: Vec<Made>,
}

struct Served {
    path: Arc<str>,
    errors: u32,
    /// Buckets of latencies, and how many calls each has.
    latencies: Vec<(u16, u32)>,
}

struct Made {
    path: Arc<str>,
    calls: u32,
    errors: u32,
}

impl Served {
    fn calls(&self) -> u32 {
        self.latencies.iter().map(|(_, count)| count).sum()
    }

    fn add(&mut self, other: &Served) {
        self.errors += other.errors;
        for (bucket, count) in &other.latencies {
            match self.latencies.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
                Ok(place) => self.latencies[place].1 += count,
                Err(place) => self.latencies.insert(place, (*bucket, *count)),
            }
        }
    }
}

impl Sample {
    /// About how many bytes it takes, here and, within a factor of two, in an answer.
    fn weight(&self) -> usize {
        let served: usize = self.served.iter().map(|served| 64 + served.latencies.len() * 8).sum();
        128 + served + self.made.len() * 48
    }

    fn to_json(&self) -> Value {
        let served = self.served.iter().map(|served| {
            let (buckets, counts): (Vec<u16>, Vec<u32>) = served.latencies.iter().copied().unzip();
            json!([&*served.path, served.errors, buckets, counts])
        });
        let made = self.made.iter().map(|made| json!([&*made.path, made.calls, made.errors]));
        json!({
            "at": self.at,
            "took": self.took,
            "in_flight": self.in_flight,
            "pending": self.pending,
            "events_out": self.events_out,
            "events_in": self.events_in,
            "served": served.collect::<Vec<_>>(),
            "made": made.collect::<Vec<_>>(),
        })
    }
}

/// The samples of a node, the newest last.
#[derive(Default)]
pub(crate) struct History {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    samples: VecDeque<Sample>,
    weight: usize,
}

impl History {
    fn keep(&self, sample: Sample) {
        let mut kept = self.kept.lock();
        kept.weight += sample.weight();
        kept.samples.push_back(sample);
        while kept.samples.len() > SAMPLES || kept.weight > BYTES {
            let Some(oldest) = kept.samples.pop_front() else { return };
            kept.weight -= oldest.weight();
        }
    }

    /// Returns the samples after that moment, the oldest first, as many as one answer holds; `more` says whether further ones
    /// follow.
    pub(crate) fn after(&self, moment: u64) -> Value {
        let kept = self.kept.lock();
        let from = kept.samples.partition_point(|sample| sample.at <= moment);
        let mut told = Vec::new();
        let mut weight = 0;
        for sample in kept.samples.iter().skip(from) {
            weight += sample.weight();
            if weight > ANSWER && !told.is_empty() {
                return json!({ "samples": told, "more": true });
            }
            told.push(sample.to_json());
        }
        json!({ "samples": told, "more": false })
    }
}

/// Takes the samples of a node.
pub(crate) struct Sampler {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) app: App,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) history: Arc<History>,
    pub(crate) stop: CancellationToken,
}

/// What was counted when the sample before was taken.
struct Before {
    taken: Instant,
    at: u64,
    served: Counted,
    made: Counted,
    events_out: u64,
    events_in: u64,
}

impl Sampler {
    /// Takes a sample each [`STEP`], until the node has left.
    pub(crate) async fn run(self) {
        let mut before = self.first();
        let step = ms(STEP);
        loop {
            let left = step - self.context.clock.now() % step;
            if self.stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(left))).await.is_none() {
                return;
            }
            let at = self.context.clock.now() / step * step;
            // A timer may be early by a moment, and a clock may be set back.
            if at > before.at {
                let sample = self.take(at, &mut before);
                self.history.keep(sample);
            }
        }
    }

    /// What was counted before the first sample is in none: when it happened is not known.
    fn first(&self) -> Before {
        let mut before = Before {
            taken: Instant::now(),
            at: self.context.clock.now(),
            served: Counted::default(),
            made: Counted::default(),
            events_out: 0,
            events_in: 0,
        };
        let at = before.at;
        self.take(at, &mut before);
        before
    }

    fn take(&self, at: u64, before: &mut Before) -> Sample {
        let metrics = &self.context.metrics;
        let taken = Instant::now();
        let requests = before.served.since(&metrics.requests);
        let calls = before.made.since(&metrics.calls);
        // Calls of one's own services run here, too, and are no requests.
        let own = calls.iter().filter(|served| self.app.find(&served.path).is_some());
        let mut served = Vec::<Served>::new();
        for one in requests.iter().chain(own) {
            match served.iter_mut().find(|known| known.path == one.path) {
                Some(known) => known.add(one),
                None => {
                    served.push(Served { path: one.path.clone(), errors: one.errors, latencies: one.latencies.clone() })
                }
            }
        }
        let served = busiest(
            served,
            Served::calls,
            |others, one| others.add(one),
            |path| Served { path, errors: 0, latencies: Vec::new() },
        );
        let made = calls.iter().map(|one| Made { path: one.path.clone(), calls: one.calls(), errors: one.errors });
        let add = |others: &mut Made, one: &Made| {
            others.calls += one.calls;
            others.errors += one.errors;
        };
        let made = busiest(made.collect(), |made| made.calls, add, |path| Made { path, calls: 0, errors: 0 });
        let (out, heard) = (metrics.published.get(), metrics.heard.get());
        let sample = Sample {
            at,
            took: ms(taken - before.taken),
            in_flight: self.partitions.in_flight() as u64,
            pending: self.waiting.len() as u64,
            events_out: out.saturating_sub(before.events_out),
            events_in: heard.saturating_sub(before.events_in),
            served,
            made,
        };
        (before.taken, before.at, before.events_out, before.events_in) = (taken, at, out, heard);
        sample
    }
}

/// Leaves the busiest as they are, and makes one of all others.
fn busiest<T>(
    mut all: Vec<T>,
    calls: impl Fn(&T) -> u32,
    add: impl Fn(&mut T, &T),
    empty: impl Fn(Arc<str>) -> T,
) -> Vec<T> {
    if all.len() <= PATHS {
        return all;
    }
    all.sort_by_key(|one| std::cmp::Reverse(calls(one)));
    let mut others = empty(OTHERS.into());
    for one in all.drain(PATHS - 1..) {
        add(&mut others, &one);
    }
    all.push(others);
    all
}

/// What was counted of each method up to now.
#[derive(Default)]
struct Counted(FxHashMap<(Arc<str>, Method), MethodCount>);

/// The errors of a method, and its calls by the buckets of their latencies.
type MethodCount = (u64, Vec<(u16, u64)>);

impl Counted {
    /// Returns what came since the last time, of each path that was called since.
    fn since(&mut self, meters: &Meters) -> Vec<Served> {
        let mut paths: FxHashMap<Arc<str>, Served> = FxHashMap::default();
        for Reading { path, method, errors, latencies } in meters.read() {
            let now = latencies.buckets();
            let before = self.0.entry((path.clone(), method)).or_default();
            if before.1 == now {
                continue;
            }
            let (errors_before, buckets_before) = std::mem::replace(before, (errors, now.clone()));
            let count_before = |bucket: u16| {
                let found = buckets_before.binary_search_by_key(&bucket, |(bucket, _)| *bucket);
                found.map_or(0, |place| buckets_before[place].1)
            };
            let latencies =
                now.into_iter().map(|(bucket, count)| (bucket, narrow(count - count_before(bucket).min(count))));
            let one = Served {
                path: path.clone(),
                errors: narrow(errors.saturating_sub(errors_before)),
                latencies: latencies.filter(|(_, count)| *count > 0).collect(),
            };
            match paths.get_mut(&path) {
                Some(known) => known.add(&one),
                None => drop(paths.insert(path, one)),
            }
        }
        paths.into_values().collect()
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a node keeps of its last hour, in part: see [`Peer::history`](crate::Peer::history).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeHistory {
    /// The samples, the oldest first.
    pub samples: Vec<NodeSample>,
    /// `true` if newer ones can be read, after the last of these.
    pub more: bool,
    /// `starting`, `ready`, `degraded` or `draining`, as it is now.
    pub readiness: String,
    /// The most requests of other nodes that may run there at once (`limits.max_in_flight`).
    pub max_in_flight: u64,
}

/// What a node counted within ten seconds.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeSample {
    /// When they ended, in ms since 1970 by Redis's clock: a multiple of ten seconds, the same for all nodes. One that is
    /// missing was not taken, since the process stood still or did not run.
    pub at: u64,
    /// How long it is about: ten seconds, or more where those before are missing.
    pub took: Duration,
    /// Requests of other nodes that ran when it was taken.
    pub in_flight: u64,
    /// Calls to other nodes that waited for a reply then.
    pub pending: u64,
    /// Events published to other nodes.
    pub events_out: u64,
    /// Events heard from other nodes.
    pub events_in: u64,
    /// The calls that ran there, of this and of other nodes, by path: of at most 64, where `(others)` has the rest.
    pub served: Vec<ServedCalls>,
    /// The calls that were made there, likewise.
    pub made: Vec<MadeCalls>,
}

/// Calls of one service that ran on a node.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ServedCalls {
    /// The service, as its node registered it.
    pub path: String,
    /// How many failed.
    pub errors: u64,
    /// How many there were, and how long they took.
    pub latencies: Latencies,
}

/// Calls of one service that a node made.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MadeCalls {
    /// The service, as it is known to the caller.
    pub path: String,
    /// How many there were.
    pub calls: u64,
    /// How many failed.
    pub errors: u64,
}

impl NodeHistory {
    /// What can not be read is left out.
    pub(crate) fn read(said: &Value) -> Self {
        let samples = said["samples"].as_array().into_iter().flatten();
        NodeHistory {
            samples: samples.filter_map(NodeSample::read).collect(),
            more: said["more"].as_bool().unwrap_or(false),
            readiness: said["readiness"].as_str().unwrap_or_default().to_owned(),
            max_in_flight: said["max_in_flight"].as_u64().unwrap_or(0),
        }
    }
}

impl NodeSample {
    fn read(said: &Value) -> Option<Self> {
        let number = |name: &str| said[name].as_u64().unwrap_or(0);
        let all = |name: &str| said[name].as_array().cloned().unwrap_or_default();
        let served = all("served").into_iter().filter_map(|one| {
            Some(ServedCalls {
                path: one[0].as_str()?.to_owned(),
                errors: one[1].as_u64()?,
                latencies: Latencies::from_json(&json!([one[2], one[3]]))?,
            })
        });
        let made = all("made").into_iter().filter_map(|one| {
            Some(MadeCalls { path: one[0].as_str()?.to_owned(), calls: one[1].as_u64()?, errors: one[2].as_u64()? })
        });
        Some(NodeSample {
            at: said["at"].as_u64()?,
            took: Duration::from_millis(number("took")),
            in_flight: number("in_flight"),
            pending: number("pending"),
            events_out: number("events_out"),
            events_in: number("events_in"),
            served: served.collect(),
            made: made.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(path: &str, latencies: &[(u16, u32)]) -> Served {
        Served { path: path.into(), errors: 1, latencies: latencies.to_vec() }
    }

    fn sample(at: u64, served: Vec<Served>) -> Sample {
        let made = vec![Made { path: "users".into(), calls: 3, errors: 1 }];
        Sample { at, took: 10_000, in_flight: 1, pending: 2, events_out: 3, events_in: 4, served, made }
    }

    fn read_all(history: &History) -> (Vec<NodeSample>, usize) {
        let mut all = Vec::<NodeSample>::new();
        let mut answers = 0;
        loop {
            let said = NodeHistory::read(&history.after(all.last().map_or(0, |sample| sample.at)));
            answers += 1;
            all.extend(said.samples);
            if !said.more {
                return (all, answers);
            }
        }
    }

    #[test]
    fn samples_come_back_as_they_were() {
        let history = History::default();
        history.keep(sample(10_000, vec![served("todos", &[(3, 2), (9, 1)])]));
        let (all, answers) = read_all(&history);
        let [sample] = &all[..] else { panic!("{all:?}") };
        assert_eq!(answers, 1);
        assert_eq!((sample.at, sample.in_flight, sample.pending), (10_000, 1, 2));
        assert_eq!((sample.events_out, sample.events_in, sample.took), (3, 4, STEP));
        assert_eq!((sample.served[0].path.as_str(), sample.served[0].errors), ("todos", 1));
        assert_eq!(sample.served[0].latencies.count(), 3);
        assert_eq!(sample.made, [MadeCalls { path: "users".into(), calls: 3, errors: 1 }]);
    }

    #[test]
    fn an_hour_is_kept_and_read_in_parts() {
        let history = History::default();
        for number in 1..=SAMPLES as u64 + 40 {
            history.keep(sample(number, vec![served("todos", &[(1, 1); 20])]));
        }
        let (all, answers) = read_all(&history);
        assert!(answers > 1 && answers < 20, "{answers}");
        let ats: Vec<u64> = all.iter().map(|sample| sample.at).collect();
        assert_eq!(ats, (41..=SAMPLES as u64 + 40).collect::<Vec<_>>());
    }

    #[test]
    fn memory_is_bounded_whatever_is_called() {
        let history = History::default();
        for number in 1..=SAMPLES as u64 {
            let all = (0..PATHS).map(|path| served(&format!("s{path}"), &[(1, 1); 60])).collect();
            history.keep(sample(number, all));
        }
        let kept = history.kept.lock();
        assert!(kept.weight <= BYTES && kept.samples.len() > 10, "{} in {}", kept.samples.len(), kept.weight);
        assert_eq!(kept.weight, kept.samples.iter().map(Sample::weight).sum::<usize>());
    }

    #[test]
    fn the_busiest_have_places_of_their_own_and_nothing_is_lost() {
        let all: Vec<Served> =
            (0..200_u16).map(|number| served(&format!("s{number}"), &[(number % 7, u32::from(number))])).collect();
        let sum: u32 = all.iter().map(Served::calls).sum();
        let empty = |path| Served { path, errors: 0, latencies: Vec::new() };
        let kept = busiest(all, Served::calls, |others, one| others.add(one), empty);
        assert_eq!(kept.len(), PATHS);
        assert_eq!((&*kept[0].path, &*kept[PATHS - 1].path), ("s199", OTHERS));
        assert_eq!(kept.iter().map(Served::calls).sum::<u32>(), sum);
        assert_eq!(kept.iter().map(|one| one.errors).sum::<u32>(), 200);
    }
}
