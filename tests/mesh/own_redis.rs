//! The application's own connections to the mesh's Redis: `Node::redis`.

use crate::proxy::{End, Proxy};
use rachis::{App, Config, RedisPool, config::RedisUrl, redis::AsyncCommands};
use rachis_testing::{self as testing, ThrowawayRedis, eventually};
use std::time::Duration;

async fn count(pool: &RedisPool, key: &str) -> u64 {
    pool.get().await.unwrap().incr(key, 1).await.unwrap()
}

async fn run(url: &str, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    let client = redis::Client::open(url).unwrap();
    command.query_async(&mut client.get_multiplexed_async_connection().await.unwrap()).await
}

#[tokio::test]
async fn the_pool_is_shared_bounded_and_apart_from_what_the_mesh_needs() {
    let redis = ThrowawayRedis::start().unwrap();
    let mut config = testing::config_for(&redis.url());
    config.redis.pool_size = 2;
    config.redis.connect_timeout = Duration::from_secs(2);
    let node = testing::start(config, App::new()).await;
    let pool = node.redis();
    assert_eq!(pool.status().size, 0, "nothing is opened before it is asked for");
    let mut both = [pool.get().await.unwrap(), node.clone().redis().get().await.unwrap()];
    let full = pool.get().await.unwrap_err();
    assert!(full.to_string().contains("Timeout"), "{full}");
    assert_eq!(node.queue_length().await.unwrap(), 0, "the mesh has connections of its own");
    for connection in &mut both {
        let _: u64 = connection.incr("count", 1).await.unwrap();
    }
    drop(both);
    assert_eq!(count(&pool, "count").await, 3);
    node.shutdown().await.unwrap();
    assert_eq!(count(&pool, "count").await, 4, "a service may need it while it ends");
}

#[tokio::test]
async fn a_connection_that_broke_is_not_handed_out_again() {
    let redis = ThrowawayRedis::start().unwrap();
    let way = Proxy::before(&redis).await;
    let node = testing::start(testing::config_for(&way.url()), App::new()).await;
    let pool = node.redis();
    assert_eq!(count(&pool, "count").await, 1);
    let mut held = pool.get().await.unwrap();
    way.end(End::Reset);
    assert!(held.incr::<_, _, u64>("count", 1).await.is_err(), "it is not repeated in secret");
    drop(held);
    eventually("a new one", async || match pool.get().await {
        Ok(mut connection) => connection.get::<_, u64>("count").await == Ok(1),
        Err(_) => false,
    })
    .await;
}

#[tokio::test]
async fn an_acl_user_has_its_rights_and_a_login_that_changes_reaches_idle_connections() {
    let redis = ThrowawayRedis::start().unwrap();
    let url = redis.url();
    let rules = ["ACL", "SETUSER", "app", "on", ">first", "~*", "&*", "+@all", "-flushall"];
    run(&url, &rules).await.unwrap();
    let config = |password: &str| Config {
        redis: rachis::config::Redis {
            url: RedisUrl::from(url.as_str()),
            username: Some("app".into()),
            password: Some(password.into()),
            ..testing::config_for(&url).redis
        },
        namespace: "own-redis".into(),
        ..testing::config_for(&url)
    };
    let node = testing::start(config("first"), App::new()).await;
    let pool = node.redis();
    let who = async || {
        let mut connection = pool.get().await.unwrap();
        let refused = redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap_err();
        assert_eq!(refused.code(), Some("NOPERM"), "{refused}");
        redis::cmd("ACL").arg("WHOAMI").query_async::<String>(&mut connection).await.unwrap()
    };
    assert_eq!(who().await, "app");
    let idle = pool.status().size;
    run(&url, &["ACL", "SETUSER", "app", ">second"]).await.unwrap();
    node.reload(config("second")).unwrap();
    assert_eq!(who().await, "app");
    assert_eq!(pool.status().size, idle, "it is the same connection");
    run(&url, &["ACL", "SETUSER", "app", "<first"]).await.unwrap();
    run(&url, &["CLIENT", "KILL", "USER", "app"]).await.unwrap();
    eventually("a new connection by the new password", async || match pool.get().await {
        Ok(mut connection) => connection.set::<_, _, ()>("key", 1).await.is_ok(),
        Err(_) => false,
    })
    .await;
}
