//! Schemas of services, where several servers share the keys.

use crate::{servers::crash, shards::Cluster};
use rachis::{App, Config, MemoryService, Node, ServiceExt, schema::Schemas};
use rachis_testing::{self as testing, eventually};
use serde_json::json;

fn schemas(field: &str) -> Schemas {
    Schemas::new().record(json!({ "type": "object", "properties": { field: { "type": "string" } } }))
}

async fn start(config: &Config, app: &str, path: &str) -> Node {
    let services = App::new().register(path, MemoryService::new().schemas(schemas(path)));
    testing::start(Config { app: app.into(), ..config.clone() }, services).await
}

async fn knows(node: &Node, path: &str) {
    eventually("a node knows the schemas of another", async || {
        node.schemas(path).await.ok().flatten().is_some_and(|found| *found.schemas == schemas(path))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_schemas_are_known_after_their_slot_has_moved_and_after_its_master_has_died() {
    let redis = Cluster::start();
    let config = testing::config_for(&redis.url());
    let mesh = format!("{}:{{mesh}}", config.namespace);
    let first = start(&config, "first", "people").await;
    let reader = testing::start(Config { app: "reader".into(), ..config.clone() }, App::new()).await;
    knows(&reader, "people").await;

    let owner = redis.owner(&mesh);
    redis.migrate(&mesh, (owner + 1) % 3);
    let second = start(&config, "second", "places").await;
    // One that has read nothing yet reads all of it from where it is now.
    let late = testing::start(Config { app: "late".into(), ..config.clone() }, App::new()).await;
    for node in [&reader, &late] {
        knows(node, "people").await;
        knows(node, "places").await;
    }

    tokio::task::block_in_place(|| crash(&redis.servers[redis.owner(&mesh)]));
    let third = start(&config, "third", "things").await;
    let last = testing::start(Config { app: "last".into(), ..config.clone() }, App::new()).await;
    for path in ["people", "places", "things"] {
        knows(&last, path).await;
    }
    for node in [first, reader, second, late, third, last] {
        let _ = node.shutdown().await;
    }
}
