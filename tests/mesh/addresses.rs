//! Servers that announce addresses which lead nowhere from here.

use crate::{command, knows, proxy::Proxy, start};
use rachis::{
    App, MemoryService,
    config::{AddressMap, RedisUrl},
};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;

#[tokio::test]
async fn a_cluster_that_announces_addresses_behind_nat_is_reached_by_the_map() {
    let redis = ThrowawayRedis::start_with(&["--cluster-enabled", "yes"]).unwrap();
    let direct = testing::config_for(&redis.url());
    command(&direct, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.unwrap();
    command(&direct, &["CONFIG", "SET", "cluster-announce-ip", "10.255.255.1"]).await.unwrap();
    command(&direct, &["CONFIG", "SET", "cluster-announce-port", "7001"]).await.unwrap();
    let way = Proxy::before(&redis).await;
    let mut config = testing::config_for(&redis.url());
    config.redis.url = RedisUrl::from(redis.url().replace("redis://", "redis+cluster://"));
    config.redis.address_map = AddressMap::new([format!("10.255.255.1:7001=127.0.0.1:{}", way.port())]).unwrap();
    let _notes = start(&config, "notes", App::new().register("notes", MemoryService::new())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "notes").await;
    let mut events = caller.service("notes").on("created").await.unwrap();
    let created = caller.service("notes").create(json!({ "text": "write" })).await.unwrap();
    assert_eq!(events.next().await.unwrap().data, created);
    assert!(way.made() > 5, "{}", way.made());
}
