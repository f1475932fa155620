//! A master that sentinels name.

use crate::{
    load::Mesh,
    proxy::Proxy,
    servers::{SENTINEL_PASSWORD, Watched, crash},
};
use rachis::{App, Config, Node, config::AddressMap};
use rachis_testing as testing;
use std::time::{Duration, Instant};

fn config(redis: &Watched) -> Config {
    let mut config = testing::config_for(&redis.url());
    config.redis.sentinel_password = Some(SENTINEL_PASSWORD.into());
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_is_followed_by_its_replica_and_no_call_runs_twice() {
    let redis = Watched::start().ready();
    let mesh = Mesh::start(config(&redis)).await;
    let books = mesh
        .suffer("sentinel, master killed", async || {
            crash(&redis.servers[0]);
            Instant::now()
        })
        .await;
    mesh.agrees_with(&books).await;
    mesh.stays_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_ends_no_node_and_leaves_no_call_open() {
    let redis = Watched::start().ready();
    let mesh = Mesh::start(config(&redis)).await;
    let books = mesh
        .suffer("sentinel, planned failover", async || {
            let asked = Instant::now();
            tokio::task::block_in_place(|| redis.switch());
            asked
        })
        .await;
    mesh.agrees_with(&books).await;
    mesh.stays_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sentinels_announce_behind_nat_is_reached_by_the_map() {
    let redis = Watched::start().ready();
    let way = Proxy::before(&redis.servers[0]).await;
    let mut config = config(&redis);
    let announced = redis.servers[0].port();
    config.redis.address_map = AddressMap::new([format!("127.0.0.1:{announced}=localhost:{}", way.port())]).unwrap();
    let node = testing::start(config, App::new()).await;
    assert!(way.made() > 3, "{}", way.made());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_named_in_the_error() {
    let redis = Watched::start();
    let mut config = config(&redis);
    config.redis.url = redis.url().replace("mymaster", "nobody").into();
    let refused = Node::builder(config).connect_within(Duration::from_millis(500)).app(App::new()).start().await;
    let error = refused.unwrap_err();
    assert!(error.message().contains("nobody"), "{error}");
}
