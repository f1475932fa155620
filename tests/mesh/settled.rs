//! How a request leaves its stream, and what is in between.

use crate::{
    calls_of, command,
    process::ran,
    process::{Jobs, jobs},
    proxy::Proxy,
    queued, redis_of, start,
    wire::{self, request},
};
use rachis::{App, Config, Node};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);
const CANCEL: &str = include_str!("../../crates/rachis-mesh/src/redis/scripts/cancel.lua");

async fn is_withdrawn(config: &Config, entry: &str) -> bool {
    let mut cancel = redis::cmd("EVAL");
    cancel.arg(CANCEL).arg(1).arg(calls_of(config, "worker")).arg("replicas").arg(entry);
    let withdrawn: redis::Value = cancel.query_async(&mut redis_of(config).await).await.unwrap();
    withdrawn == redis::Value::Int(1)
}

async fn pending(config: &Config) -> usize {
    type Pending = Vec<(String, String, u64, u64)>;
    let mut pending = redis::cmd("XPENDING");
    pending.arg(calls_of(config, "worker")).arg("replicas").arg("-").arg("+").arg(10);
    let pending: Pending = pending.query_async(&mut redis_of(config).await).await.unwrap();
    pending.len()
}

/// A worker that is cut off while it settles a request, and the entry of that.
async fn cut_off(redis: &ThrowawayRedis, config: &Config) -> (Node, Proxy, String) {
    let proxy = Proxy::before(redis).await;
    let mut spoilt = config.clone();
    spoilt.redis.url = proxy.url().into();
    let service = Jobs { config: config.clone(), works: true };
    let worker = start(&spoilt, "worker", App::new().register("jobs", service)).await;
    wire::send(config, "worker", &request(1, "jobs", "find", LONG)).await;
    testing::eventually("it works", async || queued(config, "worker").await == 0 && pending(config).await == 0).await;
    proxy.cut_between([b"\r\nXACK\r\n", b"\r\nXDEL\r\n"]);
    let entry = wire::send(config, "worker", &request(2, "jobs", "create", LONG)).await;
    testing::eventually("it is cut off", async || proxy.cuts() > 0).await;
    proxy.swallow();
    testing::eventually("it ran", async || ran(config, "create").await == 1).await;
    (worker, proxy, entry)
}

#[tokio::test]
async fn a_request_that_ran_can_not_be_withdrawn_at_any_moment_of_its_settling() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let (_worker, _proxy, entry) = cut_off(&redis, &config).await;
    assert!(!is_withdrawn(&config, &entry).await, "it ran");
}

#[tokio::test]
async fn what_a_replica_settled_by_half_and_left_is_cleared_away_by_the_next() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let (worker, _proxy, _) = cut_off(&redis, &config).await;
    drop(worker);
    let _next = jobs(&config, "worker", true).await;
    let clean = async || queued(&config, "worker").await == 0 && pending(&config).await == 0;
    testing::eventually("nothing is left", clean).await;
    assert_eq!(ran(&config, "create").await, 1);
}

#[tokio::test]
async fn a_request_is_not_withdrawn_while_nobody_can_tell_who_had_it() {
    let config = testing::config();
    let stream = calls_of(&config, "worker");
    let entry = wire::send(&config, "worker", &request(1, "jobs", "create", LONG)).await;
    assert!(!is_withdrawn(&config, &entry).await, "there is no group");
    command(&config, &["XGROUP", "CREATE", &stream, "replicas", "0"]).await.unwrap();
    assert!(is_withdrawn(&config, &entry).await, "nobody has it");
}

/// Lets the stream forget everything, as a master that has missed it would have, and puts a request there under an id.
async fn put_under(config: &Config, entry: &str, frame: &[u8]) {
    let stream = calls_of(config, "worker");
    let mut anew = redis::pipe();
    anew.atomic().cmd("DEL").arg(&stream).ignore();
    anew.cmd("XGROUP").arg("CREATE").arg(&stream).arg("replicas").arg("0").arg("MKSTREAM").ignore();
    anew.cmd("XADD").arg(&stream).arg(entry).arg("m").arg(frame).ignore();
    anew.exec_async(&mut redis_of(config).await).await.unwrap();
}

