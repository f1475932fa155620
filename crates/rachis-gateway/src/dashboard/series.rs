//! The last hour of the mesh, added up from the samples of its nodes. It is told the time, and does no I/O.

use rachis_mesh::{Latencies, NodeSample};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The time that a sample is about, in ms.
pub(super) const STEP: u64 = 10_000;
/// How long samples are kept, in ms.
pub(super) const HOUR: u64 = 3_600_000;
/// Services, edges and nodes that have series of their own: what comes beyond is counted, and has none.
const PATHS: usize = 500;
const EDGES: usize = 2_000;
const NODES: usize = 2_000;

/// What was counted of something within one step.
#[derive(Clone, Default)]
struct Count {
    calls: u64,
    errors: u64,
    latencies: Vec<(u16, u64)>,
}

impl Count {
    fn add(&mut self, calls: u64, errors: u64, latencies: &[(u16, u64)]) {
        self.calls += calls;
        self.errors += errors;
        for (bucket, count) in latencies {
            match self.latencies.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
                Ok(place) => self.latencies[place].1 += count,
                Err(place) => self.latencies.insert(place, (*bucket, *count)),
            }
        }
    }
}

/// By the number of the step.
type Counts = BTreeMap<u64, Count>;

/// What a node said of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Level {
    pub(super) in_flight: u64,
    pub(super) pending: u64,
    pub(super) events_out: u64,
    pub(super) events_in: u64,
}

#[derive(Default)]
struct OfNode {
    counts: Counts,
    level: Option<Level>,
}

/// The samples of all nodes that were read, for an hour.
#[derive(Default)]
pub(super) struct Series {
    total: Counts,
    /// The steps of which any node has told.
    steps: BTreeSet<u64>,
    /// Of which steps each node has told.
    told: HashMap<String, BTreeSet<u64>>,
    nodes: HashMap<String, OfNode>,
    paths: HashMap<String, Counts>,
    /// By the app that called, as `KEY/APP`, and the path that it called.
    edges: HashMap<(String, String), BTreeMap<u64, (u64, u64)>>,
    /// Whether something found no place.
    pub(super) is_full: bool,
}

/// A line over time: one value for each point, `None` where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Chart {
    /// When the first point begins and the last one ends, in ms since 1970.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Calls and errors a second.
    pub(super) calls: Vec<Option<f64>>,
    pub(super) errors: Vec<Option<f64>>,
    /// Percentiles in ms; `None` also where there was no call.
    pub(super) p50: Vec<Option<f64>>,
    pub(super) p95: Vec<Option<f64>>,
    pub(super) p99: Vec<Option<f64>>,
    /// The points of which not all nodes have told that were there.
    pub(super) partial: Vec<usize>,
}

/// What a chart is about.
pub(super) enum Subject<'a> {
    Mesh,
    Node(&'a str),
    Path(&'a str),
}

/// A node that should have told.
pub(super) struct Witness<'a> {
    pub(super) id: &'a str,
    /// When it started, in ms since 1970.
    pub(super) started: u64,
}

/// Calls of one app to one path.
#[derive(Debug, PartialEq)]
pub(super) struct Edge<'a> {
    pub(super) caller: &'a str,
    pub(super) path: &'a str,
    /// A second.
    pub(super) calls: f64,
    pub(super) errors: f64,
}

