//! Replicas that die in the middle of their work.

use crate::{
    calls_of, command, dead_letters, knows, outcome,
    process::{Replica, jobs, ran},
    queued, sees_replicas, start,
    wire::{self, request},
};
use rachis::{App, Config, ErrorKind, config::Linger};
use rachis_testing as testing;
use serde_json::json;
use std::time::Duration;

fn config() -> Config {
    Config { timeout: Duration::from_secs(15), ..testing::config() }
}

#[tokio::test]
async fn calls_that_may_run_twice_are_answered_by_another_replica_when_theirs_is_killed() {
    let config = config();
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let jobs_there = caller.service("jobs");
    let calls = [
        ("find", jobs_there.find()),
        ("get", jobs_there.get(1)),
        ("update", jobs_there.update(1, json!({}))),
        ("remove", jobs_there.remove(1)),
        ("recount", jobs_there.custom("recount", json!({}))),
    ];
    let calls: Vec<_> = calls.into_iter().map(|(method, call)| (method, tokio::spawn(call.answer()))).collect();
    for (method, _) in &calls {
        testing::eventually("it has begun", async || ran(&config, method).await == 1).await;
    }
    let _heir = jobs(&config, "worker", true).await;
    sees_replicas(&caller, "jobs", 2).await;
    doomed.kill();
    for (method, call) in calls {
        assert_eq!(call.await.unwrap().unwrap().result, std::process::id(), "{method}");
        assert_eq!(ran(&config, method).await, 2, "{method}");
    }
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn calls_that_may_not_run_twice_fail_with_an_unknown_outcome_and_ran_once() {
    let config = config();
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let jobs_there = caller.service("jobs");
    let calls = [
        ("create", jobs_there.create(json!({}))),
        ("patch", jobs_there.patch(1, json!({}))),
        ("charge", jobs_there.custom("charge", json!({}))),
    ];
    let calls: Vec<_> = calls.into_iter().map(|(method, call)| (method, tokio::spawn(call.answer()))).collect();
    for (method, _) in &calls {
        testing::eventually("it has begun", async || ran(&config, method).await == 1).await;
    }
    let _heir = jobs(&config, "worker", true).await;
    sees_replicas(&caller, "jobs", 2).await;
    doomed.kill();
    for (method, call) in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.code(), outcome(&error)), (ErrorKind::Unavailable, 503, "unknown"), "{method}");
        assert_eq!(ran(&config, method).await, 1, "{method}");
    }
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn what_a_killed_replica_had_is_taken_up_by_the_first_that_comes_after_it() {
    let mut config = config();
    config.linger = Linger::Forever;
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let get = caller.service("jobs").get(1);
    let create = caller.service("jobs").create(json!({}));
    let get = tokio::spawn(get.answer());
    let create = tokio::spawn(create.answer());
    for method in ["get", "create"] {
        testing::eventually("it has begun", async || ran(&config, method).await == 1).await;
    }
    doomed.kill();
    testing::eventually("it is believed dead", async || caller.nodes().len() == 1).await;
    let _next = jobs(&config, "worker", true).await;
    assert_eq!(get.await.unwrap().unwrap().result, std::process::id());
    assert_eq!(outcome(&create.await.unwrap().unwrap_err()), "unknown");
    assert_eq!((ran(&config, "get").await, ran(&config, "create").await), (2, 1));
}

#[tokio::test]
async fn a_request_that_no_replica_survives_is_set_aside_as_a_dead_letter() {
    let mut config = config();
    config.limits.max_deliveries = 2;
    let frame = request(1, "jobs", "find", Duration::from_secs(60));
    start(&config, "worker", App::new()).await.shutdown().await.unwrap();
    let entry = wire::send(&config, "worker", &frame).await;
    for _ in 0..2 {
        let before = ran(&config, "find").await;
        let mut doomed = Replica::spawn(&config, "worker", false);
        testing::eventually("it has begun", async || ran(&config, "find").await == before + 1).await;
        doomed.kill();
    }
    let survivor = jobs(&config, "worker", true).await;
    testing::eventually("it is set aside", async || dead_letters(&config, "worker").await.len() == 1).await;
    testing::eventually("its caller is told", async || wire::replies(&config).await.len() == 1).await;
    let letter = survivor.dead_letters("worker").list(9).await.unwrap().remove(0);
    assert!(letter.reason.contains("find on 'jobs' was given to 2 replicas"), "{}", letter.reason);
    let call = letter.call.unwrap();
    assert_eq!((call.path.as_str(), call.method.name(), call.caller.as_str()), ("jobs", "find", "nobody"));
    assert_eq!((letter.deliveries, letter.size), (3, frame.len() as u64));
    assert_eq!((letter.set_aside_by.as_str(), letter.queued), (survivor.id(), crate::entry_ms(&entry)));
    assert!(letter.replica != survivor.id() && letter.set_aside > letter.queued, "the last that died with it");
    let failure = &wire::replies(&config).await[0].1["Failure"];
    assert_eq!((crate::text(failure, "name"), &failure["data"]["outcome"]), ("Unavailable".into(), &json!("unknown")));
    assert_eq!((queued(&config, "worker").await, ran(&config, "find").await), (0, 2));
}

