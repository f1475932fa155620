//! Keys that several servers share.

use crate::{load::Mesh, servers::crash, shards::Cluster};
use rachis::{App, Config, MemoryService, Method, Params, Result, Service};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

fn config(redis: &Cluster) -> Config {
    testing::config_for(&redis.url())
}

fn calls(config: &Config) -> String {
    format!("{}:{{app:default/keeper}}:calls", config.namespace)
}

fn registry(config: &Config) -> String {
    format!("{}:{{mesh}}:nodes", config.namespace)
}

/// Kills the master that holds `key` while calls are under way.
async fn survives_the_death_of_the_owner_of(what: &str, key: fn(&Config) -> String) {
    let redis = Cluster::start();
    let config = config(&redis);
    let calls = redis.owner(&calls(&config));
    let registry = redis.owner(&registry(&config));
    println!("requests lie on master {calls}, the registry on master {registry}");
    let victim = redis.owner(&key(&config));
    let mesh = Mesh::start(config.clone()).await;
    let books = mesh
        .suffer(what, async || {
            crash(&redis.servers[victim]);
            let crashed = Instant::now();
            tokio::task::block_in_place(|| redis.waits_for_master(victim + 3));
            println!("{what}: the replica is master after {:.2?}", crashed.elapsed());
            crashed
        })
        .await;
    mesh.agrees_with(&books).await;
    if victim == registry {
        let nodes = config.namespace.clone() + ":{mesh}:nodes";
        testing::eventually("all beat where the registry is now", async || redis.beating(victim + 3, &nodes) == 3)
            .await;
    }
    mesh.stays_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_with_requests_dies_and_no_call_runs_twice() {
    survives_the_death_of_the_owner_of("cluster, master of the requests killed", calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_with_the_registry_dies_and_nobody_is_taken_for_dead() {
    survives_the_death_of_the_owner_of("cluster, master of the registry killed", registry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_move_to_another_master_and_no_call_is_lost() {
    let redis = Cluster::start();
    let config = config(&redis);
    let keys = [calls(&config), registry(&config), format!("{}:{{events:default/journal}}", config.namespace)];
    let mesh = Mesh::start(config).await;
    let books = mesh
        .suffer("cluster, slots moved", async || {
            let asked = Instant::now();
            tokio::task::block_in_place(|| {
                for key in &keys {
                    redis.migrate(key, (redis.owner(key) + 1) % 3);
                }
            });
            asked
        })
        .await;
    assert!(books.failed.is_empty(), "{:?}", books.failed);
    let events = &keys[2];
    let to = (redis.owner(&keys[2]) + 1) % 3;
    let listened_to: Vec<String> = redis.ask(to, &["PUBSUB", "SHARDCHANNELS"]);
    assert!(listened_to.contains(events), "subscribed where the slot is now: {listened_to:?}");
    mesh.agrees_with(&books).await;
    mesh.stays_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_lie_on_several_masters_and_the_death_of_one_loses_no_call() {
    let redis = Cluster::start();
    let config = Config { partitions: 6, ..config(&redis) };
    let partition = |number| match number {
        0 => calls(&config),
        number => format!("{}:{{app:default/keeper/{number}}}:calls", config.namespace),
    };
    let keys: Vec<String> = (0..6).map(partition).collect();
    let slots: BTreeSet<usize> = keys.iter().map(|key| redis.slot(key)).collect();
    let owners: Vec<usize> = keys.iter().map(|key| redis.owner(key)).collect();
    println!("partitions lie on masters {owners:?}");
    assert_eq!((slots.len(), owners.iter().collect::<BTreeSet<_>>().len()), (6, 3));
    let mesh = Mesh::start(config.clone()).await;
    let registry = redis.owner(&registry(&config));
    let victim = owners.iter().copied().find(|owner| *owner != registry).unwrap();
    let books = mesh
        .suffer("cluster, master of some partitions killed", async || {
            for (key, owner) in keys.iter().zip(&owners) {
                let info: std::collections::HashMap<String, redis::Value> =
                    redis.ask(*owner, &["XINFO", "STREAM", key]);
                let added: i64 = redis::from_redis_value(info["entries-added"].clone()).unwrap();
                assert!(added > 10, "{key}: {added}");
            }
            crash(&redis.servers[victim]);
            let crashed = Instant::now();
            tokio::task::block_in_place(|| redis.waits_for_master(victim + 3));
            crashed
        })
        .await;
    mesh.agrees_with(&books).await;
    mesh.stays_whole().await;
}

/// How often any server was asked who holds which slot.
fn asked_for_slots(redis: &Cluster) -> u64 {
    let asked = |server: usize| {
        let info: String = redis.ask(server, &["INFO", "commandstats"]);
        let calls = info.split("cmdstat_cluster|slots:calls=").nth(1).and_then(|rest| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    (0..6).map(asked).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_come_to_rest_after_a_server_that_they_heard_has_handed_over_its_slots() {
    let redis = Cluster::start();
    let config = config(&redis);
    let services = App::new().register("todos", MemoryService::new());
    let there = testing::start(Config { app: "there".into(), ..config.clone() }, services).await;
    let here = testing::start(Config { app: "here".into(), ..config.clone() }, App::new()).await;
    here.wait_for("todos").await.unwrap();
    let mut events = here.service("todos").on("created").await.unwrap();
    let old = redis.owner(&format!("{}:{{events:default/todos}}", config.namespace));
    redis.ask::<String>(old + 3, &["CLUSTER", "FAILOVER"]);
    tokio::task::block_in_place(|| redis.waits_for_master(old + 3));
    testing::eventually("it is heard where the slot is now", async || {
        let _ = there.service("todos").create(json!({})).await;
        redis.ask::<Vec<String>>(old + 3, &["PUBSUB", "SHARDCHANNELS"]).len() == 1
    })
    .await;
    let last = there.service("todos").create(json!({})).await.unwrap();
    while events.next().await.unwrap().data != last {}
    testing::eventually("nobody asks where anything is any more", async || {
        let before = asked_for_slots(&redis);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        asked_for_slots(&redis) == before
    })
    .await;
}

/// Creates nothing before it is let.
#[derive(Clone)]
struct Patient {
    started: Arc<AtomicUsize>,
    open: watch::Sender<bool>,
}

impl Service for Patient {
    const METHODS: &[Method] = &[Method::Create];

    async fn create(&self, _: Value, _: Params) -> Result<Value> {
        let run = 1 + self.started.fetch_add(1, Ordering::SeqCst);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        Ok(run.into())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_a_key_is_not_answered_before_its_reply_is_kept_on_whatever_server() {
    let redis = Cluster::start();
    let config = Config { timeout: Duration::from_secs(60), publish_events: false, ..config(&redis) };
    let patient = Patient { started: Arc::default(), open: watch::Sender::new(false) };
    let replica = || {
        testing::start(
            Config { app: "keeper".into(), ..config.clone() },
            App::new().register("patient", patient.clone()),
        )
    };
    let doomed = replica().await;
    let there = redis.owner(&calls(&config));
    // One whose replies lie on another server than the requests.
    let caller = loop {
        let caller = testing::start(Config { app: "caller".into(), ..config.clone() }, App::new()).await;
        if redis.owner(&format!("{}:{{node:{}}}:inbox", config.namespace, caller.id())) != there {
            break caller;
        }
        caller.shutdown().await.unwrap();
    };
    caller.wait_for("patient").await.unwrap();
    let create = || tokio::spawn(caller.service("patient").create(json!({})).idempotency_key("one").answer());
    let first = create();
    testing::eventually("it has begun", async || patient.started.load(Ordering::SeqCst) == 1).await;
    redis.servers[there].freeze().unwrap();
    patient.open.send_replace(true);
    // Answered or not, the replica goes before its server is back.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let was_answered = first.is_finished();
    drop(doomed);
    redis.servers[there].thaw().unwrap();
    let _next = replica().await;
    let first = first.await.unwrap().unwrap().result;
    let repeat = create().await.unwrap().unwrap().result;
    assert_eq!(first, repeat, "answered while the server was away: {was_answered}");
}
