//! Events on their way to Redis, which refuses some of them or says nothing of what it took.

use crate::{
    command, named, redis_of,
    scripted::{Act, Scripted, is_script_on},
    services::Echo,
    start,
};
use rachis::{App, Config, Event, EventStream, Node, RESYNC};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

async fn next(events: &mut EventStream) -> Event {
    tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("no event came").unwrap()
}

async fn expect(events: &mut EventStream, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let event = next(events).await;
        assert_eq!((event.name.as_str(), event.data), ("shouted", json!(number)));
    }
}

fn emit(node: &Node, path: &str, numbers: impl Iterator<Item = u64>) {
    let service = node.service(path);
    numbers.for_each(|number| service.emit("shouted", number).unwrap());
}

fn log(config: &Config, path: &str) -> String {
    format!("{}:{{events:default/{path}}}:log", config.namespace)
}

async fn logged(config: &Config, path: &str) -> u64 {
    redis::cmd("XLEN").arg(log(config, path)).query_async(&mut redis_of(config).await).await.unwrap()
}

/// A node whose way to Redis is decided about command by command, and one that hears it.
struct Pair {
    _redis: ThrowawayRedis,
    config: Config,
    way: Scripted,
    there: Node,
    here: Node,
}

impl Pair {
    async fn start() -> Pair {
        let redis = ThrowawayRedis::start().unwrap();
        let config = testing::config_for(&redis.url());
        let way = Scripted::before(&redis).await;
        let mut far = named(&config, "worker");
        far.redis.url = way.url().as_str().into();
        let there = testing::start(far, App::new().register("jobs", Echo).register("other", Echo)).await;
        let here = start(&config, "caller", App::new()).await;
        Pair { _redis: redis, config, way, there, here }
    }
}

#[tokio::test]
async fn events_stay_in_order_and_come_once_though_redis_refuses_some_of_those_that_were_sent_together() {
    let pair = Pair::start().await;
    let mut events = pair.here.service("jobs").on("shouted").await.unwrap();
    for (round, error) in [
        "NOSCRIPT No matching script. Please use EVAL.",
        "NOREPLICAS Not enough good replicas to write.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "MISCONF Redis is configured to save RDB snapshots",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "BUSY Redis is busy running a script.",
    ]
    .into_iter()
    .enumerate()
    {
        let first = round as u64 * 1000;
        let held = Arc::new(Notify::new());
        let go_on = Arc::new(Notify::new());
        let reached = held.clone();
        let went_on = go_on.clone();
        let mut calls = 0;
        let refused = 4;
        pair.way.decide(move |command| {
            if !is_script_on(command, "jobs}:log") {
                return Act::Pass;
            }
            calls += 1;
            match calls {
                1 => {
                    reached.notify_one();
                    Act::Hold(went_on.clone())
                }
                // Those behind the first go through: by then Redis has changed its mind.
                call if call <= 1 + refused => Act::Refuse(error),
                _ => Act::Pass,
            }
        });
        emit(&pair.there, "jobs", first..first + 1);
        held.notified().await;
        // They wait together for the one that is under way.
        emit(&pair.there, "jobs", first + 1..first + 100);
        go_on.notify_one();
        expect(&mut events, first..first + 100).await;
    }
    assert_eq!(logged(&pair.config, "jobs").await, 1000, "each is logged once");
    pair.here.shutdown().await.unwrap();
}

#[tokio::test]
async fn events_that_redis_took_and_did_not_confirm_are_logged_and_heard_once() {
    let pair = Pair::start().await;
    let mut events = pair.here.service("jobs").on("shouted").await.unwrap();
    // Whatever number of calls it is by then.
    for round in 0..5 {
        let mut calls = 0;
        pair.way.decide(move |command| {
            let counts = is_script_on(command, "jobs}:log");
            calls += u64::from(counts);
            if counts && calls == 1 + round { Act::LoseReply } else { Act::Pass }
        });
        emit(&pair.there, "jobs", round * 20..round * 20 + 20);
        expect(&mut events, round * 20..round * 20 + 20).await;
    }
    testing::eventually("all are logged", async || logged(&pair.config, "jobs").await >= 100).await;
    emit(&pair.there, "other", 0..1);
    testing::eventually("what came after is, too", async || logged(&pair.config, "other").await == 1).await;
    assert_eq!(logged(&pair.config, "jobs").await, 100);
}