#[tokio::test]
async fn what_was_taken_over_and_not_begun_is_not_begun_by_a_third_as_if_it_were_new() {
    let mut config = config();
    config.limits.max_in_flight = 1;
    config.shutdown.grace = Duration::from_millis(300);
    let caller = start(&config, "caller", App::new()).await;
    // A replica that had a `create` and is gone, and one that is too busy to look at what it took over.
    let busy = jobs(&config, "worker", false).await;
    knows(&caller, "jobs").await;
    let _long = tokio::spawn(caller.service("jobs").get(1).answer());
    testing::eventually("it is busy", async || ran(&config, "get").await == 1).await;
    let stream = calls_of(&config, "worker");
    let entry = wire::send(&config, "worker", &request(7, "jobs", "create", Duration::from_secs(60))).await;
    let taken = ["XREADGROUP", "GROUP", "replicas", "ghost", "COUNT", "1", "STREAMS", &stream, ">"];
    command(&config, &taken).await.unwrap();
    let heir = busy.id().to_owned();
    command(&config, &["XCLAIM", &stream, "replicas", &heir, "0", &entry]).await.unwrap();
    let _third = jobs(&config, "worker", true).await;
    let leaving = tokio::spawn(async move { busy.shutdown().await });
    testing::eventually("its caller is told", async || !wire::replies(&config).await.is_empty()).await;
    let failure = wire::replies(&config).await[0].1["Failure"].clone();
    assert_eq!(failure["data"]["outcome"], "unknown", "{failure}");
    assert_eq!(ran(&config, "create").await, 0);
    drop(leaving);
}

#[tokio::test]
async fn a_replica_that_stood_still_does_not_inherit_from_itself() {
    let config = config();
    let caller = start(&config, "caller", App::new()).await;
    let replica = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let _call = tokio::spawn(caller.service("jobs").get(1).answer());
    testing::eventually("it has begun", async || ran(&config, "get").await == 1).await;
    replica.signal("STOP");
    testing::eventually("it is believed dead", async || !caller.health(None).unwrap()["jobs"]).await;
    replica.signal("CONT");
    testing::eventually("it is back", async || caller.health(None).unwrap()["jobs"]).await;
    let _second = tokio::spawn(caller.service("jobs").find().answer());
    type Pending = Vec<(String, String, u64, u64)>;
    let stream = calls_of(&config, "worker");
    let pending = async || -> Pending {
        let mut pending = redis::cmd("XPENDING");
        pending.arg(&stream).arg("replicas").arg("-").arg("+").arg(10);
        pending.query_async(&mut crate::redis_of(&config).await).await.unwrap()
    };
    testing::eventually("it takes another", async || pending().await.len() == 2).await;
    // It has looked for what to inherit by its next beat.
    tokio::time::sleep(config.heartbeat_interval * 2).await;
    let pending = pending().await;
    assert!(pending.iter().all(|entry| entry.3 == 1), "{pending:?}");
    assert_eq!((pending.len(), ran(&config, "get").await), (2, 1));
}

#[tokio::test]
async fn what_redis_gives_to_a_replica_that_stands_still_after_its_death_was_noticed_is_nobodys_loss() {
    // Reads would block for longer than anybody waits, if they could.
    let config = Config { timeout: Duration::from_secs(60), ..config() };
    let caller = start(&config, "caller", App::new()).await;
    let frozen = Replica::spawn_blocking(&config, "worker", true, Duration::from_secs(120));
    knows(&caller, "jobs").await;
    let _other = jobs(&config, "worker", true).await;
    sees_replicas(&caller, "jobs", 2).await;
    frozen.signal("STOP");
    testing::eventually("it is believed dead", async || crate::replicas(&caller, "jobs") == Some(1)).await;
    // Of two reads that block, Redis serves the older one first, which is that of the frozen one.
    for _ in 0..8 {
        let create = caller.service("jobs").create(json!({}));
        let created = tokio::time::timeout(Duration::from_secs(20), create).await;
        assert_eq!(created.expect("it is answered, or told of, long before its deadline").unwrap(), std::process::id());
    }
    assert_eq!(queued(&config, "worker").await, 0);
}

