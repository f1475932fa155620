//! What the registry keeps of nodes that come and go.

use super::*;

#[test]
fn a_message_that_is_no_change_is_none() {
    for message in [&b""[..], b"hello", b"\x93\x01\x02", b"\xc1"] {
        assert_eq!(RegistryChange::decode(message), None);
    }
}

#[tokio::test]
async fn nodes_stay_known_while_memory_is_full() {
    let redis = rachis_testing::ThrowawayRedis::start_with(&["--maxmemory", "3mb"]).unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut on = client.get_multiplexed_async_connection().await.unwrap();
    let ttl = Duration::from_secs(60);
    let registry = Registry::new(Keys::new("test"), "a", "default/x", ttl, Linger::For(ttl));
    registry.register(&mut on, &Announced::default()).await.unwrap();
    let fill = async |n: u32| {
        let mut set = redis::cmd("SET");
        set.arg(format!("fill-{n}")).arg("x".repeat(10_000)).query_async::<()>(&mut on.clone()).await
    };
    let mut n = 0;
    while fill(n).await.is_ok() {
        n += 1;
    }
    assert_eq!(fill(n).await.unwrap_err().code(), Some("OOM"));
    let now = registry.now(&mut on).await.unwrap();
    assert!(registry.beat(&mut on, true, now).await.unwrap().known);
}

async fn offers(on: &mut redis::aio::MultiplexedConnection, node: &str, linger: Linger, paths: &[&str]) -> Registry {
    let registry = Registry::new(Keys::new("test"), node, "default/x", Duration::from_secs(60), linger);
    let services = paths.iter().map(|path| ((*path).to_owned(), b"descriptor".to_vec())).collect();
    let what = Announced { head: b"head".to_vec(), state: "up".into(), services, schemas: String::new() };
    registry.register(on, &what).await.unwrap();
    registry
}

async fn on(redis: &rachis_testing::ThrowawayRedis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn a_path_lingers_though_a_replica_that_the_registry_no_longer_knows_is_noted_beside_it() {
    let redis = rachis_testing::ThrowawayRedis::start().unwrap();
    let on = &mut on(&redis).await;
    offers(on, "ghost", Linger::Forever, &["a", "b"]).await;
    // Its hash has expired before any node was there to remove it, or Redis has lost it.
    let keys = Keys::new("test");
    redis::cmd("DEL").arg(keys.node("ghost")).exec_async(on).await.unwrap();
    redis::cmd("ZREM").arg(keys.nodes()).arg("ghost").exec_async(on).await.unwrap();
    let last = offers(on, "last", Linger::Forever, &["a"]).await;
    let _ = last.withdraw(on).await.unwrap().unwrap();
    let snapshot = last.snapshot(on).await.unwrap();
    let lingering: Vec<_> = snapshot.lingering.iter().map(|path| path.service.path.as_str()).collect();
    assert_eq!(lingering, ["a", "b"]);
    let fields: Vec<String> = redis::cmd("HKEYS").arg(keys.app("default/x")).query_async(on).await.unwrap();
    assert!(!fields.iter().any(|field| field.starts_with("n:")), "{fields:?}");
}

#[tokio::test]
async fn nothing_is_kept_of_a_path_whose_linger_is_over() {
    let redis = rachis_testing::ThrowawayRedis::start().unwrap();
    let on = &mut on(&redis).await;
    let linger = Linger::For(Duration::from_secs(60));
    let kept = offers(on, "kept", linger, &["a"]).await;
    let _ = offers(on, "gone", linger, &["b", "c"]).await.withdraw(on).await.unwrap().unwrap();
    let app = Keys::new("test").app("default/x");
    redis::cmd("HSET").arg(&app).arg("e:b").arg(1).exec_async(on).await.unwrap();
    // The next node that leaves finds it.
    let _ = offers(on, "next", linger, &["a"]).await.withdraw(on).await.unwrap().unwrap();
    let mut fields: Vec<String> = redis::cmd("HKEYS").arg(&app).query_async(on).await.unwrap();
    fields.sort();
    assert_eq!(fields, ["e:c", "linger", "n:kept", "s:a", "s:c", "t:a", "t:c"]);
    drop(kept);
}
