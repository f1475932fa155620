//! What a node counts and times, as OpenMetrics tells it.

#[cfg(feature = "resilience")]
use super::resilience_metrics::ResilienceMetrics;
use super::{
    latencies::{Latencies, LatencyRecorder},
    taps::Taps,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use rachis_core::{Descriptor, Error, Method, Outcome, Result};
use rustc_hash::FxHashMap;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Services that have time series of their own. What is called of more is counted as one: a mesh of ten thousand
/// services shall not fill a Prometheus.
const OWN_SERIES: usize = 500;
/// The path of what is counted as one.
const OTHERS: &str = "(others)";
/// Seconds: from a call inside a process to the default timeout.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0];

/// The counters of a node, and how they are told.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    /// Calls that this node makes, of its own services and of others'.
    pub(crate) calls: Meters,
    /// The same calls one by one, while someone watches.
    pub(crate) taps: Taps,
    /// Runs of this node's services on behalf of other nodes.
    pub(crate) requests: Meters,
    pub(crate) redeliveries: Counter,
    pub(crate) dead_lettered: Counter,
    pub(crate) published: Counter,
    pub(crate) heard: Counter,
    /// What stands around the calls of single services.
    #[cfg(feature = "resilience")]
    pub(crate) resilience: ResilienceMetrics,
    round_trip: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    path: Arc<str>,
    method: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    path: Arc<str>,
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AppLabels {
    pub(crate) app: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

impl Metrics {
    /// `app`, as `KEY/APP`, is the node's own.
    pub(crate) fn new(app: &str) -> Self {
        let mut registry = Registry::with_prefix("rachis");
        let calls = Meters::new(&mut registry, "call", "Calls made by this node, of services here and elsewhere");
        let requests = Meters::new(&mut registry, "request", "Requests of other nodes that ran here");
        let events = Family::<DirectionLabels, Counter>::default();
        registry.register("events", "Events published to and heard from other nodes", events.clone());
        let direction = |direction| events.get_or_create_owned(&DirectionLabels { direction });
        let redeliveries = Counter::default();
        registry.register(
            "redeliveries",
            "Requests that ran here after a replica that is gone got them",
            redeliveries.clone(),
        );
        let letters = Family::<AppLabels, Counter>::default();
        registry.register("dead_letters", "Requests that this node gave up and kept as dead letters", letters.clone());
        let dead_lettered = letters.get_or_create_owned(&AppLabels { app: app.to_owned() });
        let round_trip = histogram();
        let help = "How long Redis took to answer a heartbeat";
        registry.register_with_unit("redis_round_trip", help, Unit::Seconds, round_trip.clone());
        Metrics {
            #[cfg(feature = "resilience")]
            resilience: ResilienceMetrics::new(&mut registry),
            published: direction("out"),
            heard: direction("in"),
            registry,
            calls,
            taps: Taps::new(),
            requests,
            redeliveries,
            dead_lettered,
            round_trip,
        }
    }

    /// Takes in how long Redis took to answer a heartbeat.
    pub(crate) fn beat(&self, round_trip: Duration) {
        self.round_trip.observe(round_trip.as_secs_f64());
    }
}

/// Counts and times the calls of every service and method.
pub(crate) struct Meters {
    ended: Family<OutcomeLabels, Counter>,
    seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
    /// Meters by path: a call looks its own up without a lock.
    of: ArcSwap<FxHashMap<Arc<str>, Arc<[Meter]>>>,
    growing: Mutex<()>,
    /// That of all that has none of its own.
    others: OnceLock<Meter>,
}

/// Counts and times one method of one service.
#[derive(Clone)]
struct Meter {
    method: Method,
    path: Arc<str>,
    ok: Counter,
    seconds: Histogram,
    tally: Arc<Tally>,
}

/// What operators ask for: Prometheus's buckets are too wide for percentiles, and can not be read.
struct Tally {
    errors: AtomicU64,
    latencies: LatencyRecorder,
}

/// What was counted of one method so far.
pub(crate) struct Reading {
    pub(crate) path: Arc<str>,
    pub(crate) method: Method,
    pub(crate) errors: u64,
    pub(crate) latencies: Latencies,
}

impl Meters {
    fn new(registry: &mut Registry, name: &str, help: &str) -> Self {
        let ended = Family::default();
        registry.register(format!("{name}s"), help, ended.clone());
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register_with_unit(name, format!("{help}, and how long they took"), Unit::Seconds, seconds.clone());
        Meters { ended, seconds, of: ArcSwap::default(), growing: Mutex::default(), others: OnceLock::new() }
    }

    /// Returns what was counted so far, of every method that was called.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let known = self.of.load();
        known.values().flat_map(|meters| meters.iter()).chain(self.others.get()).map(Meter::read).collect()
    }

    /// Takes in how a call ended.
    pub(crate) fn note<T>(&self, service: &Descriptor, method: &Method, took: Duration, result: &Result<T>) {
        let known = self.of.load();
        let own = known.get(service.path.as_str()).and_then(|meters| meters.iter().find(|own| own.method == *method));
        match own {
            Some(meter) => self.count(meter, took, result),
            None => self.count(&self.grow(service, method), took, result),
        }
    }

    /// Takes in a call of a path that no node serves.
    pub(crate) fn note_unknown(&self, error: &Error) {
        let unserved = OutcomeLabels { path: "(unknown)".into(), method: String::new(), outcome: outcome(error) };
        self.ended.get_or_create(&unserved).inc();
    }

    fn count<T>(&self, meter: &Meter, took: Duration, result: &Result<T>) {
        meter.seconds.observe(took.as_secs_f64());
        meter.tally.latencies.note(took);
        match result {
            Ok(_) => {
                meter.ok.inc();
            }
            Err(error) => {
                meter.tally.errors.fetch_add(1, Ordering::Relaxed);
                let path = meter.path.clone();
                let method = meter.method.name().to_owned();
                self.ended.get_or_create(&OutcomeLabels { path, method, outcome: outcome(error) }).inc();
            }
        }
    }

    /// Adds a meter. A method that the service does not have gets none of its own: callers may name as many as they
    /// like.
    fn grow(&self, service: &Descriptor, method: &Method) -> Meter {
        let _growing = self.growing.lock();
        let known = self.of.load();
        let has_room = known.len() < OWN_SERIES || known.contains_key(service.path.as_str());
        if !has_room || !service.methods.contains(method) {
            return self.others.get_or_init(|| self.meter(OTHERS.into(), &Method::custom("(other)"))).clone();
        }
        let path: Arc<str> = service.path.as_str().into();
        let meter = self.meter(path.clone(), method);
        let mut more = FxHashMap::clone(&known);
        let before = more.get(&path).map(|meters| meters.to_vec()).unwrap_or_default();
        more.insert(path, before.into_iter().chain([meter.clone()]).collect());
        self.of.store(Arc::new(more));
        meter
    }

    fn meter(&self, path: Arc<str>, method: &Method) -> Meter {
        let called = CallLabels { path: path.clone(), method: method.name().to_owned() };
        let ended = OutcomeLabels { path: path.clone(), method: method.name().to_owned(), outcome: "ok" };
        Meter {
            method: method.clone(),
            path,
            ok: self.ended.get_or_create_owned(&ended),
            seconds: self.seconds.get_or_create_owned(&called),
            tally: Arc::new(Tally { errors: AtomicU64::new(0), latencies: LatencyRecorder::new() }),
        }
    }
}

impl Meter {
    fn read(&self) -> Reading {
        Reading {
            path: self.path.clone(),
            method: self.method.clone(),
            errors: self.tally.errors.load(Ordering::Relaxed),
            latencies: self.tally.latencies.read(),
        }
    }
}

/// How a call ended that did not end well: the name of the error, or `unknown` where it is not known whether it ran.
fn outcome(error: &Error) -> &'static str {
    match error.outcome() {
        Some(Outcome::Unknown) => Outcome::Unknown.name(),
        _ => error.kind().name(),
    }
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

#[cfg(test)]
mod tests {
    use crate::node::shared::metrics::*;

    fn descriptor(path: &str) -> Descriptor {
        Descriptor {
            path: path.to_owned(),
            methods: vec![Method::Get, Method::custom("ping")],
            events: Vec::new(),
            idempotent: Vec::new(),
            options: serde_json::Map::new(),
        }
    }

    fn told(registry: &Registry) -> String {
        let mut out = String::new();
        prometheus_client::encoding::text::encode(&mut out, registry).unwrap();
        out
    }

    fn meters() -> (Registry, Meters) {
        let mut registry = Registry::default();
        let meters = Meters::new(&mut registry, "call", "Calls");
        (registry, meters)
    }

    #[test]
    fn an_outcome_is_the_error_or_that_nobody_knows() {
        let (registry, meters) = meters();
        let doubt = Error::unavailable("gone").with_outcome(Outcome::Unknown);
        for result in [Ok(()), Err(doubt), Err(Error::not_found("none")), Ok(())] {
            meters.note(&descriptor("todos"), &Method::Get, Duration::from_millis(3), &result);
        }
        let told = told(&registry);
        for (outcome, count) in [("ok", 2), ("unknown", 1), ("NotFound", 1)] {
            let line = format!("calls_total{{path=\"todos\",method=\"get\",outcome=\"{outcome}\"}} {count}\n");
            assert!(told.contains(&line), "{line} in {told}");
        }
        assert!(told.contains("call_seconds_bucket{le=\"0.005\",path=\"todos\",method=\"get\"} 4"), "{told}");
        let [reading] = &meters.read()[..] else { panic!("one method was called") };
        assert_eq!((&*reading.path, &reading.method), ("todos", &Method::Get));
        assert_eq!((reading.errors, reading.latencies.count()), (2, 4));
    }

    #[test]
    fn callers_that_make_up_methods_and_services_that_are_many_share_one_series() {
        let (registry, meters) = meters();
        for number in 0..OWN_SERIES + 50 {
            meters.note(&descriptor(&format!("s{number}")), &Method::Get, Duration::ZERO, &Ok(()));
            let made_up = Method::from(format!("m{number}"));
            meters.note(&descriptor("s0"), &made_up, Duration::ZERO, &Ok(()));
        }
        let told = told(&registry);
        let series = told.lines().filter(|line| line.starts_with("calls_total{")).count();
        assert_eq!(series, OWN_SERIES + 1);
        let others = format!("path=\"(others)\",method=\"(other)\",outcome=\"ok\"}} {}\n", OWN_SERIES + 100);
        assert!(told.contains(&others), "{told}");
        let readings = meters.read();
        assert_eq!(readings.len(), OWN_SERIES + 1);
        let others = readings.iter().find(|reading| &*reading.path == OTHERS).unwrap();
        assert_eq!(others.latencies.count(), (OWN_SERIES + 100) as u64);
    }
}
