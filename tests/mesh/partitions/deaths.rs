//! What becomes of the requests in partitions when replicas die, or Redis loses them.

use super::{PARTITIONS, config, exist, nothing_is_left, part, queued, stream, with};
use crate::{
    command, knows, outcome,
    process::{Replica, jobs, ran},
    sees_replicas,
    services::{Gate, Named},
    start,
    wire::{self, request},
};
use rachis::{App, Config, config::Linger};
use rachis_testing as testing;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

#[tokio::test]
async fn what_a_killed_replica_had_of_every_partition_is_run_again_where_it_may_and_only_there() {
    let config = config();
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let many = PARTITIONS as u64 * 4;
    let jobs_there = caller.service("jobs");
    let gets: Vec<_> = (0..many).map(|_| tokio::spawn(jobs_there.get(1).answer())).collect();
    let creates: Vec<_> = (0..many).map(|n| tokio::spawn(jobs_there.create(n).answer())).collect();
    for method in ["get", "create"] {
        testing::eventually("all have begun", async || ran(&config, method).await == many).await;
    }
    assert!(queued(&config, "worker").await.iter().all(|length| *length == many / 2), "in every partition");
    let heir = jobs(&config, "worker", true).await;
    sees_replicas(&caller, "jobs", 2).await;
    assert_eq!(heir.queue_length().await.unwrap(), many * 2);
    doomed.kill();
    for get in gets {
        assert_eq!(get.await.unwrap().unwrap().result, std::process::id());
    }
    for create in creates {
        assert_eq!(outcome(&create.await.unwrap().unwrap_err()), "unknown");
    }
    assert_eq!((ran(&config, "get").await, ran(&config, "create").await), (many * 2, many));
    nothing_is_left(&config, "worker").await;
}

#[tokio::test]
async fn a_replica_with_one_partition_inherits_from_one_with_several() {
    let config = config();
    let mut doomed = Replica::spawn(&config, "worker", false);
    let heir = jobs(&with(&config, 1), "worker", true).await;
    testing::eventually("they know each other", async || heir.nodes().len() == 2).await;
    for id in 0..12 {
        let frame = request(id, "jobs", "find", Duration::from_secs(60));
        wire::send(&config, &part("worker", id as usize % PARTITIONS), &frame).await;
    }
    testing::eventually("all have begun", async || ran(&config, "find").await == 12).await;
    doomed.kill();
    testing::eventually("all are answered", async || wire::replies(&config).await.len() == 12).await;
    nothing_is_left(&config, "worker").await;
}

#[tokio::test]
async fn what_the_last_replica_had_of_any_partition_is_not_waited_for() {
    let config = Config { linger: Linger::Forever, ..config() };
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let creates: Vec<_> = (0..8).map(|n| tokio::spawn(caller.service("jobs").create(n).answer())).collect();
    testing::eventually("all have begun", async || ran(&config, "create").await == 8).await;
    doomed.kill();
    for create in creates {
        let error = create.await.unwrap().unwrap_err();
        assert_eq!((error.code(), outcome(&error)), (503, "unknown"));
        assert!(error.message().contains("none is left"), "{error}");
    }
    assert_eq!(queued(&config, "worker").await, [2; PARTITIONS], "for the next replica to judge");
}

