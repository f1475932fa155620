//! What belongs to one partition stays there: calls of one idempotency key, signed frames.

use super::{PARTITIONS, config, nothing_is_left, queued, stream, with};
use crate::{command, knows, sees_replicas, services::Gate, start, wire};
use futures_util::future::join_all;
use rachis::App;
use rachis_testing as testing;
use std::collections::BTreeSet;

#[tokio::test]
async fn calls_with_one_idempotency_key_meet_in_one_partition_whoever_makes_them() {
    let config = config();
    let gate = Gate::closed("worker");
    let _worker = start(&config, "worker", App::new().register("todos", gate.clone())).await;
    let callers = [start(&config, "one", App::new()).await, start(&config, "two", App::new()).await];
    for caller in &callers {
        knows(caller, "todos").await;
    }
    let mut used = BTreeSet::new();
    let mut calls = Vec::new();
    for n in 0..12 {
        for caller in &callers {
            // So that their turns are not the same.
            calls.push(tokio::spawn(caller.service("todos").get(n).answer()));
        }
        testing::eventually("they are there", async || {
            queued(&config, "worker").await.iter().sum::<u64>() == calls.len() as u64
        })
        .await;
        let before = queued(&config, "worker").await;
        for caller in &callers {
            let call = caller.service("todos").create(1).idempotency_key(format!("order-{n}"));
            calls.push(tokio::spawn(call.answer()));
        }
        testing::eventually("they are there, too", async || {
            queued(&config, "worker").await.iter().sum::<u64>() == calls.len() as u64
        })
        .await;
        let after = queued(&config, "worker").await;
        let grown: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(grown.iter().max(), Some(&2), "{grown:?}");
        used.extend(grown.iter().position(|by| *by == 2));
    }
    assert!(used.len() > 1, "keys differ in where they go: {used:?}");
    gate.open_up();
    for call in join_all(calls).await {
        assert_eq!(call.unwrap().unwrap().result, "worker");
    }
    assert_eq!(gate.started(), 24 + 12, "each key ran once");
}

#[tokio::test]
async fn a_repeat_finds_its_reply_however_many_partitions_there_are_by_then() {
    let config = config();
    let gate = Gate::open("worker");
    let caller = start(&config, "caller", App::new()).await;
    let keys = ["order-1", "order-2", "order-3", "order-4"];
    for (round, partitions) in [1, 4, 3].into_iter().enumerate() {
        let app = App::new().register("todos", gate.clone());
        let worker = start(&with(&config, partitions), "worker", app).await;
        sees_replicas(&caller, "todos", 1).await;
        for key in keys {
            assert_eq!(caller.service("todos").create(1).idempotency_key(key).await.unwrap(), "worker");
        }
        assert_eq!(gate.started(), keys.len(), "round {round}");
        worker.shutdown().await.unwrap();
        sees_replicas(&caller, "todos", 0).await;
    }
}

#[tokio::test]
async fn frames_that_are_signed_are_good_in_their_partition_only() {
    let mut config = config();
    config.mesh.secret = Some("a secret of the nodes of this mesh".into());
    let gate = Gate::closed("worker");
    let worker = start(&config, "worker", App::new().register("todos", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let calls: Vec<_> = (0..8).map(|n| tokio::spawn(caller.service("todos").create(n).answer())).collect();
    testing::eventually("all have begun", async || gate.started() == 8).await;
    // What stands in one partition is put into all of them once more.
    let found = command(&config, &["XRANGE", &stream(&config, "worker", 1), "-", "+"]).await.unwrap();
    let found: Vec<(String, std::collections::HashMap<String, Vec<u8>>)> = redis::from_redis_value(found).unwrap();
    for number in 0..PARTITIONS {
        wire::add(&config, &stream(&config, "worker", number), &found[0].1["m"]).await;
    }
    testing::eventually("strange ones are set aside", async || {
        worker.dead_letters("worker").ids().await.unwrap().len() == PARTITIONS - 1
    })
    .await;
    gate.open_up();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().result, "worker");
    }
    nothing_is_left(&config, "worker").await;
    assert_eq!(gate.started(), 8);
}
