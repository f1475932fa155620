//! The nodes, and what waits for them.

use super::finding::Findings;
use crate::cli::out::span;
use futures_util::future::join_all;
use rachis::{Node, NodeInfo, NodeStats, QueueInfo};
use std::{collections::BTreeSet, time::Duration};

pub(super) async fn examine(node: &Node, findings: &mut Findings) {
    let nodes = node.nodes();
    of_nodes(node, &nodes, findings).await;
    match node.queues().await {
        Ok(queues) => {
            let known: BTreeSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
            let served: BTreeSet<(&str, &str)> =
                nodes.iter().filter(|node| node.up).map(|node| (node.key.as_str(), node.app.as_str())).collect();
            let config = node.config();
            let limits = Limits { max_queue: config.limits.max_queue, timeout: config.timeout };
            of_queues(&queues, &known, &served, &limits, findings);
        }
        Err(error) => findings.bad(
            "queues",
            format!("they could not be read: {}", error.message()),
            "see that the Redis user may read streams: docs/security.md",
        ),
    }
}

async fn of_nodes(node: &Node, nodes: &[NodeInfo], findings: &mut Findings) {
    if nodes.is_empty() {
        let found = format!("there are none in the mesh {:?}", node.config().namespace);
        return findings.warning("nodes", found, "start one, or name its mesh by --namespace");
    }
    let asked = join_all(nodes.iter().map(async |known| node.peer(&known.id).stats().await)).await;
    let mut silent = 0;
    for (known, stats) in nodes.iter().zip(asked) {
        match stats {
            Ok(stats) => of_load(known, &stats, findings),
            Err(error) => {
                silent += 1;
                findings.bad(
                    "nodes",
                    format!("{} of {} on {} does not answer: {}", known.id, known.app, known.host, error.message()),
                    "see whether its process stands still or is of a version without questions",
                );
            }
        }
    }
    if silent == 0 {
        findings.good("nodes", format!("{} of {0} answer", nodes.len()));
    }
}

fn of_load(known: &NodeInfo, stats: &NodeStats, findings: &mut Findings) {
    if stats.readiness != "ready" && stats.readiness != "draining" {
        findings.warning(
            "nodes",
            format!("{} of {} on {} is {}", known.id, known.app, known.host, stats.readiness),
            "see its log: what it can not do is said there",
        );
    }
    if stats.max_in_flight > 0 && stats.in_flight.saturating_mul(5) >= stats.max_in_flight.saturating_mul(4) {
        findings.warning(
            "limits",
            format!(
                "{} of {} runs {} of the {} calls it may",
                known.id, known.app, stats.in_flight, stats.max_in_flight
            ),
            "start another replica, or raise limits.max_in_flight",
        );
    }
}

/// What queues are held against.
struct Limits {
    max_queue: usize,
    timeout: Duration,
}

fn of_queues(
    queues: &[QueueInfo],
    known: &BTreeSet<&str>,
    served: &BTreeSet<(&str, &str)>,
    limits: &Limits,
    findings: &mut Findings,
) {
    let before = findings.all().len();
    for queue in queues {
        let app = format!("{}/{}", queue.key, queue.app);
        if queue.dead_letters > 0 {
            findings.warning(
                "dead letters",
                format!("{app} has {} requests that no replica could finish", queue.dead_letters),
                "read them by `rachis dead list`, then replay or drop them",
            );
        }
        let gone: Vec<&str> =
            queue.pending.iter().filter(|(_, count)| **count > 0).map(|(id, _)| id.as_str()).collect();
        let gone: Vec<&str> = gone.into_iter().filter(|id| !known.contains(id)).collect();
        if !gone.is_empty() {
            findings.warning(
                "leftovers",
                format!("requests of {app} are held by nodes that are gone: {}", gone.join(", ")),
                "another replica of the app takes them over within a TTL: start one if there is none",
            );
        }
        if queue.depth > 0 && !served.contains(&(queue.key.as_str(), queue.app.as_str())) {
            findings.bad(
                "queues",
                format!("{} requests wait for {app}, which has no replica", queue.depth),
                "start a replica; the requests fail when their callers stop waiting",
            );
        }
        if queue.depth.saturating_mul(5) >= (limits.max_queue as u64).saturating_mul(4) {
            findings.bad(
                "limits",
                format!("{} requests wait or run in {app}, of {} (limits.max_queue)", queue.depth, limits.max_queue),
                "start more replicas: what comes beyond it is refused with TooManyRequests (429)",
            );
        }
        let age = Duration::from_millis(queue.age);
        if queue.depth > 0 && age > limits.timeout {
            findings.warning(
                "queues",
                format!("the oldest request of {app} is {} old, longer than callers wait (timeout)", span(age)),
                "see by `rachis queues` which replica has it, and whether that one stands still",
            );
        }
    }
    if findings.all().len() == before {
        findings.good("queues", format!("{} of {0} apps have nothing left over", queues.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Level, *};

    fn found(queue: QueueInfo, known: &[&str]) -> Vec<(Level, &'static str)> {
        let mut findings = Findings::default();
        let served = if known.is_empty() { BTreeSet::new() } else { BTreeSet::from([("default", "todos")]) };
        let limits = Limits { max_queue: 100, timeout: Duration::from_secs(20) };
        of_queues(&[queue], &known.iter().copied().collect(), &served, &limits, &mut findings);
        findings.all().iter().map(|finding| (finding.level, finding.about)).collect()
    }

    fn queue(told: serde_json::Value) -> QueueInfo {
        let mut queue = serde_json::json!({ "key": "default", "app": "todos", "depth": 0, "age": 0, "pending": {}, "dead_letters": 0 });
        queue.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
        serde_json::from_value(queue).unwrap()
    }

    #[test]
    fn what_queues_hold_is_judged() {
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        for (told, known, expected) in [
            (r#"{}"#, &["A"][..], (Level::Good, "queues")),
            (r#"{ "depth": 3, "age": 500, "pending": { "A": 3 } }"#, &["A"], (Level::Good, "queues")),
            (r#"{ "dead_letters": 1 }"#, &["A"], (Level::Warning, "dead letters")),
            (r#"{ "depth": 1, "pending": { "B": 1 } }"#, &["A"], (Level::Warning, "leftovers")),
            (r#"{ "pending": { "B": 0 } }"#, &["A"], (Level::Good, "queues")),
            (r#"{ "depth": 1 }"#, &[], (Level::Bad, "queues")),
            (r#"{ "depth": 80 }"#, &["A"], (Level::Bad, "limits")),
            (r#"{ "depth": 1, "age": 20001 }"#, &["A"], (Level::Warning, "queues")),
        ] {
            assert_eq!(found(queue(json(told)), known), [expected], "{told}");
        }
    }
}