/// Lets `consumer` have what stands in the stream, as Redis would have given it to that one.
async fn give(config: &Config, consumer: &str, method: &str) -> String {
    let stream = calls_of(config, "worker");
    let frame = request(7, "jobs", method, Duration::from_secs(60));
    let mut connection = crate::redis_of(config).await;
    let mut given = redis::pipe();
    given.atomic();
    given.cmd("XADD").arg(&stream).arg("*").arg("m").arg(&frame);
    let read = ["XREADGROUP", "GROUP", "replicas", consumer, "COUNT", "1", "STREAMS", &stream, ">"];
    given.cmd(read[0]).arg(&read[1..]).ignore();
    let (entry,): (String,) = given.query_async(&mut connection).await.unwrap();
    entry
}

#[tokio::test]
async fn what_was_given_to_a_replica_that_nobody_knows_is_taken_over_though_no_death_was_told() {
    let config = config();
    let _worker = jobs(&config, "worker", true).await;
    // Both looks of the start are over.
    tokio::time::sleep(config.heartbeat_interval * 4).await;
    for method in ["find", "create"] {
        give(&config, "ghost", method).await;
    }
    testing::eventually("both callers are told", async || wire::replies(&config).await.len() == 2).await;
    let replies = wire::replies(&config).await;
    assert!(replies.iter().any(|(_, reply)| reply["Failure"]["data"]["outcome"] == "unknown"), "{replies:?}");
    assert_eq!((ran(&config, "find").await, ran(&config, "create").await), (1, 0));
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn what_a_replica_was_given_and_never_got_is_begun_all_the_same() {
    let config = config();
    let worker = jobs(&config, "worker", true).await;
    // The looks that follow upon a new connection are over.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for method in ["find", "create"] {
        give(&config, worker.id(), method).await;
    }
    testing::eventually("both callers are answered", async || wire::replies(&config).await.len() == 2).await;
    assert_eq!((ran(&config, "find").await, ran(&config, "create").await), (1, 1));
}

#[tokio::test]
async fn a_request_that_can_not_be_set_aside_stays_until_it_can_and_its_caller_is_told_at_once() {
    let config = config();
    let _worker = jobs(&config, "worker", true).await;
    let stream = calls_of(&config, "worker");
    let dead = crate::dead_of(&config, "worker");
    command(&config, &["SET", &dead, "no stream"]).await.unwrap();
    let entry = give(&config, "ghost", "find").await;
    command(&config, &["XCLAIM", &stream, "replicas", "ghost", "0", &entry, "RETRYCOUNT", "9", "JUSTID"])
        .await
        .unwrap();
    testing::eventually("its caller is told", async || !wire::replies(&config).await.is_empty()).await;
    let failure = wire::replies(&config).await[0].1["Failure"].clone();
    assert_eq!((crate::text(&failure, "name"), &failure["data"]["outcome"]), ("Unavailable".into(), &json!("unknown")));
    assert_eq!(queued(&config, "worker").await, 1, "it is not dropped");
    command(&config, &["DEL", &dead]).await.unwrap();
    testing::eventually("it is set aside", async || dead_letters(&config, "worker").await.len() == 1).await;
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
    assert_eq!(ran(&config, "find").await, 0);
}

#[tokio::test]
async fn a_replica_without_a_free_slot_keeps_what_it_works_on_when_the_group_is_destroyed() {
    let mut config = config();
    config.limits.max_in_flight = 1;
    let gate = crate::services::Gate::closed("busy");
    let busy = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "jobs").await;
    let get = tokio::spawn(caller.service("jobs").get(1).answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    let _idle = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    sees_replicas(&caller, "jobs", 2).await;
    let stream = calls_of(&config, "worker");
    command(&config, &["XGROUP", "DESTROY", &stream, "replicas"]).await.unwrap();
    type Pending = Vec<(String, String, u64, u64)>;
    let pending = async || -> Pending {
        let mut pending = redis::cmd("XPENDING");
        pending.arg(&stream).arg("replicas").arg("-").arg("+").arg(10);
        pending.query_async(&mut crate::redis_of(&config).await).await.unwrap_or_default()
    };
    let is_kept = async || pending().await.iter().any(|entry| entry.1 == busy.id());
    testing::eventually("it is its own again", is_kept).await;
    gate.open_up();
    assert_eq!(get.await.unwrap().unwrap().result, "busy");
    assert_eq!(gate.started(), 1);
}