impl Series {
    /// Takes in what a node of `app` (`KEY/APP`) said, once for each sample.
    pub(super) fn add(&mut self, node: &str, app: &str, sample: &NodeSample) {
        let step = sample.at / STEP;
        if !self.told.contains_key(node) && self.told.len() >= NODES {
            self.is_full = true;
            return;
        }
        if !self.told.entry(node.to_owned()).or_default().insert(step) {
            return;
        }
        self.steps.insert(step);
        let own = self.nodes.entry(node.to_owned()).or_default();
        own.level = Some(Level {
            in_flight: sample.in_flight,
            pending: sample.pending,
            events_out: sample.events_out,
            events_in: sample.events_in,
        });
        for served in &sample.served {
            let latencies = served.latencies.buckets();
            let calls = latencies.iter().map(|(_, count)| count).sum();
            own.counts.entry(step).or_default().add(calls, served.errors, &latencies);
            self.total.entry(step).or_default().add(calls, served.errors, &latencies);
            if self.paths.contains_key(&served.path) || self.paths.len() < PATHS {
                let path = self.paths.entry(served.path.clone()).or_default();
                path.entry(step).or_default().add(calls, served.errors, &latencies);
            } else {
                self.is_full = true;
            }
        }
        for made in &sample.made {
            let edge = (app.to_owned(), made.path.clone());
            if self.edges.contains_key(&edge) || self.edges.len() < EDGES {
                let (calls, errors) = self.edges.entry(edge).or_default().entry(step).or_default();
                *calls += made.calls;
                *errors += made.errors;
            } else {
                self.is_full = true;
            }
        }
    }

    /// Forgets what is older than an hour at `now`, in ms.
    pub(super) fn prune(&mut self, now: u64) {
        let first = now.saturating_sub(HOUR) / STEP;
        let keep = |counts: &mut Counts| {
            *counts = counts.split_off(&first);
            !counts.is_empty()
        };
        keep(&mut self.total);
        self.steps = self.steps.split_off(&first);
        self.paths.retain(|_, counts| keep(counts));
        self.edges.retain(|_, steps| {
            *steps = steps.split_off(&first);
            !steps.is_empty()
        });
        self.told.retain(|_, steps| {
            *steps = steps.split_off(&first);
            !steps.is_empty()
        });
        let told = &self.told;
        self.nodes.retain(|node, own| {
            keep(&mut own.counts);
            told.contains_key(node)
        });
    }

    /// What a node said last.
    pub(super) fn level(&self, node: &str) -> Option<&Level> {
        self.nodes.get(node)?.level.as_ref()
    }