/// `refuse` makes Redis refuse the events of `bad` from then on, `allow` ends that.
async fn refused_alone(config: &Config, there: &Node, here: &Node, refuse: &[&str], allow: &[&str], readable: bool) {
    let mut bad = here.service("bad").on("*").await.unwrap();
    let mut good = here.service("good").on("*").await.unwrap();
    emit(there, "bad", 0..1);
    expect(&mut bad, 0..1).await;
    command(config, refuse).await.unwrap();
    // More than wait for one another in any write.
    for number in 0..600 {
        emit(there, "bad", number + 1..number + 2);
        emit(there, "good", number..number + 1);
    }
    expect(&mut good, 0..600).await;
    assert_eq!(logged(config, "good").await, 600, "they are logged once");
    command(config, allow).await.unwrap();
    if !readable {
        assert_eq!(next(&mut bad).await.name, RESYNC);
    }
    // Whatever came before, from here on all is heard.
    let mut number = 1000;
    loop {
        emit(there, "bad", number..number + 1);
        number += 1;
        let heard = tokio::time::timeout(Duration::from_millis(100), bad.next()).await;
        if heard.is_ok_and(|heard| heard.unwrap().data.as_u64() >= Some(1000)) {
            break;
        }
        assert!(number < 1200, "it is never heard again");
    }
}

#[tokio::test]
async fn events_of_a_service_whose_log_is_something_else_harm_no_others_and_end_in_a_resync() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let app = App::new().register("bad", Echo).register("good", Echo);
    let there = start(&config, "worker", app).await;
    let here = start(&config, "caller", App::new()).await;
    let log = log(&config, "bad");
    refused_alone(&config, &there, &here, &["SET", &log, "a string"], &["DEL", &log], false).await;
}

/// A mesh of which one node has the rights of a user, who may do everything at first.
async fn with_user(redis: &ThrowawayRedis) -> (Config, Node, Node) {
    let config = testing::config_for(&redis.url());
    command(&config, &["ACL", "SETUSER", "narrow", "on", ">word", "~*", "&*", "+@all"]).await.unwrap();
    let app = App::new().register("bad", Echo).register("good", Echo);
    let mut narrow = named(&config, "worker");
    narrow.redis.url = redis.url().replace("redis://", "redis://narrow:word@").as_str().into();
    let there = testing::start(narrow, app).await;
    let here = start(&config, "caller", App::new()).await;
    (config, there, here)
}

#[tokio::test]
async fn events_of_a_service_whose_log_an_acl_forbids_harm_no_others_and_end_in_a_resync() {
    let redis = ThrowawayRedis::start().unwrap();
    let (config, there, here) = with_user(&redis).await;
    let keys = |rest: &str| format!("~{}:{rest}", config.namespace);
    let mesh = keys("{mesh}:*");
    let node = keys("{node:*");
    let app = keys("{app:*");
    let good = keys("{events:default/good}*");
    let refuse = ["ACL", "SETUSER", "narrow", "resetkeys", &mesh, &node, &app, &good];
    refused_alone(&config, &there, &here, &refuse, &["ACL", "SETUSER", "narrow", "~*"], false).await;
}

#[tokio::test]
async fn events_of_a_service_whose_channel_an_acl_forbids_harm_no_others() {
    let redis = ThrowawayRedis::start().unwrap();
    let (config, there, here) = with_user(&redis).await;
    let channels = |rest: &str| format!("&{}:{rest}", config.namespace);
    let lifecycle = channels("lifecycle");
    let good = channels("{events:default/good}");
    let refuse = ["ACL", "SETUSER", "narrow", "resetchannels", &lifecycle, &good];
    refused_alone(&config, &there, &here, &refuse, &["ACL", "SETUSER", "narrow", "&*"], true).await;
}

#[tokio::test]
async fn the_first_event_after_a_log_has_expired_is_no_reason_to_read_everything_anew() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    let mut number = 0;
    for _ in 0..3 {
        emit(&there, "jobs", number..number + 1);
        expect(&mut events, number..number + 1).await;
        number += 1;
        assert_eq!(command(&config, &["PEXPIRE", &log(&config, "jobs"), "1"]).await.unwrap(), redis::Value::Int(1));
        testing::eventually("the log is over", async || logged(&config, "jobs").await == 0).await;
        // Who comes to listen now knows as well where the log ended.
        let mut late = here.service("jobs").on("*").await.unwrap();
        let other = start(&config, "late", App::new()).await;
        let mut later = other.service("jobs").on("*").await.unwrap();
        emit(&there, "jobs", number..number + 1);
        for stream in [&mut events, &mut late, &mut later] {
            expect(stream, number..number + 1).await;
        }
        number += 1;
    }
}
