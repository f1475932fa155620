//! What each key costs in Redis.

use crate::{calls_of, command, knows, queued, redis_of, services::Echo, start};
use rachis::{App, Config, Registration, config::Linger};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::time::Duration;

/// A number that INFO tells.
async fn told(config: &Config, section: &str, name: &str) -> u64 {
    let info: String = redis::cmd("INFO").arg(section).query_async(&mut redis_of(config).await).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_idle_node_takes_of_redis_is_known() {
    const NODES: u64 = 50;
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    start(&config, "first", App::new()).await.shutdown().await.unwrap();
    let before = (told(&config, "memory", "used_memory").await, told(&config, "clients", "connected_clients").await);
    let mut nodes = Vec::new();
    for number in 0..NODES {
        nodes.push(start(&config, &format!("app-{}", number / 5), app(5)).await);
    }
    testing::eventually("all know all", async || nodes.iter().all(|node| node.nodes().len() as u64 == NODES)).await;
    let after = (told(&config, "memory", "used_memory").await, told(&config, "clients", "connected_clients").await);
    let bytes = (after.0 - before.0) / NODES;
    let connections = (after.1 - before.1) as f64 / NODES as f64;
    println!(
        "figure: {NODES} nodes of 10 apps, 5 services each: {bytes} B of memory and {connections} connections a node"
    );
    assert!((5.0..=9.0).contains(&connections) && bytes < 400_000, "{connections} {bytes}");
}

/// Bytes of one key, all of it looked at.
async fn bytes(config: &Config, key: &str) -> u64 {
    let key = format!("{}:{key}", config.namespace);
    let mut ask = redis::cmd("MEMORY");
    let size: Option<u64> =
        ask.arg("USAGE").arg(&key).arg("SAMPLES").arg(0).query_async(&mut redis_of(config).await).await.unwrap();
    size.unwrap_or_else(|| panic!("there is no {key}"))
}

fn app(services: usize) -> App {
    (0..services).fold(App::new(), |app, n| app.register(&format!("api/service-{n:03}"), Echo))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_in_redis_is_small_and_known() {
    let redis = ThrowawayRedis::start().unwrap();
    let mut config = testing::config_for(&redis.url());
    config.linger = Linger::Forever;
    let caller = start(&config, "caller", App::new()).await;

    let mut of_node = Vec::new();
    for services in [0usize, 1, 10] {
        let name = format!("with-{services}");
        let node = start(&config, &name, app(services)).await;
        let hash = bytes(&config, &format!("{{mesh}}:node:{}", node.id())).await;
        let of_app = bytes(&config, &format!("{{mesh}}:app:default/{name}")).await;
        println!("figure: a node with {services} services: node hash {hash} B, app hash {of_app} B");
        of_node.push(hash);
        node.shutdown().await.unwrap();
    }
    assert!(of_node[0] < 1000 && of_node[2] < 6000, "{of_node:?}");

    let worker = start(&config, "worker", App::new().register("jobs", Echo)).await;
    knows(&caller, "jobs").await;
    let mut replica = Vec::new();
    for _ in 0..9 {
        replica.push(start(&config, "worker", App::new().register("jobs", Echo)).await);
    }
    println!(
        "figure: the app hash of ten replicas with one service: {} B",
        bytes(&config, "{mesh}:app:default/worker").await
    );
    println!("figure: the index of 14 nodes: {} B", bytes(&config, "{mesh}:nodes").await);
    // One by one, since changes that come together are announced together.
    for _ in 0..100 {
        worker.register("api/more", Echo).await.unwrap();
        knows(&caller, "api/more").await;
        worker.unregister("api/more").await.unwrap();
        crate::forgets(&caller, "api/more").await;
    }
    let length: u64 = redis::cmd("XLEN")
        .arg(format!("{}:{{mesh}}:changes", config.namespace))
        .query_async(&mut redis_of(&config).await)
        .await
        .unwrap();
    println!("figure: {length} changes of the registry: {} B", bytes(&config, "{mesh}:changes").await);

    // Calls are answered, so the inbox has had replies in it.
    for _ in 0..1000 {
        caller.service("jobs").get(1).await.unwrap();
    }
    println!(
        "figure: an inbox after 1000 replies: {} B",
        bytes(&config, &format!("{{node:{}}}:inbox", caller.id())).await
    );
    println!(
        "figure: the request stream of ten replicas with nothing waiting: {} B",
        bytes(&config, "{app:default/worker}:calls").await
    );
    for node in replica {
        node.shutdown().await.unwrap();
    }
    worker.shutdown().await.unwrap();
    testing::eventually("nobody is up", async || !caller.health(None).unwrap()["jobs"]).await;

    let empty = bytes(&config, "{app:default/worker}:calls").await;
    let calls: Vec<_> = (0..2000)
        .map(|n| json!({ "text": format!("{n:080}") }))
        .map(|todo| tokio::spawn(caller.service("jobs").create(todo).timeout(Duration::from_secs(60)).answer()))
        .collect();
    testing::eventually("all wait", async || queued(&config, "worker").await == 2000).await;
    let waiting = bytes(&config, "{app:default/worker}:calls").await;
    let entries = command(&config, &["XRANGE", &calls_of(&config, "worker"), "-", "+", "COUNT", "1"]).await.unwrap();
    let frame = frame_length(&entries);
    let each = (waiting - empty) / 2000;
    println!("figure: a waiting request with a frame of {frame} B: {each} B");
    assert!(each < frame * 2 + 100, "{each}");
    calls.iter().for_each(|call| call.abort());

    let events = Registration::from(Echo).events(["said"]);
    let speaker = start(&config, "speaker", App::new().register("news", events)).await;
    for n in 0..2000 {
        speaker.service("news").emit("said", json!({ "text": format!("{n:080}") })).unwrap();
    }
    let last = format!("{:080}", 1999);
    let newest = async || contains(&last_event(&config).await, last.as_bytes());
    testing::eventually("the last is there", newest).await;
    let log = bytes(&config, "{events:default/news}:log").await;
    let length: u64 = redis::cmd("XLEN")
        .arg(format!("{}:{{events:default/news}}:log", config.namespace))
        .query_async(&mut redis_of(&config).await)
        .await
        .unwrap();
    println!("figure: an event log of {length} events of 80 characters: {log} B, {} B each", log / length);
}

/// The newest event of the log.
async fn last_event(config: &Config) -> redis::Value {
    let key = format!("{}:{{events:default/news}}:log", config.namespace);
    command(config, &["XREVRANGE", &key, "+", "-", "COUNT", "1"]).await.unwrap()
}

fn contains(value: &redis::Value, wanted: &[u8]) -> bool {
    match value {
        redis::Value::BulkString(bytes) => bytes.windows(wanted.len()).any(|window| window == wanted),
        redis::Value::Array(items) => items.iter().any(|item| contains(item, wanted)),
        _ => false,
    }
}

/// The longest text in a reply: the frame.
fn frame_length(entries: &redis::Value) -> u64 {
    match entries {
        redis::Value::BulkString(bytes) => bytes.len() as u64,
        redis::Value::Array(items) => items.iter().map(frame_length).max().unwrap_or(0),
        _ => 0,
    }
}
