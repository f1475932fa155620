//! An app whose requests are spread over several streams: the same promises, whichever one a request takes.

mod deaths;
mod growth;
mod keys;

use crate::{
    calls_of, command, knows, outcome, redis_of, sees_replicas,
    services::{Gate, Named},
    start,
    wire::{self, request},
};
use futures_util::future::join_all;
use rachis::{App, Config, Registration, config::Linger};
use rachis_testing as testing;
use std::{collections::BTreeSet, time::Duration};

const PARTITIONS: usize = 4;

fn config() -> Config {
    Config { timeout: Duration::from_secs(15), partitions: PARTITIONS, ..testing::config() }
}

/// The same mesh, but nodes that announce so many.
fn with(config: &Config, partitions: usize) -> Config {
    Config { partitions, ..config.clone() }
}

/// The app's name, as the keys of one of its partitions have it.
fn part(app: &str, number: usize) -> String {
    if number == 0 { app.to_owned() } else { format!("{app}/{number}") }
}

fn stream(config: &Config, app: &str, number: usize) -> String {
    calls_of(config, &part(app, number))
}

/// How many requests stand in each stream.
async fn queued(config: &Config, app: &str) -> Vec<u64> {
    let mut lengths = Vec::new();
    for number in 0..PARTITIONS {
        lengths.push(crate::queued(config, &part(app, number)).await);
    }
    lengths
}

/// How many requests were ever added to each stream.
async fn added(config: &Config, app: &str) -> Vec<i64> {
    let mut all = Vec::new();
    for number in 0..PARTITIONS {
        let info = command(config, &["XINFO", "STREAM", &stream(config, app, number)]).await.unwrap();
        let info: std::collections::HashMap<String, redis::Value> = redis::from_redis_value(info).unwrap();
        all.push(redis::from_redis_value(info["entries-added"].clone()).unwrap());
    }
    all
}

async fn exist(config: &Config, app: &str) -> Vec<bool> {
    let mut all = Vec::new();
    for number in 0..PARTITIONS {
        let mut exists = redis::cmd("EXISTS");
        all.push(exists.arg(stream(config, app, number)).query_async(&mut redis_of(config).await).await.unwrap());
    }
    all
}

async fn nothing_is_left(config: &Config, app: &str) {
    testing::eventually("nothing is left", async || queued(config, app).await == [0; PARTITIONS]).await;
}

#[tokio::test]
async fn calls_take_all_partitions_in_turn_and_every_replica_answers_from_all() {
    let config = config();
    let one = start(&config, "worker", App::new().register("todos", Named("one"))).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    for n in 0..40 {
        assert_eq!(caller.service("todos").create(n).await.unwrap(), "one");
    }
    assert_eq!(added(&config, "worker").await, [10; PARTITIONS]);
    let two = start(&config, "worker", App::new().register("todos", Named("two"))).await;
    sees_replicas(&caller, "todos", 2).await;
    let answers = join_all((0..200).map(|n| caller.service("todos").get(n).answer())).await;
    let names: BTreeSet<String> = answers.into_iter().map(|a| a.unwrap().result.as_str().unwrap().to_owned()).collect();
    assert!(names.is_subset(&["one".to_owned(), "two".to_owned()].into()), "{names:?}");
    one.shutdown().await.unwrap();
    for n in 0..8 {
        assert_eq!(caller.service("todos").get(n).await.unwrap(), "two");
    }
    nothing_is_left(&config, "worker").await;
    assert_eq!(two.queue_length().await.unwrap(), 0);
}

#[tokio::test]
async fn a_call_in_any_partition_is_handed_on_to_a_replica_that_has_the_method() {
    let config = config();
    let old = App::new().register("todos", Registration::from(Named("old")).methods(["find"]));
    let _old = start(&config, "worker", old).await;
    let _new = start(&with(&config, 1), "worker", App::new().register("todos", Named("new"))).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "todos", 2).await;
    for id in 0..40 {
        let frame = request(id, "todos", "create", Duration::from_secs(60));
        wire::send(&config, &part("worker", id as usize % PARTITIONS), &frame).await;
    }
    testing::eventually("all are answered", async || wire::replies(&config).await.len() == 40).await;
    for (_, reply) in wire::replies(&config).await {
        assert_eq!(reply["Answer"][0], "new", "{reply}");
    }
    nothing_is_left(&config, "worker").await;
}

#[tokio::test]
async fn all_partitions_together_run_no_more_than_max_in_flight_however_few() {
    for (slots, partitions) in [(1, 4), (2, 4), (5, 3), (9, 2)] {
        let mut config = with(&config(), partitions);
        config.limits.max_in_flight = slots;
        let gate = Gate::closed("worker");
        let worker = start(&config, "worker", App::new().register("todos", gate.clone())).await;
        let caller = start(&config, "caller", App::new()).await;
        knows(&caller, "todos").await;
        let calls: Vec<_> = (0..20).map(|n| tokio::spawn(caller.service("todos").get(n).answer())).collect();
        testing::eventually("every slot is taken", async || gate.running() == slots).await;
        testing::eventually("the others wait", async || worker.queue_length().await.unwrap() == 20).await;
        gate.open_up();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!((gate.most(), gate.started()), (slots, 20));
    }
}

#[tokio::test]
async fn a_request_that_its_caller_gave_up_is_withdrawn_from_whichever_partition() {
    let mut config = config();
    config.limits.max_in_flight = 1;
    let gate = Gate::closed("worker");
    let worker = start(&config, "worker", App::new().register("todos", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let busy = tokio::spawn(caller.service("todos").get(0).answer());
    testing::eventually("it is busy", async || gate.started() == 1).await;
    let short = Duration::from_millis(300);
    let calls = (0..8).map(|n| caller.service("todos").create(n).timeout(short).answer());
    for answer in join_all(calls).await {
        assert_eq!(outcome(&answer.unwrap_err()), "never ran");
    }
    let calls: Vec<_> = (0..8).map(|n| tokio::spawn(caller.service("todos").create(n).answer())).collect();
    testing::eventually("they wait", async || worker.queue_length().await.unwrap() == 9).await;
    calls.iter().for_each(|call| call.abort());
    testing::eventually("they are gone", async || worker.queue_length().await.unwrap() == 1).await;
    gate.open_up();
    busy.await.unwrap().unwrap();
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_full_partition_is_passed_over_until_all_are() {
    // A third of it bounds the attempts to connect: a request that can not be taken back in time is left in the queue.
    let ttl = Some(Duration::from_secs(30));
    let mut config = Config { linger: Linger::Forever, ttl, ..config() };
    config.limits.max_queue = 3;
    config.limits.max_in_flight = 1;
    let gate = Gate::closed("worker");
    let worker = start(&config, "worker", App::new().register("todos", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let waiting: Vec<_> = (0..12).map(|n| tokio::spawn(caller.service("todos").get(n).answer())).collect();
    testing::eventually("all are full", async || worker.queue_length().await.unwrap() == 12).await;
    let errors = join_all((0..8).map(|n| caller.service("todos").create(n).answer())).await;
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!((error.code(), outcome(&error)), (429, "never ran"));
    }
    assert_eq!(queued(&config, "worker").await, [3; PARTITIONS]);
    gate.open_up();
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}
