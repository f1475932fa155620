//! What a node believes and hears, while Redis does not let it read what it missed, or its beat is late.

use crate::{
    command, forgets, knows, named,
    scripted::{Act, Scripted},
    services::Echo,
    start,
};
use rachis::{
    App, Config, Event, EventStream, Handle, Method, Node, Params, RESYNC, Result, Service, config::PathFilter,
};
use rachis_testing as testing;
use rachis_testing::{ThrowawayRedis, eventually};
use serde_json::Value;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

async fn next(events: &mut EventStream) -> Event {
    tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("no event came").unwrap()
}

fn is(command: &[Vec<u8>], name: &str, key: &str) -> bool {
    command[0] == name.as_bytes() && command.get(1).is_some_and(|found| found.ends_with(key.as_bytes()))
}

/// A node that fires and serves, and one whose way to Redis is decided about.
async fn pair() -> (ThrowawayRedis, Config, Scripted, Node, Node) {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let way = Scripted::before(&redis).await;
    let mut near = named(&config, "caller");
    near.redis.url = way.url().as_str().into();
    let here = testing::start(near, App::new()).await;
    knows(&here, "jobs").await;
    (redis, config, way, there, here)
}

#[tokio::test]
async fn a_user_who_may_not_count_the_nodes_knows_them_all_the_same() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    command(&config, &["ACL", "SETUSER", "narrow", "on", ">word", "~*", "&*", "+@all", "-zcard"]).await.unwrap();
    let _there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let mut near = named(&config, "caller");
    near.redis.url = redis.url().replace("redis://", "redis://narrow:word@").as_str().into();
    let here = testing::start(near, App::new()).await;
    knows(&here, "jobs").await;
}

#[tokio::test]
async fn a_reload_takes_effect_though_the_registry_can_not_be_read_at_first() {
    for (name, key) in [("ZCARD", "nodes"), ("GET", "epoch"), ("TIME", ""), ("ZRANGE", "nodes")] {
        let (_redis, _, way, _there, here) = pair().await;
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        way.decide(move |command| {
            let meant = command[0] == name.as_bytes() && (key.is_empty() || is(command, name, key));
            if !meant || counted.fetch_add(1, Ordering::SeqCst) >= 2 {
                return Act::Pass;
            }
            Act::Refuse("ERR not now")
        });
        let mut config = here.config().clone();
        config.remote_services = PathFilter::new(["todos"]).unwrap();
        here.reload(config).unwrap();
        eventually("it was refused", async || refused.load(Ordering::SeqCst) > 0).await;
        forgets(&here, "jobs").await;
    }
}

#[tokio::test]
async fn events_missed_while_the_log_can_not_be_read_are_read_later_though_no_other_comes() {
    let (_redis, config, way, there, here) = pair().await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    there.service("jobs").emit("shouted", 0).unwrap();
    assert_eq!(next(&mut events).await.data, 0);
    let held = Arc::new(Notify::new());
    let go_on = Arc::new(Notify::new());
    let reached = held.clone();
    let went_on = go_on.clone();
    let mut refused = 0;
    way.decide(move |command| match () {
        // The events come while nobody listens.
        () if is(command, "SUBSCRIBE", "lifecycle") || is(command, "SUBSCRIBE", "jobs}") => {
            reached.notify_one();
            Act::Hold(went_on.clone())
        }
        () if is(command, "XRANGE", "jobs}:log") && refused < 3 => {
            refused += 1;
            Act::Refuse("LOADING Redis is loading the dataset in memory")
        }
        () => Act::Pass,
    });
    command(&config, &["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    held.notified().await;
    for number in 1..=10 {
        there.service("jobs").emit("shouted", number).unwrap();
    }
    let log = format!("{}:{{events:default/jobs}}:log", config.namespace);
    eventually("they are in the log", async || {
        command(&config, &["XLEN", &log]).await.unwrap() == redis::Value::Int(11)
    })
    .await;
    // Each subscription waits once.
    (0..4).for_each(|_| go_on.notify_one());
    let go_on = tokio::spawn(async move {
        loop {
            go_on.notify_one();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for number in 1..=10 {
        assert_eq!(next(&mut events).await.data, number);
    }
    go_on.abort();
}

#[tokio::test]
async fn a_gap_before_the_first_event_is_noticed_though_the_end_of_the_log_could_not_be_asked_for() {
    let (_redis, config, way, there, here) = pair().await;
    let mut refused = 0;
    way.decide(move |command| {
        let asks = is(command, "HGET", "jobs}:last") || is(command, "XREVRANGE", "jobs}:log");
        if asks && refused < 2 {
            refused += 1;
            return Act::Refuse("LOADING Redis is loading the dataset in memory");
        }
        Act::Pass
    });
    let mut events = here.service("jobs").on("*").await.unwrap();
    command(&config, &["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    there.service("jobs").emit("shouted", 1).unwrap();
    let first = next(&mut events).await;
    assert!(first.data == 1 || first.name == RESYNC, "{first:?}");
}

/// Says goodbye when it is over, which takes until it is let go.
#[derive(Clone, Default)]
struct Farewell {
    this: Arc<OnceLock<Handle>>,
    may_end: Arc<Notify>,
}

impl Service for Farewell {
    const METHODS: &[Method] = &[Method::Find];
    const EVENTS: &[&str] = &["ended"];

    async fn find(&self, _: Params) -> Result<Value> {
        Ok(Value::Null)
    }
    async fn setup(&self, this: Handle) -> Result<()> {
        let _ = self.this.set(this);
        Ok(())
    }
    async fn teardown(&self) -> Result<()> {
        self.may_end.notified().await;
        self.this.get().unwrap().emit("ended", "goodbye")
    }
}

#[tokio::test]
async fn a_node_that_has_left_stays_away_though_a_beat_of_it_comes_late_and_its_last_events_are_heard() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let way = Scripted::before(&redis).await;
    let farewell = Farewell::default();
    let mut far = named(&config, "leaver");
    far.redis.url = way.url().as_str().into();
    let leaver = testing::start(far, App::new().register("jobs", farewell.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    let held = Arc::new(Notify::new());
    let go_on = Arc::new(Notify::new());
    let reached = held.clone();
    let went_on = go_on.clone();
    let beats = Arc::new(AtomicUsize::new(0));
    let mut is_held = false;
    let counted = beats.clone();
    way.decide(move |command| {
        // The script with five keys is a beat's.
        if command[0] != b"EVALSHA" || command[2] != b"5" {
            return Act::Pass;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        if std::mem::replace(&mut is_held, true) {
            return Act::Pass;
        }
        reached.notify_one();
        Act::Hold(went_on.clone())
    });
    held.notified().await;
    let leaves = leaver.clone();
    let leaves = tokio::spawn(async move { leaves.shutdown().await });
    let is_there = async || here.nodes().iter().any(|node| node.id == leaver.id());
    eventually("it has left", async || !is_there().await).await;
    go_on.notify_one();
    // Time to come back.
    let came_back = async {
        while !is_there().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), came_back).await.is_err(), "it came back");
    farewell.may_end.notify_one();
    leaves.await.unwrap().unwrap();
    assert!(!is_there().await);
    let last = next(&mut events).await;
    assert_eq!((last.name.as_str(), last.data), ("ended", Value::from("goodbye")));
}
