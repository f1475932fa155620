//! The services of the mesh as records.

use super::{
    collector::{Collector, STEPS},
    listing::{Listing, fields},
    nodes::{NOW, methods},
    series::Subject,
};
use futures_util::future::join_all;
use rachis_core::{Error, Id, Method, Params, Result, Service};
use rachis_mesh::{Latencies, MethodStats, Node, ServiceInfo};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Points of the small charts in lists.
const SPARKS: u64 = 40;
/// Replicas that are asked what they count of each method, when one service is looked at.
const REPLICAS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(3);

/// `find` lists services, `get` tells all of one.
pub(super) struct Services {
    pub(super) collector: Arc<Collector>,
    /// The path of the dashboard, whose own services are left out.
    pub(super) dashboard: String,
}

impl Service for Services {
    const METHODS: &'static [Method] = &[Method::Find, Method::Get];

    async fn find(&self, params: Params) -> Result<Value> {
        let listing = Listing::of(&params)?;
        let node = self.collector.node()?;
        let services = self.all(&node);
        let collected = self.collector.look();
        let end = collected.end(node.redis_now());
        let found = services.values().filter(|info| listing.finds([info.path.as_str(), &info.app, &info.key]));
        let records = found.map(|info| {
            let witnesses = collected.witnesses(&info.replicas);
            let now = collected.series().recent(&Subject::Path(&info.path), &witnesses, end, NOW);
            fields(json!({
                "path": info.path,
                "key": info.key,
                "app": info.app,
                "remote": info.remote,
                "healthy": info.healthy,
                "replicas": info.replicas.len(),
                "methods": info.methods.iter().map(Method::name).collect::<Vec<_>>(),
                "rate": now.map(|(calls, ..)| calls),
                "errors": now.map(|(_, errors, _)| errors),
                "p95": now.and_then(|(.., p95)| p95),
            }))
        });
        Ok(listing.page(records.collect(), |record| {
            let Some(info) = record["path"].as_str().and_then(|path| services.get(path)) else { return };
            let witnesses = collected.witnesses(&info.replicas);
            let subject = Subject::Path(&info.path);
            let chart = collected.series().chart(&subject, &witnesses, end, SPARKS, STEPS / SPARKS);
            record.insert("rates".into(), json!(chart.calls));
            record.insert("latencies".into(), json!(chart.p95));
        }))
    }

    async fn get(&self, path: Id, _: Params) -> Result<Value> {
        let path = path.to_string();
        let node = self.collector.node()?;
        let services = self.all(&node);
        let info = services.get(&path).ok_or_else(|| {
            Error::not_found(format!("No service '{path}' can be called: its last replica may have left"))
        })?;
        let mut record = fields(json!({
            "path": info.path,
            "key": info.key,
            "app": info.app,
            "remote": info.remote,
            "healthy": info.healthy,
            "events": info.events,
            "options": info.options,
            "methods": info.methods.iter().map(Method::name).collect::<Vec<_>>(),
        }));
        {
            let collected = self.collector.look();
            let end = collected.end(node.redis_now());
            let witnesses = collected.witnesses(&info.replicas);
            let chart = collected.series().chart(&Subject::Path(&path), &witnesses, end, 120, STEPS / 120);
            let replicas = info.replicas.iter().take(200).map(|id| match collected.nodes().get(id) {
                Some(known) => json!({
                    "id": id, "host": known.host, "version": known.version, "started": known.started, "up": known.up,
                }),
                None => json!({ "id": id }),
            });
            record.insert("replicas".into(), replicas.collect());
            record.insert("replica_count".into(), info.replicas.len().into());
            record.insert("chart".into(), json!(chart));
            let callers = collected.series().edges(end, STEPS).into_iter().filter(|edge| edge.path == path);
            let callers =
                callers.take(50).map(|edge| json!({ "app": edge.caller, "calls": edge.calls, "errors": edge.errors }));
            record.insert("callers".into(), callers.collect());
        }
        let (counted, silent) = counted(&node, info).await;
        record.insert("counted".into(), methods(&counted).into());
        record.insert("silent".into(), silent.into());
        describe(&node, &path, &mut record).await;
        Ok(record.into())
    }
}

impl Services {
    /// All services but those of the dashboard itself, by path.
    fn all(&self, node: &Node) -> BTreeMap<String, ServiceInfo> {
        let is_own = |info: &ServiceInfo| !info.remote && super::is_below(&self.dashboard, &info.path);
        let all = node.services().into_iter().filter(|info| !is_own(info));
        all.map(|info| (info.path.clone(), info)).collect()
    }
}

/// Adds up what replicas count of each method of a service, and names those that did not answer.
async fn counted(node: &Node, info: &ServiceInfo) -> (Vec<MethodStats>, Vec<String>) {
    let asked = join_all(info.replicas.iter().take(REPLICAS).map(async |id| {
        let said = tokio::time::timeout(PATIENCE, node.peer(id).stats()).await;
        (id, said.ok().and_then(Result::ok))
    }));
    let mut sums: BTreeMap<String, MethodStats> = BTreeMap::new();
    let mut silent = BTreeSet::new();
    for (id, said) in asked.await {
        let Some(stats) = said else {
            silent.insert(id.clone());
            continue;
        };
        // Calls of the own process are no requests, and ran there as well.
        let ran = stats.requests.into_iter().chain(stats.calls);
        for method in ran.filter(|method| method.path == info.path) {
            let sum = sums.entry(method.method.clone()).or_insert_with(|| {
                let mut empty = method.clone();
                (empty.errors, empty.latencies) = (0, Latencies::default());
                empty
            });
            sum.errors += method.errors;
            sum.latencies.add(&method.latencies);
        }
    }
    (sums.into_values().collect(), silent.into_iter().collect())
}

#[cfg(feature = "schema")]
async fn describe(node: &Node, path: &str, record: &mut Map<String, Value>) {
    match node.schemas(path).await {
        Ok(Some(found)) => {
            record.insert("schemas".into(), serde_json::to_value(&*found.schemas).unwrap_or_default());
            record.insert("others".into(), found.others.iter().map(|other| json!(other.version)).collect());
        }
        Ok(None) => {}
        Err(error) => drop(record.insert("unreadable".into(), error.message().into())),
    }
}

#[cfg(not(feature = "schema"))]
async fn describe(_: &Node, _: &str, _: &mut Map<String, Value>) {}
