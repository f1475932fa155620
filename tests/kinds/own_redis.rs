//! The application's own connections, where several servers take turns or share the keys.

use crate::{
    servers::{SENTINEL_PASSWORD, Watched, crash},
    shards::Cluster,
};
use rachis::{
    App, RedisPool,
    redis::{AsyncCommands, RedisResult, Script},
};
use rachis_testing::{self as testing, eventually};

/// Counts one more; fails while no server takes it.
async fn count(pool: &RedisPool, key: &str) -> Option<u64> {
    pool.get().await.ok()?.incr(key, 1).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_follows_the_master_that_sentinels_name() {
    let redis = Watched::start().ready();
    let mut config = testing::config_for(&redis.url());
    config.redis.sentinel_password = Some(SENTINEL_PASSWORD.into());
    let node = testing::start(config, App::new()).await;
    let pool = node.redis();
    assert_eq!(count(&pool, "before").await, Some(1));
    tokio::task::block_in_place(|| crash(&redis.servers[0]));
    eventually("the new master takes commands", async || count(&pool, "after").await.is_some()).await;
    let mut connection = pool.get().await.unwrap();
    let role: (String,) = redis::cmd("ROLE")
        .query_async::<Vec<redis::Value>>(&mut connection)
        .await
        .map(|role| (redis::from_redis_value(role[0].clone()).unwrap(),))
        .unwrap();
    assert_eq!(role.0, "master");
    let _ = node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_each_command_goes_to_the_server_that_holds_its_key() {
    let redis = Cluster::start();
    let node = testing::start(testing::config_for(&redis.url()), App::new()).await;
    let pool = node.redis();
    let keys: Vec<String> = (0..32).map(|number| format!("key-{number}")).collect();
    let owners: std::collections::BTreeSet<usize> = keys.iter().map(|key| redis.owner(key)).collect();
    assert!(owners.len() > 1, "{owners:?}");
    let mut connection = pool.get().await.unwrap();
    for key in &keys {
        let counted: u64 = connection.incr(key, 1).await.unwrap();
        assert_eq!(counted, 1, "{key}");
        let twice = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
        let counted: u64 = twice.key(key).arg(2).invoke_async(&mut connection).await.unwrap();
        assert_eq!(counted, 3, "{key}");
        let both: (u64, u64) = redis::pipe().atomic().incr(key, 1).get(key).query_async(&mut connection).await.unwrap();
        assert_eq!(both, (4, 4), "{key}");
    }
    let crossed: RedisResult<Vec<Option<u64>>> = connection.mget(&keys).await;
    assert!(crossed.is_err(), "keys of several slots are the server's to refuse");
    // A connection that has failed by its command alone is as good as before.
    let counted: u64 = connection.incr(&keys[0], 1).await.unwrap();
    assert_eq!(counted, 5);

    let moved = &keys[0];
    let to = (0..3).find(|server| *server != redis.owner(moved)).unwrap();
    tokio::task::block_in_place(|| redis.migrate(moved, to));
    let counted: u64 = connection.incr(moved, 1).await.unwrap();
    assert_eq!(counted, 6, "the key has moved, and the command has followed");
    drop(connection);
    node.shutdown().await.unwrap();
}