#[tokio::test]
async fn what_redis_lost_of_any_partition_is_not_waited_for() {
    let redis = testing::ThrowawayRedis::start().unwrap();
    let timeout = Duration::from_secs(15);
    let config = Config { partitions: PARTITIONS, timeout, ..testing::config_for(&redis.url()) };
    let gate = Gate::closed("worker");
    let _worker = start(&config, "worker", App::new().register("todos", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let todos = caller.service("todos");
    let creates: Vec<_> = (0..8).map(|n| tokio::spawn(todos.create(n).answer())).collect();
    let gets: Vec<_> = (0..8).map(|n| tokio::spawn(todos.get(n).answer())).collect();
    testing::eventually("all have begun", async || gate.started() == 16).await;
    assert_eq!(queued(&config, "worker").await, [4; PARTITIONS]);
    command(&config, &["FLUSHALL"]).await.unwrap();
    for create in creates {
        assert_eq!(outcome(&create.await.unwrap().unwrap_err()), "unknown");
    }
    testing::eventually("what may run twice has", async || gate.started() == 24).await;
    gate.open_up();
    for get in gets {
        assert_eq!(get.await.unwrap().unwrap().result, "worker");
    }
}

#[tokio::test]
async fn after_a_flush_all_partitions_are_made_anew() {
    let redis = testing::ThrowawayRedis::start().unwrap();
    let config = Config { partitions: PARTITIONS, ..testing::config_for(&redis.url()) };
    let _worker = start(&config, "worker", App::new().register("todos", Named("worker"))).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    command(&config, &["FLUSHALL"]).await.unwrap();
    testing::eventually("all are there again", async || exist(&config, "worker").await == [true; PARTITIONS]).await;
    for n in 0..PARTITIONS * 2 {
        assert_eq!(caller.service("todos").create(n).await.unwrap(), "worker");
    }
}

#[tokio::test]
async fn dead_letters_of_all_partitions_are_found_replayed_and_dropped() {
    let mut config = config();
    config.limits.max_deliveries = 1;
    start(&config, "worker", App::new()).await.shutdown().await.unwrap();
    for number in 0..PARTITIONS {
        let frame = request(number as u64, "todos", "find", Duration::from_secs(60));
        wire::send(&config, &part("worker", number), &frame).await;
        wire::send(&config, &part("worker", number), b"garbage").await;
        let stream = stream(&config, "worker", number);
        let give = ["XREADGROUP", "GROUP", "replicas", "ghost", "COUNT", "1", "STREAMS", &stream, ">"];
        command(&config, &give).await.unwrap();
    }
    // Whoever finds them has fewer partitions by now.
    let node = start(&with(&config, 1), "worker", App::new().register("todos", Named("now"))).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let letters = caller.dead_letters("worker");
    testing::eventually("all are set aside", async || letters.ids().await.unwrap().len() == 2 * PARTITIONS).await;
    testing::eventually("the partitions are gone", async || !exist(&config, "worker").await[1]).await;

    let listed = letters.list(100).await.unwrap();
    let ids: Vec<String> = listed.iter().rev().map(|letter| letter.id.clone()).collect();
    assert_eq!(listed.iter().map(|letter| &letter.id).collect::<BTreeSet<_>>().len(), 2 * PARTITIONS);
    assert!(listed.is_sorted_by_key(|letter| std::cmp::Reverse(letter.set_aside)), "the newest first");
    assert_eq!(letters.list(3).await.unwrap(), listed[..3]);
    let oldest = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(oldest(&letters.ids().await.unwrap()), oldest(&ids));
    for letter in &listed {
        assert_eq!(letters.get(&letter.id).await.unwrap(), *letter);
        assert_eq!(letter.set_aside_by, node.id());
    }
    for number in 1..PARTITIONS {
        assert_eq!(ids.iter().filter(|id| id.ends_with(&format!(".{number}"))).count(), 2, "{ids:?}");
    }
    let with_calls: Vec<_> = listed.iter().filter(|letter| letter.call.is_some()).collect();
    assert_eq!(with_calls.len(), PARTITIONS);
    for letter in with_calls {
        let replay = letters.replay(&letter.id).await.unwrap();
        assert_eq!((replay.outcome.unwrap(), replay.removed), (json!("now"), true));
    }
    let left = letters.ids().await.unwrap();
    assert_eq!(left.len(), PARTITIONS);
    assert!(
        letters.remove(left.last().unwrap()).await.unwrap() && !letters.remove(left.last().unwrap()).await.unwrap()
    );
    for unknown in ["1-0.0", "1-0.64", "1-0.x", "x.1", "1-0.1"] {
        assert_eq!(letters.get(unknown).await.unwrap_err().code(), 404, "{unknown}");
        assert!(!letters.remove(unknown).await.unwrap(), "{unknown}");
    }
    assert_eq!(letters.clear().await.unwrap(), PARTITIONS as u64 - 1);
    assert!(letters.list(9).await.unwrap().is_empty());
}
