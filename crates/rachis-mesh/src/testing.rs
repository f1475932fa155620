//! What rachis-testing has for applications, for the tests in here.

pub(crate) use rachis_testing::{ThrowawayRedis, eventually, redis};

use crate::Node;
use rachis_config::{Config, Linger, RedisUrl};
use rachis_core::App;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A configuration for one mesh of its own on [`redis()`], with a heartbeat of 200 ms and a TTL of 1.5 s.
pub(crate) fn config() -> Config {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Config { namespace: format!("unit-{}-{number}", std::process::id()), ..config_for(&redis().url()) }
}

/// The same on another Redis.
pub(crate) fn config_for(url: &str) -> Config {
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

/// Starts one node.
pub(crate) async fn start(config: Config, app: App) -> Node {
    Node::builder(config).app(app).connect_within(Duration::from_secs(10)).start().await.unwrap()
}
