//! Scrapes: what was counted, together with what is measured only for a scrape.

use super::queues::Queues;
use crate::node::{
    client::waiting::Waiting,
    discovery::view::View,
    server::partitions::Partitions,
    shared::{
        context::NodeContext,
        life::{Life, Readiness},
        metrics::AppLabels,
    },
};
use futures_util::future::join_all;
use prometheus_client::{
    encoding::text,
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

/// The `Content-Type` of what a scrape returns.
pub const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long Redis may take to tell of the queues. A scraper waits 10 s by default, and shall get the rest in any case.
const PATIENCE: Duration = Duration::from_secs(2);
/// Apps whose queues are told of.
const APPS: usize = 100;

type Level = Gauge<i64, AtomicI64>;
type Seconds = Gauge<f64, AtomicU64>;

/// Tells what a node counts.
pub(crate) struct Scraper {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) life: Arc<Life>,
    pub(crate) view: Arc<View>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) queues: Arc<Queues>,
}

impl Scraper {
    /// Returns everything that the node counts, with what `more` registers.
    pub(crate) async fn scrape(&self, more: impl FnOnce(&mut Registry)) -> String {
        let mut now = Registry::with_prefix("rachis");
        more(&mut now);
        self.levels(&mut now);
        self.tell_queues(&mut now).await;
        let mut out = String::new();
        let written = text::encode_registry(&mut out, &self.context.metrics.registry)
            .and_then(|()| text::encode_registry(&mut out, &now))
            .and_then(|()| text::encode_eof(&mut out));
        // Writing to a string never fails.
        debug_assert!(written.is_ok());
        out
    }

    fn levels(&self, now: &mut Registry) {
        let info = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("app", self.context.identity.app.clone())];
        now.register("node", "This node", Info::new(info.to_vec()));
        let ready = i64::from(self.life.readiness() == Readiness::Ready);
        level(now, "ready", "Whether this node is part of the mesh and hears Redis", ready);
        level(now, "nodes", "Nodes that this node believes to be alive", count(self.view.nodes().len()));
        level(now, "in_flight", "Requests of other nodes that run here", count(self.partitions.in_flight()));
        level(now, "pending_calls", "Calls that wait for a reply of another node", count(self.waiting.len()));
    }

    async fn tell_queues(&self, now: &mut Registry) {
        let apps = self.queues.apps();
        let asked = join_all(apps.into_iter().take(APPS).map(async |app| {
            let queue = self.queues.depth(&app).await;
            (AppLabels { app }, queue)
        }));
        let told = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_default();
        let up = !told.is_empty() && told.iter().all(|(_, queue)| queue.is_ok());
        level(now, "redis_up", "Whether Redis told of the queues", i64::from(up));
        let depth = Family::<AppLabels, Level>::default();
        let age = Family::<AppLabels, Seconds>::default();
        let dead = Family::<AppLabels, Level>::default();
        let clock = self.context.clock.now();
        for (app, queue) in told {
            let Ok(queue) = queue else { continue };
            let oldest = queue.oldest.map_or(0, |oldest| clock.saturating_sub(oldest));
            depth.get_or_create(&app).set(i64::try_from(queue.length).unwrap_or(i64::MAX));
            age.get_or_create(&app).set(Duration::from_millis(oldest).as_secs_f64());
            dead.get_or_create(&app).set(i64::try_from(queue.dead_letters).unwrap_or(i64::MAX));
        }
        now.register("queue_depth", "Requests of an app that wait or are being worked on", depth);
        now.register_with_unit("queue_age", "How long the oldest request of an app is there", Unit::Seconds, age);
        now.register("dead_letters_kept", "Dead letters of an app that were neither replayed nor dropped", dead);
    }
}

fn level(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Level::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