    /// Draws the time up to `to`, in ms, in so many points of so many steps each. `witnesses` are the nodes that are there now
    /// and have something to say of it: a step of which none has told, and nobody else either, is not known.
    pub(super) fn chart(&self, of: &Subject<'_>, witnesses: &[Witness<'_>], to: u64, points: u64, steps: u64) -> Chart {
        let counts = match of {
            Subject::Mesh => Some(&self.total),
            Subject::Node(id) => self.nodes.get(*id).map(|own| &own.counts),
            Subject::Path(path) => self.paths.get(*path),
        };
        // Looked up once: a mesh may have a thousand nodes.
        let told = |witness: &Witness<'_>| Told { started: witness.started, steps: self.told.get(witness.id) };
        let told: Vec<Told<'_>> = witnesses.iter().map(told).collect();
        let end = to / STEP + 1;
        let begin = end.saturating_sub(points * steps);
        let mut chart = Chart { from: (begin.saturating_sub(1)) * STEP, to: (end - 1) * STEP, ..Chart::default() };
        for (number, first) in (begin..end).step_by(usize::try_from(steps).unwrap_or(1)).enumerate() {
            let point = Series::point(counts, &told, first..(first + steps).min(end));
            chart.calls.push(point.rate(point.sum.calls));
            chart.errors.push(point.rate(point.sum.errors));
            let latencies = Latencies::of_buckets(point.sum.latencies.iter().copied());
            let percentile = |share| latencies.percentile(share).map(|time| round(time.as_secs_f64() * 1000.0));
            chart.p50.push(percentile(0.5));
            chart.p95.push(percentile(0.95));
            chart.p99.push(percentile(0.99));
            if point.is_partial && point.known > 0 {
                chart.partial.push(number);
            }
        }
        chart
    }

    fn point(counts: Option<&Counts>, witnesses: &[Told<'_>], steps: std::ops::Range<u64>) -> Point {
        let mut point = Point::default();
        for step in steps {
            let count = counts.and_then(|counts| counts.get(&step));
            let mut is_told = count.is_some();
            for witness in witnesses {
                let has_told = witness.steps.is_some_and(|steps| steps.contains(&step));
                is_told |= has_told;
                // One that began within the step, or had not joined yet, has told nothing of it.
                point.is_partial |= !has_told && witness.started + 2 * STEP <= step * STEP;
            }
            if !is_told {
                continue;
            }
            point.known += 1;
            if let Some(count) = count {
                point.sum.add(count.calls, count.errors, &count.latencies);
            }
        }
        point
    }

    /// Returns calls and errors a second, and the 95th percentile in ms, of the last `steps` up to `to`; `None` where it is not
    /// known.
    pub(super) fn recent(
        &self,
        of: &Subject<'_>,
        witnesses: &[Witness<'_>],
        to: u64,
        steps: u64,
    ) -> Option<(f64, f64, Option<f64>)> {
        let chart = self.chart(of, witnesses, to, 1, steps);
        Some((chart.calls[0]?, chart.errors[0]?, chart.p95[0]))
    }

    /// Returns who called what within the last `steps` up to `to`, the busiest first.
    pub(super) fn edges(&self, to: u64, steps: u64) -> Vec<Edge<'_>> {
        let end = to / STEP + 1;
        let range = end.saturating_sub(steps)..end;
        // What nobody has told of counts for no time.
        let known = self.steps.range(range.clone()).count().max(1);
        #[allow(clippy::cast_precision_loss)] // of what a person reads
        let rate = |count: u64| round(count as f64 / (known as u64 * STEP) as f64 * 1000.0);
        let mut edges: Vec<Edge<'_>> = self
            .edges
            .iter()
            .filter_map(|((caller, path), counts)| {
                let sum = |(calls, errors): (u64, u64), (more, failed): &(u64, u64)| (calls + more, errors + failed);
                let (calls, errors) = counts.range(range.clone()).map(|(_, count)| count).fold((0, 0), sum);
                (calls > 0).then(|| Edge { caller, path, calls: rate(calls), errors: rate(errors) })
            })
            .collect();
        edges.sort_by(|a, b| b.calls.total_cmp(&a.calls).then_with(|| (a.caller, a.path).cmp(&(b.caller, b.path))));
        edges
    }
}

/// Of which steps a node has told.
struct Told<'a> {
    started: u64,
    steps: Option<&'a BTreeSet<u64>>,
}

#[derive(Default)]
struct Point {
    sum: Count,
    /// Of how many steps something is known.
    known: u64,
    is_partial: bool,
}

impl Point {
    #[allow(clippy::cast_precision_loss)]
    fn rate(&self, count: u64) -> Option<f64> {
        (self.known > 0).then(|| round(count as f64 / (self.known * STEP) as f64 * 1000.0))
    }
}

