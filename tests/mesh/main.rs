//! The mesh, asked as its strictest user would: many nodes over a real `redis-server`, which fails now and then.

// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod addresses;
mod calls;
mod catching_up;
#[cfg(feature = "cli")]
mod commands;
mod databases;
mod discovery;
mod doors;
mod events;
mod figures;
mod filters;
mod fired;
mod garbage;
mod idempotency;
mod idle;
mod linger;
mod listening;
mod lost;
mod outage;
mod own_redis;
mod partitions;
mod paused;
mod process;
mod proxy;
mod publishing;
mod redis_faults;
mod reload;
mod remote_hooks;
#[cfg(feature = "cli")]
mod resilience;
mod rest;
mod resumption;
mod rolling;
#[cfg(feature = "schema")]
mod schemas;
mod scripted;
mod sealed;
mod services;
mod settled;
mod shutdown;
mod sizes;
mod takeover;
mod unbegun;
mod wire;

use rachis::{App, Config, Error, Node};
use rachis_testing as testing;
use serde_json::Value;
use std::time::Duration;

/// The same mesh, another app.
pub(crate) fn named(config: &Config, app: &str) -> Config {
    Config { app: app.into(), ..config.clone() }
}

/// Starts a node of `app` on the mesh of `config`.
pub(crate) async fn start(config: &Config, app: &str, services: App) -> Node {
    testing::start(named(config, app), services).await
}

/// Waits until `node` can call `path`.
pub(crate) async fn knows(node: &Node, path: &str) {
    testing::eventually("a path is known", async || node.resolve(path).is_some()).await;
}

/// Waits until `node` can no longer call `path`.
pub(crate) async fn forgets(node: &Node, path: &str) {
    testing::eventually("a path is gone", async || node.resolve(path).is_none()).await;
}

/// Waits until `node` sees exactly this many replicas behind `path`.
pub(crate) async fn sees_replicas(node: &Node, path: &str, count: usize) {
    testing::eventually("the replicas are known", async || replicas(node, path) == Some(count)).await;
}

pub(crate) fn replicas(node: &Node, path: &str) -> Option<usize> {
    node.services().iter().find(|service| service.path == path).map(|service| service.replicas.len())
}

/// What `error.data.outcome` says.
#[track_caller]
pub(crate) fn outcome(error: &Error) -> &str {
    error.outcome().map_or("not said", rachis::Outcome::name)
}

/// A connection of the test's own.
pub(crate) async fn redis_of(config: &Config) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(config.redis.url.expose()).unwrap();
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(10)))
        .set_response_timeout(Some(Duration::from_secs(10)));
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

/// Runs one command, written as in `redis-cli`.
pub(crate) async fn command(config: &Config, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let mut words = words.iter();
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(*word);
    });
    command.query_async(&mut redis_of(config).await).await
}

/// The request stream of an app.
pub(crate) fn calls_of(config: &Config, app: &str) -> String {
    format!("{}:{{app:{}/{app}}}:calls", config.namespace, config.key)
}

/// The dead letters of an app.
pub(crate) fn dead_of(config: &Config, app: &str) -> String {
    format!("{}:{{app:{}/{app}}}:dead", config.namespace, config.key)
}

/// How many requests stand in the stream of an app.
pub(crate) async fn queued(config: &Config, app: &str) -> u64 {
    redis::cmd("XLEN").arg(calls_of(config, app)).query_async(&mut redis_of(config).await).await.unwrap()
}

/// The reasons and frames of an app's dead letters, oldest first.
pub(crate) async fn dead_letters(config: &Config, app: &str) -> Vec<(String, Vec<u8>)> {
    type Entries = Vec<(String, std::collections::HashMap<String, Vec<u8>>)>;
    let mut range = redis::cmd("XRANGE");
    let entries: Entries =
        range.arg(dead_of(config, app)).arg("-").arg("+").query_async(&mut redis_of(config).await).await.unwrap();
    let letter = |mut fields: std::collections::HashMap<String, Vec<u8>>| {
        (String::from_utf8(fields.remove("reason").unwrap()).unwrap(), fields.remove("m").unwrap())
    };
    entries.into_iter().map(|(_, fields)| letter(fields)).collect()
}

/// The time in the id of an entry.
pub(crate) fn entry_ms(id: &str) -> u64 {
    id.split_once('-').unwrap().0.parse().unwrap()
}

/// The part of `value` that `key` names, as text.
pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
