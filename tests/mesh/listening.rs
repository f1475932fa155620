//! Nodes that listen, while what they listen by is held up or forbidden.

use crate::{command, knows, named, proxy::Proxy, services::Echo, start};
use rachis::{App, Config, Event, EventStream, Node, Readiness};
use rachis_testing as testing;
use rachis_testing::{ThrowawayRedis, eventually};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

async fn next(events: &mut EventStream) -> Event {
    tokio::time::timeout(LONG, events.next()).await.expect("no event came").unwrap()
}

/// A node that fires, and one that hears it by way of `url`.
async fn pair(redis: &ThrowawayRedis, url: &str) -> (Config, Node, Node) {
    let mut config = testing::config_for(&redis.url());
    config.redis.response_timeout = Duration::from_millis(500);
    config.redis.connect_timeout = Duration::from_secs(1);
    let app = App::new().register("jobs", Echo).register("other", Echo).register("more", Echo);
    let there = start(&config, "worker", app).await;
    let mut near = named(&config, "caller");
    near.redis.url = url.into();
    let here = testing::start(near, App::new()).await;
    knows(&here, "jobs").await;
    (config, there, here)
}

#[tokio::test]
async fn what_is_subscribed_or_left_while_the_server_vanishes_is_heard_on_the_next_connection() {
    for leaves in [false, true] {
        let redis = ThrowawayRedis::start().unwrap();
        let proxy = Proxy::before(&redis).await;
        let (_, there, here) = pair(&redis, &proxy.url()).await;
        let mut jobs = here.service("jobs").on("shouted").await.unwrap();
        let other = here.service("other").on("shouted").await.unwrap();
        there.service("jobs").emit("shouted", 1).unwrap();
        assert_eq!(next(&mut jobs).await.data, 1);
        proxy.swallow();
        let more = here.service("more");
        let more = tokio::spawn(async move { more.on("shouted").await });
        if leaves {
            drop(other);
        }
        eventually("Redis is missed", async || here.readiness() == Readiness::Degraded).await;
        there.service("jobs").emit("shouted", 2).unwrap();
        proxy.open();
        assert_eq!(next(&mut jobs).await.data, 2, "leaves: {leaves}");
        let mut more = tokio::time::timeout(LONG, more).await.expect("it still waits").unwrap().unwrap();
        there.service("more").emit("shouted", 3).unwrap();
        assert_eq!(next(&mut more).await.data, 3, "leaves: {leaves}");
    }
}

#[tokio::test]
async fn a_channel_that_redis_forbids_makes_no_other_deaf() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let channels = |rest: &str| format!("&{}:{rest}", config.namespace);
    let lifecycle = channels("lifecycle");
    let jobs = channels("{events:default/jobs}");
    command(&config, &["ACL", "SETUSER", "narrow", "on", ">word", "~*", "+@all", "resetchannels", &lifecycle, &jobs])
        .await
        .unwrap();
    let there = start(&config, "worker", App::new().register("jobs", Echo).register("other", Echo)).await;
    let mut near = named(&config, "caller");
    near.redis.url = redis.url().replace("redis://", "redis://narrow:word@").as_str().into();
    let here = testing::start(near, App::new()).await;
    let mut jobs = here.service("jobs").on("shouted").await.unwrap();
    let other = here.service("other");
    let forbidden = tokio::spawn(async move { other.on("shouted").await });
    // As often as it may have been tried, no connection was given up for it.
    let connections = async || {
        let list = command(&config, &["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap();
        let redis::Value::BulkString(list) = list else { panic!("{list:?}") };
        let ids = String::from_utf8(list).unwrap();
        ids.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = connections().await;
    let refused = async || {
        let log: Vec<redis::Value> = redis::from_redis_value(command(&config, &["ACL", "LOG"]).await.unwrap()).unwrap();
        format!("{log:?}").contains("other")
    };
    eventually("it was refused", refused).await;
    for number in 0..50 {
        there.service("jobs").emit("shouted", number).unwrap();
        assert_eq!(next(&mut jobs).await.data, number);
    }
    assert_eq!(connections().await, before);
    command(&config, &["ACL", "SETUSER", "narrow", "allchannels"]).await.unwrap();
    let mut other = tokio::time::timeout(LONG, forbidden).await.expect("it still waits").unwrap().unwrap();
    there.service("other").emit("shouted", 1).unwrap();
    assert_eq!(next(&mut other).await.data, 1);
}

#[tokio::test]
async fn of_a_thousand_paths_that_are_listened_to_at_once_each_is_heard() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let paths: Vec<String> = (0..1000).map(|n| format!("jobs-{n}")).collect();
    let app = paths.iter().fold(App::new(), |app, path| app.register(path, Echo));
    let there = start(&config, "worker", app).await;
    let here = start(&config, "caller", App::new()).await;
    eventually("all are known", async || here.services().len() == paths.len()).await;
    let begun = Instant::now();
    let services: Vec<_> = paths.iter().map(|path| here.service(path)).collect();
    let heard = futures_util::future::join_all(services.iter().map(|service| service.on("shouted"))).await;
    println!("figure: 1,000 paths are listened to after {:?}", begun.elapsed());
    for (number, (path, events)) in paths.iter().zip(heard).enumerate() {
        there.service(path).emit("shouted", number).unwrap();
        assert_eq!(next(&mut events.unwrap()).await.data, number);
    }
}
