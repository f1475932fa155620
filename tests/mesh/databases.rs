//! Two meshes of one name, in two databases of one server.

use crate::{knows, start};
use rachis::{App, Config, MemoryService, Node, config::RedisUrl};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::time::Duration;

async fn mesh(config: &Config, database: u32) -> [Node; 2] {
    let mut config = config.clone();
    let url = format!("{}/{database}", config.redis.url.expose().trim_end_matches('/'));
    config.redis.url = RedisUrl::from(url);
    let service = start(&config, "notes", App::new().register("notes", MemoryService::new())).await;
    let listener = start(&config, "web", App::new()).await;
    knows(&listener, "notes").await;
    [service, listener]
}

#[tokio::test]
async fn meshes_in_two_databases_hear_nothing_of_each_other() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = Config { namespace: "shared".into(), ..testing::config_for(&redis.url()) };
    let meshes = [mesh(&config, 0).await, mesh(&config, 1).await];
    for [service, listener] in &meshes {
        assert_eq!((service.nodes().len(), listener.nodes().len()), (2, 2));
    }
    let mut heard = Vec::new();
    for [_, listener] in &meshes {
        heard.push(listener.service("notes").on("*").await.unwrap());
    }
    // Each hears its own events alone, in order, and no `resync` for those of the other.
    for n in 0..5 {
        for mesh in [0, 1] {
            meshes[mesh][1].service("notes").create(json!({ "n": n, "mesh": mesh })).await.unwrap();
        }
    }
    for (mesh, events) in heard.iter_mut().enumerate() {
        for n in 0..5 {
            let event = events.next().await.unwrap();
            assert_eq!((&event.name[..], &event.data["n"], &event.data["mesh"]), ("created", &json!(n), &json!(mesh)));
        }
    }
    // News of the registry stay within its database, too.
    let late = start(meshes[1][0].config(), "late", App::new()).await;
    testing::eventually("it is known", async || meshes[1][1].nodes().len() == 3).await;
    assert_eq!(meshes[0][1].nodes().len(), 2);
    late.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_without_resp3_is_named_as_what_keeps_a_node_from_joining() {
    let redis = ThrowawayRedis::start_with(&["--rename-command", "HELLO", ""]).unwrap();
    let config = testing::config_for(&redis.url());
    let started = Node::builder(config).connect_within(Duration::from_secs(2)).start().await;
    let error = started.expect_err("it can not hear");
    assert!(error.message().contains("does not speak RESP3") && error.message().contains("HELLO"), "{error}");
}
