//! A node that sees the mesh without being part of it: an observer is never in the registry, so others do not know it.

use super::{lifecycle::Lifecycle, sync::CatalogSync};
use crate::redis::{
    connection::{Connector, is_fatal},
    registry::Beat,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The task of an observer in place of a heartbeat: asks, once per `heartbeat_interval`, what was missed.
pub(crate) struct Observer {
    pub(crate) sync: Arc<CatalogSync>,
    pub(crate) connector: Connector,
    pub(crate) interval: Duration,
    pub(crate) stop: CancellationToken,
    pub(crate) lifecycle: mpsc::Sender<Lifecycle>,
    pub(crate) beats: mpsc::UnboundedSender<Beat>,
}

impl Observer {
    /// `silent` is what the first look brought.
    pub(crate) async fn run(self, mut silent: BTreeSet<String>) {
        let interval = self.interval;
        let mut ticks = tokio::time::interval_at((Instant::now() + interval).into(), interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.stop.cancelled() => return,
            }
            match self.sync.look().await {
                Ok(look) => {
                    // Where no node is left to sweep, no message tells of the dead.
                    if look.silent != silent && self.lifecycle.send(Lifecycle::Stale).await.is_err() {
                        return;
                    }
                    silent = look.silent;
                    if self.beats.send(look.beat).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the registry could not be looked at");
                    if is_fatal(&error) {
                        // Nothing else wakes a connection that waits on a server gone silent.
                        self.connector.suspect(&self.sync.keys.registry());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing;
    use crate::testing::eventually;
    use crate::{Change, Node, Readiness};
    use futures_util::StreamExt;
    use rachis_config::StartDelay;
    use rachis_core::{App, ErrorKind, MemoryService};
    use serde_json::json;
    use std::time::Duration;

    async fn observer(config: rachis_config::Config) -> Node {
        Node::builder(config).observer().connect_within(Duration::from_secs(10)).start().await.unwrap()
    }

    #[tokio::test]
    async fn an_observer_sees_calls_and_hears_but_is_not_seen() {
        let config = testing::config();
        let served = App::new().register("todos", MemoryService::new());
        let todos = testing::start(rachis_config::Config { app: "todos".into(), ..config.clone() }, served).await;
        let mut heard = todos.changes();
        let observer = observer(config.clone()).await;
        assert_eq!(observer.readiness(), Readiness::Ready);
        let ids: Vec<String> = observer.nodes().into_iter().map(|node| node.id).collect();
        assert_eq!(ids, [todos.id()]);

        let mut events = observer.service("todos").on("*").await.unwrap();
        let created = observer.service("todos").create(json!({ "text": "a" })).await.unwrap();
        assert_eq!((created["text"].as_str(), events.next().await.unwrap().name.as_str()), (Some("a"), "created"));

        // Its going is as quiet as its coming: the first thing heard is the node that comes after it.
        observer.shutdown().await.unwrap();
        let late = testing::start(config, App::new()).await;
        match heard.next().await {
            Some(Change::NodeUp(node)) => assert_eq!(node.id, late.id()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn services_of_an_observer_stay_its_own() {
        let config = testing::config();
        let node = testing::start(config.clone(), App::new()).await;
        let app = App::new().register("own", MemoryService::new());
        let observer = Node::builder(config.clone()).app(app).observer().start().await.unwrap();
        assert_eq!(observer.service("own").find().await.unwrap(), json!([]));
        observer.register("later", MemoryService::new()).await.unwrap();
        // A change that is announced after it would have been.
        let other = testing::start(config, App::new().register("todos", MemoryService::new())).await;
        observer.wait_for("todos").await.unwrap();
        node.wait_for("todos").await.unwrap();
        assert_eq!(node.nodes().iter().filter(|seen| seen.id != other.id() && seen.id != node.id()).count(), 0);
        assert_eq!(node.service("own").find().await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(node.service("later").find().await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_observer_alone_notices_that_the_last_node_died() {
        let config = testing::config();
        let node = testing::start(config.clone(), App::new().register("todos", MemoryService::new())).await;
        let watching = observer(config.clone()).await;
        assert_eq!(watching.nodes().len(), 1);
        // Without a shutdown: as if it was killed.
        drop(node);
        eventually("the node is taken for dead", async || watching.nodes().is_empty()).await;
        assert_eq!(observer(config).await.nodes(), []);
    }

    #[tokio::test]
    async fn an_observer_that_lost_redis_says_so_and_comes_back() {
        let redis = testing::ThrowawayRedis::start().unwrap();
        let config = testing::config_for(&redis.url());
        let observer = observer(config.clone()).await;
        redis.freeze().unwrap();
        eventually("Redis is missed", async || observer.readiness() == Readiness::Degraded).await;
        redis.thaw().unwrap();
        eventually("Redis is back", async || observer.readiness() == Readiness::Ready).await;
        let _node = testing::start(config, App::new().register("todos", MemoryService::new())).await;
        observer.wait_for("todos").await.unwrap();
    }

    #[tokio::test]
    async fn an_observer_told_to_wait_joins_when_asked() {
        let config = rachis_config::Config { start_delay: StartDelay::Manual, ..testing::config() };
        let observer = Node::builder(config).observer().start().await.unwrap();
        assert_eq!(observer.readiness(), Readiness::Starting);
        observer.join().await.unwrap();
        assert_eq!(observer.readiness(), Readiness::Ready);
    }
}
