//! The nodes of the mesh as records.

use super::{
    cache::Cached,
    collector::{Collected, Collector, Gone, STEPS},
    listing::{Listing, fields},
    series::Subject,
};
use rachis_core::{Error, Id, Method, Params, Result, Service};
use rachis_mesh::{MethodStats, Node, NodeInfo};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Points of the small charts in lists, and samples in each.
const SPARKS: u64 = 40;
/// Samples that figures of now are made of.
pub(super) const NOW: u64 = 6;
/// How long a node may take to say what it counts.
const PATIENCE: Duration = Duration::from_secs(3);

/// `find` lists nodes, `get` tells what one of them counts.
pub(super) struct Nodes {
    pub(super) collector: Arc<Collector>,
    pub(super) beats: Cached<BTreeMap<String, Duration>>,
}

impl Service for Nodes {
    const METHODS: &'static [Method] = &[Method::Find, Method::Get];

    async fn find(&self, params: Params) -> Result<Value> {
        let listing = Listing::of(&params)?;
        let node = self.collector.node()?;
        let beats = self.beats(&node).await;
        let collected = self.collector.look();
        let now = node.redis_now();
        let end = collected.end(now);
        let known = collected.nodes().values();
        let mut records: Vec<Map<String, Value>> = known
            .filter(|info| listing.finds(texts(info)))
            .map(|info| record(info, &collected, beats.as_ref(), &node, end))
            .collect();
        records.extend(collected.gone().filter(|gone| listing.finds(texts(&gone.info))).map(gone_record));
        let mut page = listing.page(records, |record| {
            let id = record["id"].as_str().unwrap_or_default().to_owned();
            let witnesses = collected.witnesses([&id]);
            let chart = collected.series().chart(&Subject::Node(&id), &witnesses, end, SPARKS, STEPS / SPARKS);
            record.insert("rates".into(), json!(chart.calls));
        });
        page["redis"] = beats.is_some().into();
        Ok(page)
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        let id = id.to_string();
        let node = self.collector.node()?;
        let beats = self.beats(&node).await;
        let found = {
            let collected = self.collector.look();
            let end = collected.end(node.redis_now());
            match collected.nodes().get(&id) {
                Some(info) => {
                    let mut record = record(info, &collected, beats.as_ref(), &node, end);
                    let witnesses = collected.witnesses([&id]);
                    let chart = collected.series().chart(&Subject::Node(&id), &witnesses, end, 120, STEPS / 120);
                    record.insert("chart".into(), json!(chart));
                    Some(record)
                }
                None => {
                    let gone = collected.gone().find(|gone| gone.info.id == id).map(gone_record);
                    return gone.map(Value::Object).ok_or_else(|| {
                        Error::not_found(format!("The mesh has no node '{id}': it may have left by now"))
                    });
                }
            }
        };
        let mut record = found.unwrap_or_default();
        let said = tokio::time::timeout(PATIENCE, node.peer(&id).stats()).await;
        match said.unwrap_or_else(|_| Err(Error::timeout("It said nothing within 3s"))) {
            Ok(stats) => {
                let counted = json!({
                    "in_flight": stats.in_flight,
                    "max_in_flight": stats.max_in_flight,
                    "pending": stats.pending,
                    "events_out": stats.events_out,
                    "events_in": stats.events_in,
                    "redeliveries": stats.redeliveries,
                    "dead_letters": stats.dead_letters,
                    "readiness": stats.readiness,
                    "calls": methods(&stats.calls),
                    "requests": methods(&stats.requests),
                });
                record.extend(fields(counted));
            }
            Err(error) => drop(record.insert("failure".into(), error.message().into())),
        }
        Ok(record.into())
    }
}

impl Nodes {
    /// When nodes were last heard; `None` while Redis does not answer.
    async fn beats(&self, node: &Node) -> Option<Arc<BTreeMap<String, Duration>>> {
        self.beats.get(|| node.beats()).await.ok()
    }
}

/// What is searched.
fn texts(info: &NodeInfo) -> [&str; 5] {
    [&info.id, &info.app, &info.host, &info.version, &info.key]
}

fn record(
    info: &NodeInfo,
    collected: &Collected<'_>,
    beats: Option<&Arc<BTreeMap<String, Duration>>>,
    node: &Node,
    end: u64,
) -> Map<String, Value> {
    let beat =
        beats.and_then(|beats| beats.get(&info.id)).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let late = u64::try_from(node.config().ttl().as_millis()).unwrap_or(u64::MAX) * 2 / 3;
    let asked = collected.asked(&info.id);
    let readiness = asked.map(|asked| asked.readiness.as_str()).filter(|told| !told.is_empty());
    let state = match readiness {
        _ if !info.up => "draining",
        _ if beat.is_some_and(|age| age > late) => "late",
        Some("degraded") => "degraded",
        _ => "up",
    };
    let level = collected.series().level(&info.id).cloned();
    let witnesses = collected.witnesses([&info.id]);
    let now = collected.series().recent(&Subject::Node(&info.id), &witnesses, end, NOW);
    fields(json!({
        "id": info.id,
        "key": info.key,
        "app": info.app,
        "version": info.version,
        "host": info.host,
        "pid": info.pid,
        "started": info.started,
        "state": state,
        "beat": beat,
        "is_self": info.id == node.id(),
        "services": info.services,
        "partitions": info.partitions,
        "in_flight": level.as_ref().map(|level| level.in_flight),
        "pending": level.as_ref().map(|level| level.pending),
        "max_in_flight": asked.map(|asked| asked.max_in_flight).filter(|most| *most > 0),
        "failure": asked.and_then(|asked| asked.failure.clone()),
        "rate": now.map(|(calls, ..)| calls),
        "errors": now.map(|(_, errors, _)| errors),
        "p95": now.and_then(|(.., p95)| p95),
    }))
}

fn gone_record(gone: &Gone) -> Map<String, Value> {
    let Gone { info, at } = gone;
    fields(json!({
        "id": info.id,
        "key": info.key,
        "app": info.app,
        "version": info.version,
        "host": info.host,
        "pid": info.pid,
        "started": info.started,
        "state": "gone",
        "gone": at.elapsed().as_secs(),
        "services": info.services,
    }))
}

/// What a node counted of each method, the busiest first.
pub(super) fn methods(counted: &[MethodStats]) -> Vec<Value> {
    let mut counted: Vec<&MethodStats> = counted.iter().collect();
    counted.sort_by_key(|method| std::cmp::Reverse(method.latencies.count()));
    let told = counted.into_iter().take(100).map(|method| {
        let percentile = |share| method.latencies.percentile(share).map(|time| time.as_secs_f64() * 1000.0);
        json!({
            "path": method.path,
            "method": method.method,
            "calls": method.latencies.count(),
            "errors": method.errors,
            "p50": percentile(0.5),
            "p95": percentile(0.95),
            "p99": percentile(0.99),
        })
    });
    told.collect()
}