/// To three digits behind the point: more is of no use, and has to be sent.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A sample of so many calls of `todos`, each of 10 ms.
    fn sample(step: u64, calls: u64) -> NodeSample {
        let latencies = Latencies::of_buckets([(60, calls)]);
        let mut sample = NodeSample::default();
        sample.at = step * STEP;
        sample.took = Duration::from_millis(STEP);
        if calls > 0 {
            let mut served = rachis_mesh::ServedCalls::default();
            served.path = "todos".into();
            served.errors = 1;
            served.latencies = latencies;
            sample.served.push(served);
            let mut made = rachis_mesh::MadeCalls::default();
            made.path = "users".into();
            made.calls = calls;
            sample.made.push(made);
        }
        sample
    }

    fn witness(id: &str) -> Witness<'_> {
        Witness { id, started: 0 }
    }

    #[test]
    fn what_nobody_told_is_a_gap_and_what_a_node_told_of_nothing_is_zero() {
        let mut series = Series::default();
        for step in [100, 101, 104] {
            series.add("a", "k/shop", &sample(step, 20));
        }
        series.add("a", "k/shop", &sample(105, 0));
        let chart = series.chart(&Subject::Path("todos"), &[witness("a")], 105 * STEP, 6, 1);
        assert_eq!(chart.calls, [Some(2.0), Some(2.0), None, None, Some(2.0), Some(0.0)]);
        assert_eq!(chart.p95[3], None);
        assert!(chart.p95[0].is_some() && chart.partial.is_empty());
        assert_eq!((chart.from, chart.to), (99 * STEP, 105 * STEP));
    }

    #[test]
    fn several_nodes_are_added_up_and_one_that_is_silent_is_told() {
        let mut series = Series::default();
        series.add("a", "k/shop", &sample(100, 20));
        series.add("b", "k/shop", &sample(100, 40));
        series.add("a", "k/shop", &sample(101, 20));
        let both = [witness("a"), witness("b")];
        let chart = series.chart(&Subject::Path("todos"), &both, 101 * STEP, 2, 1);
        assert_eq!(chart.calls, [Some(6.0), Some(2.0)]);
        assert_eq!(chart.partial, [1]);
        let chart = series.chart(&Subject::Node("b"), &[witness("b")], 101 * STEP, 2, 1);
        assert_eq!(chart.calls, [Some(4.0), None]);
    }

    #[test]
    fn a_node_that_had_not_started_is_not_missed() {
        let mut series = Series::default();
        series.add("a", "k/shop", &sample(100, 20));
        let late = Witness { id: "b", started: 100 * STEP };
        let chart = series.chart(&Subject::Mesh, &[witness("a"), late], 100 * STEP, 1, 1);
        assert!(chart.partial.is_empty());

        // What it tells counts from its first sample on.
        series.add("b", "k/shop", &sample(101, 0));
        let late = Witness { id: "b", started: 100 * STEP };
        let chart = series.chart(&Subject::Node("b"), &[late], 101 * STEP, 2, 2);
        assert_eq!((chart.calls, chart.partial), (vec![None, Some(0.0)], Vec::new()));
    }

    #[test]
    fn a_point_of_several_steps_counts_those_that_are_known() {
        let mut series = Series::default();
        series.add("a", "k/shop", &sample(100, 20));
        series.add("a", "k/shop", &sample(101, 40));
        let chart = series.chart(&Subject::Mesh, &[witness("a")], 102 * STEP, 2, 3);
        assert_eq!(chart.calls, [None, Some(3.0)]);
        assert_eq!(chart.partial, [1]);
    }

    #[test]
    fn a_sample_counts_once_and_an_hour_later_no_more() {
        let mut series = Series::default();
        series.add("a", "k/shop", &sample(100, 20));
        series.add("a", "k/shop", &sample(100, 20));
        let edges = series.edges(100 * STEP, 1);
        assert_eq!(edges, [Edge { caller: "k/shop", path: "users", calls: 2.0, errors: 0.0 }]);
        series.prune(100 * STEP + HOUR + STEP);
        assert!(series.edges(100 * STEP, 1).is_empty() && series.nodes.is_empty() && series.paths.is_empty());
    }

    #[test]
    fn more_services_and_edges_than_there_is_room_for_are_in_the_sum_and_said() {
        let mut series = Series::default();
        let mut sample = sample(100, 10);
        let one = sample.served[0].clone();
        for number in 0..PATHS {
            sample.served.push(rachis_mesh::ServedCalls::clone(&one));
            sample.served[number + 1].path = format!("s{number}");
        }
        series.add("a", "k/shop", &sample);
        assert!(series.is_full && series.paths.len() == PATHS);
        let chart = series.chart(&Subject::Mesh, &[witness("a")], 100 * STEP, 1, 1);
        assert_eq!(chart.calls, [Some((PATHS as f64 + 1.0) * 10.0 / 10.0)]);
    }
}