#[tokio::test]
async fn another_request_under_the_id_of_a_finished_one_runs_and_is_answered_by_its_own_reply() {
    let config = testing::config();
    let _worker = jobs(&config, "worker", true).await;
    let entry = wire::send(&config, "worker", &request(1, "jobs", "create", LONG)).await;
    testing::eventually("it is answered", async || wire::replies(&config).await.len() == 1).await;
    testing::eventually("it is settled", async || queued(&config, "worker").await == 0).await;
    put_under(&config, &entry, &request(2, "jobs", "create", LONG)).await;
    testing::eventually("the other is answered", async || wire::replies(&config).await.len() == 2).await;
    let numbers: Vec<u64> = wire::replies(&config).await.iter().map(|reply| reply.0).collect();
    assert_eq!((numbers, ran(&config, "create").await), (vec![1, 2], 2));
    put_under(&config, &entry, &request(2, "jobs", "create", LONG)).await;
    testing::eventually("the same again is settled", async || queued(&config, "worker").await == 0).await;
    assert_eq!(ran(&config, "create").await, 2);
}

#[tokio::test]
async fn a_replica_that_leaves_does_not_hand_back_what_it_has_finished() {
    let config = testing::config();
    let worker = jobs(&config, "worker", true).await;
    let frame = request(1, "jobs", "create", LONG);
    let entry = wire::send(&config, "worker", &frame).await;
    testing::eventually("it is answered", async || wire::replies(&config).await.len() == 1).await;
    testing::eventually("it is settled", async || queued(&config, "worker").await == 0).await;
    // A master that lacks the last writes takes over: what was settled is given and not settled.
    let stream = calls_of(&config, "worker");
    let mut back = redis::pipe();
    back.atomic().cmd("DEL").arg(&stream).ignore();
    back.cmd("XGROUP").arg("CREATE").arg(&stream).arg("replicas").arg("0").arg("MKSTREAM").ignore();
    back.cmd("XADD").arg(&stream).arg(&entry).arg("m").arg(&frame).ignore();
    let read = ["GROUP", "replicas", worker.id(), "COUNT", "1", "STREAMS", &stream, ">"];
    back.cmd("XREADGROUP").arg(&read).ignore();
    back.exec_async(&mut redis_of(&config).await).await.unwrap();
    worker.shutdown().await.unwrap();
    assert_eq!(queued(&config, "worker").await, 0);
    let _next = jobs(&config, "worker", true).await;
    wire::send(&config, "worker", &request(2, "jobs", "find", LONG)).await;
    testing::eventually("the next works", async || ran(&config, "find").await == 1).await;
    assert_eq!(ran(&config, "create").await, 1);
}

#[tokio::test]
async fn a_request_that_was_given_out_and_could_not_be_deleted_is_cleared_away_and_not_called_unstarted() {
    let config = testing::config();
    let stream = calls_of(&config, "worker");
    command(&config, &["XGROUP", "CREATE", &stream, "replicas", "0", "MKSTREAM"]).await.unwrap();
    let settled = wire::send(&config, "worker", &request(1, "jobs", "create", LONG)).await;
    let read = ["XREADGROUP", "GROUP", "replicas", "one", "COUNT", "1", "STREAMS", &stream, ">"];
    command(&config, &read).await.unwrap();
    // As where a rule of the ACL forbids XDEL for a while.
    command(&config, &["XACK", &stream, "replicas", &settled]).await.unwrap();
    let waiting = wire::send(&config, "worker", &request(2, "jobs", "create", LONG)).await;
    assert!(!is_withdrawn(&config, &settled).await, "a replica had it");
    assert_eq!(queued(&config, "worker").await, 1);
    assert!(is_withdrawn(&config, &waiting).await, "nobody had this one");
}
