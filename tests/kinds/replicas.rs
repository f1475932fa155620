//! Replicas that writes wait for.

use crate::servers::{ask, pair};
use rachis::{App, Config, MemoryService};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::time::{Duration, Instant};

fn waits(master: &ThrowawayRedis) -> bool {
    ask::<String>(master.port(), &["INFO", "commandstats"]).unwrap().contains("cmdstat_wait:")
}

#[tokio::test]
async fn replicas_are_waited_for_where_it_is_asked_for_and_one_that_is_silent_fails_no_call() {
    let (master, replica) = pair();
    let mut config = testing::config_for(&master.url());
    let todos = testing::start(Config { app: "todos".into(), ..config.clone() }, todos()).await;
    let other = testing::start(Config { app: "other".into(), ..config.clone() }, App::new()).await;
    other.wait_for("todos").await.unwrap();
    other.service("todos").create(json!({ "text": "write" })).await.unwrap();
    assert!(!waits(&master), "nobody asked for it");

    config.redis.wait_replicas = 1;
    config.redis.wait_timeout = Duration::from_millis(150);
    let careful = testing::start(Config { app: "careful".into(), ..config }, App::new()).await;
    careful.wait_for("todos").await.unwrap();
    careful.service("todos").create(json!({ "text": "write" })).await.unwrap();
    assert!(waits(&master));

    // Another call gets through, though the writer waits in vain for the replica to have the one before.
    replica.freeze().unwrap();
    let asked = Instant::now();
    careful.service("todos").create(json!({ "text": "write" })).await.unwrap();
    careful.service("todos").create(json!({ "text": "write" })).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(150), "{:?}", asked.elapsed());
    replica.thaw().unwrap();
    drop(todos);
}

fn todos() -> App {
    App::new().register("todos", MemoryService::new())
}
