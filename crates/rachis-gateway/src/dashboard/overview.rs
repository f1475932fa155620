//! The mesh as a whole: its figures of now, its last hour, and who calls whom.

use super::{
    collector::{Collector, STEPS},
    nodes::NOW,
    series::{STEP, Subject},
};
use rachis_core::{Error, Method, Params, Result, Service};
use rachis_mesh::Readiness;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Edges in one answer, the busiest first.
const EDGES: usize = 200;

/// `find` tells of the mesh as a whole.
pub(super) struct Overview {
    pub(super) collector: Arc<Collector>,
    pub(super) dashboard: String,
    pub(super) writable: bool,
}

impl Service for Overview {
    const METHODS: &'static [Method] = &[Method::Find];

    async fn find(&self, _: Params) -> Result<Value> {
        let node = self.collector.node()?;
        let services = node.services();
        let services = services.iter().filter(|info| info.remote || !super::is_below(&self.dashboard, &info.path));
        let (healthy, away): (Vec<_>, Vec<_>) = services.partition(|info| info.healthy);
        let collected = self.collector.look();
        let end = collected.end(node.redis_now());
        let witnesses = collected.witnesses(collected.nodes().keys());
        let chart = collected.series().chart(&Subject::Mesh, &witnesses, end, 120, STEPS / 120);
        let now = collected.series().recent(&Subject::Mesh, &witnesses, end, NOW);
        let apps: BTreeSet<(&str, &str)> =
            collected.nodes().values().map(|info| (info.key.as_str(), info.app.as_str())).collect();
        let config = node.config();
        Ok(json!({
            "namespace": config.namespace,
            "version": env!("CARGO_PKG_VERSION"),
            "gateway": node.id(),
            "readiness": node.readiness().as_str(),
            "redis": node.readiness() != Readiness::Degraded,
            "ttl": u64::try_from(config.ttl().as_millis()).unwrap_or(u64::MAX),
            "writable": self.writable,
            "now": node.redis_now(),
            "nodes": collected.nodes().len(),
            "answered": collected.answered(),
            "draining": collected.nodes().values().filter(|info| !info.up).count(),
            "gone": collected.gone().count(),
            "apps": apps.len(),
            "services": healthy.len() + away.len(),
            "away": away.iter().take(20).map(|info| info.path.as_str()).collect::<Vec<_>>(),
            "is_full": collected.series().is_full,
            "rate": now.map(|(calls, ..)| calls),
            "errors": now.map(|(_, errors, _)| errors),
            "p95": now.and_then(|(.., p95)| p95),
            "chart": chart,
        }))
    }
}

/// `find` tells which apps call which services: with `minutes` in the query, of so many.
pub(super) struct Traffic {
    pub(super) collector: Arc<Collector>,
}

impl Service for Traffic {
    const METHODS: &'static [Method] = &[Method::Find];

    async fn find(&self, params: Params) -> Result<Value> {
        let minutes = match params.query.get("minutes") {
            None => 5,
            // A query string has texts.
            Some(asked) => asked
                .as_u64()
                .or_else(|| asked.as_str()?.parse().ok())
                .filter(|minutes| (1..=60).contains(minutes))
                .ok_or_else(|| Error::bad_request("`minutes` must be a number from 1 to 60"))?,
        };
        let node = self.collector.node()?;
        let serving: BTreeMap<String, String> =
            node.services().into_iter().map(|info| (info.path, format!("{}/{}", info.key, info.app))).collect();
        let collected = self.collector.look();
        let end = collected.end(node.redis_now());
        let edges = collected.series().edges(end, minutes * 60_000 / STEP);
        let total = edges.len();
        let told = edges.into_iter().take(EDGES).map(|edge| {
            json!({
                "from": edge.caller, "path": edge.path, "to": serving.get(edge.path), "calls": edge.calls, "errors": edge.errors,
            })
        });
        Ok(json!({ "minutes": minutes, "total": total, "edges": told.collect::<Vec<_>>() }))
    }
}
