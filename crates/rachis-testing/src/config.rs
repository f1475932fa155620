//! Configurations for tests: short heartbeats, and a namespace for each mesh.

use crate::redis;
use rachis_config::{Config, Linger, RedisUrl};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

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
