//! For tests of applications: a whole mesh in one process, over a real `redis-server` (which must be on the path).
//!
//! ```no_run
//! use rachis::{App, MemoryService, testing};
//! use serde_json::json;
//!
//! #[tokio::test]
//! async fn calls_cross_nodes() {
//!     let [_todos, other] = testing::cluster([App::new().register("todos", MemoryService::new()), App::new()]).await;
//!     let todo = other.service("todos").create(json!({ "text": "write" })).await.unwrap();
//!     assert_eq!(todo["text"], "write");
//! }
//! ```

pub use crate::redis::ThrowawayRedis;

use crate::{
    App, Config, Node, Result,
    config::{Linger, RedisUrl},
};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// The Redis that all meshes of this process share; it ends with the process.
///
/// # Panics
/// When `redis-server` can not be started.
pub fn redis() -> &'static ThrowawayRedis {
    static REDIS: OnceLock<ThrowawayRedis> = OnceLock::new();
    REDIS.get_or_init(|| match ThrowawayRedis::start() {
        Ok(redis) => redis,
        Err(error) => panic!("tests need redis-server: {error}"),
    })
}

/// A configuration for one mesh of its own on [`redis()`], with a heartbeat of 200 ms, a TTL of 1.5 s and a linger of
/// 2 s.
pub fn config() -> Config {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Config { namespace: format!("test-{}-{number}", std::process::id()), ..config_for(&redis().url()) }
}

/// The same on another Redis.
pub fn config_for(url: &str) -> Config {
    let mut config = Config {
        app: "test".to_owned(),
        heartbeat_interval: Duration::from_millis(200),
        ttl: Some(Duration::from_millis(1500)),
        linger: Linger::For(Duration::from_secs(2)),
        timeout: Duration::from_secs(5),
        ..Config::default()
    };
    config.redis.url = RedisUrl::from(url);
    config.redis.block = Duration::from_secs(1);
    config
}

/// Lets the nodes that this process starts from now on beat on the runtime that starts them, instead of on a thread of
/// their own, so that whoever pauses tokio's clock rules over heartbeats as well.
pub fn beat_with_the_rest() {
    crate::node::beat_with_the_rest();
}

/// Starts a node per app, each an app of its own by name (`app-0`, `app-1`, …), and waits until all know each other.
///
/// # Panics
/// When a node does not start.
pub async fn cluster<const N: usize>(apps: [App; N]) -> [Node; N] {
    let config = config();
    let mut nodes = Vec::with_capacity(N);
    for (number, app) in apps.into_iter().enumerate() {
        let config = Config { app: format!("app-{number}"), ..config.clone() };
        nodes.push(start(config, app).await);
    }
    let nodes: [Node; N] = match nodes.try_into() {
        Ok(nodes) => nodes,
        Err(_) => unreachable!("one node was started per app"),
    };
    eventually("all nodes know each other", async || nodes.iter().all(|node| node.nodes().len() == N)).await;
    nodes
}

/// Starts one node.
///
/// # Panics
/// When it does not start.
pub async fn start(config: Config, app: App) -> Node {
    let started: Result<Node> = Node::builder(config).app(app).connect_within(Duration::from_secs(10)).start().await;
    match started {
        Ok(node) => node,
        Err(error) => panic!("the node did not start: {error}"),
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within ten seconds; the message says `what` was waited for.
#[track_caller]
pub fn eventually<F, Fut>(what: &str, condition: F) -> impl Future<Output = ()>
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition().await {
            assert!(Instant::now() < deadline, "{caller}: still waiting until {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
