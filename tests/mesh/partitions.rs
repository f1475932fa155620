//! An app whose requests are spread over several streams: the same promises, whichever one a request takes.

use crate::{
    calls_of, command, knows, outcome,
    process::{Replica, jobs, ran},
    redis_of, sees_replicas,
    services::{Gate, Named},
    start,
    wire::{self, request},
};
use futures_util::future::join_all;
use rachis::{App, Config, Error, Method, Node, Params, Registration, Result, Service, config::Linger, testing};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

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

/// Writes down each creation as it runs.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<BTreeMap<u64, usize>>>);

impl Service for Journal {
    const METHODS: &[Method] = &[Method::Create];

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        *self.0.lock().unwrap().entry(data.as_u64().unwrap()).or_default() += 1;
        // So that replicas leave in the middle of it.
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok(data)
    }
}

/// Calls all the time, until it is told to stop.
struct Load {
    going: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    callers: Vec<tokio::task::JoinHandle<Vec<Error>>>,
}

impl Load {
    fn start(caller: &Node) -> Load {
        let (going, next) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let callers = (0..16).map(|_| {
            let (caller, going, next) = (caller.clone(), going.clone(), next.clone());
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while going.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    failed.extend(caller.service("journal").create(number).await.err());
                }
                failed
            })
        });
        let callers = callers.collect();
        Load { going, next, callers }
    }

    /// Waits until so many more calls were made.
    async fn goes_on(&self, calls: u64) {
        let from = self.next.load(Ordering::Relaxed);
        testing::eventually("calls go on", async || self.next.load(Ordering::Relaxed) >= from + calls).await;
    }

    /// Ends, and sees that every call was answered and ran once.
    async fn was_served(self, journal: &Journal) {
        self.going.store(false, Ordering::Relaxed);
        let failed: Vec<Error> = join_all(self.callers).await.into_iter().flat_map(|errors| errors.unwrap()).collect();
        assert!(failed.is_empty(), "{} failed, e.g. {}", failed.len(), failed[0]);
        let ran = journal.0.lock().unwrap();
        assert_eq!(ran.len() as u64, self.next.load(Ordering::Relaxed));
        assert!(ran.values().all(|times| *times == 1), "ran twice");
    }
}

#[tokio::test]
async fn no_call_is_lost_or_run_twice_while_replicas_with_more_partitions_take_over() {
    let config = with(&config(), 1);
    let journal = Journal::default();
    let app = || App::new().register("journal", journal.clone());
    let old = [start(&config, "worker", app()).await, start(&config, "worker", app()).await];
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "journal", 2).await;
    let load = Load::start(&caller);
    load.goes_on(100).await;
    assert_eq!(exist(&config, "worker").await, [true, false, false, false]);
    let mut new = Vec::new();
    for old in old {
        new.push(start(&with(&config, PARTITIONS), "worker", app()).await);
        load.goes_on(100).await;
        assert_eq!(added(&config, "worker").await[1..], [0; 3], "not before all replicas say so");
        old.shutdown().await.unwrap();
    }
    testing::eventually("all are used", async || added(&config, "worker").await.iter().all(|count| *count > 50)).await;
    load.was_served(&journal).await;
    nothing_is_left(&config, "worker").await;
}

#[tokio::test]
async fn no_call_is_lost_or_run_twice_while_replicas_with_fewer_partitions_take_over() {
    let config = config();
    let journal = Journal::default();
    let app = || App::new().register("journal", journal.clone());
    let old = [start(&config, "worker", app()).await, start(&config, "worker", app()).await];
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "journal", 2).await;
    let load = Load::start(&caller);
    load.goes_on(200).await;
    let mut new = Vec::new();
    for old in old {
        new.push(start(&with(&config, 1), "worker", app()).await);
        load.goes_on(100).await;
        old.shutdown().await.unwrap();
        load.goes_on(100).await;
    }
    testing::eventually("the others are gone", async || exist(&config, "worker").await == [true, false, false, false])
        .await;
    load.goes_on(100).await;
    load.was_served(&journal).await;
    assert_eq!(new[0].queue_length().await.unwrap(), 0);
}

#[tokio::test]
async fn no_call_is_lost_while_all_replicas_stop_and_come_back_with_fewer_partitions() {
    let config = Config { linger: Linger::Forever, ..config() };
    let journal = Journal::default();
    let app = || App::new().register("journal", journal.clone());
    let caller = start(&config, "caller", App::new()).await;
    let mut worker = start(&config, "worker", app()).await;
    knows(&caller, "journal").await;
    let load = Load::start(&caller);
    for partitions in [1, 3, 1, 4] {
        load.goes_on(100).await;
        worker.shutdown().await.unwrap();
        worker = start(&with(&config, partitions), "worker", app()).await;
    }
    load.goes_on(100).await;
    load.was_served(&journal).await;
    testing::eventually("nothing is left", async || worker.queue_length().await.unwrap() == 0).await;
}

#[tokio::test]
async fn requests_in_partitions_that_nobody_announces_are_answered_and_the_partitions_removed() {
    let config = config();
    start(&config, "worker", App::new()).await.shutdown().await.unwrap();
    for number in 0..PARTITIONS {
        let frame = request(number as u64, "todos", "create", Duration::from_secs(60));
        wire::send(&config, &part("worker", number), &frame).await;
    }
    // One of them was given to a replica that is gone.
    let last = stream(&config, "worker", PARTITIONS - 1);
    command(&config, &["XREADGROUP", "GROUP", "replicas", "ghost", "STREAMS", &last, ">"]).await.unwrap();
    let gate = Gate::closed("one");
    let app = || App::new().register("todos", gate.clone());
    let _one = start(&with(&config, 1), "worker", app()).await;
    let _two = start(&with(&config, 1), "worker", app()).await;
    testing::eventually("the ghost's is answered, the others are begun", async || {
        gate.running() == PARTITIONS - 1 && wire::replies(&config).await.len() == 1
    })
    .await;
    tokio::time::sleep(config.ttl() + config.heartbeat_interval).await;
    assert_eq!(exist(&config, "worker").await, [true, true, true, false], "none goes with a request in it");
    gate.open_up();
    testing::eventually("all are answered", async || wire::replies(&config).await.len() == PARTITIONS).await;
    testing::eventually("the others are gone", async || exist(&config, "worker").await == [true, false, false, false])
        .await;
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
    assert!(listed.is_sorted_by_key(|letter| std::cmp::Reverse(letter.buried)), "the newest first");
    assert_eq!(letters.list(3).await.unwrap(), listed[..3]);
    let oldest = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(oldest(&letters.ids().await.unwrap()), oldest(&ids));
    for letter in &listed {
        assert_eq!(letters.get(&letter.id).await.unwrap(), *letter);
        assert_eq!(letter.buried_by, node.id());
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
async fn a_call_that_finds_its_partition_gone_takes_the_first() {
    let config = config();
    let caller = start(&config, "caller", App::new()).await;
    let replica = Replica::spawn(&config, "worker", true);
    knows(&caller, "jobs").await;
    assert_ne!(caller.service("jobs").get(1).await.unwrap(), std::process::id());
    // Nobody makes them anew meanwhile, and the caller has not heard that they are gone.
    replica.signal("STOP");
    testing::eventually("it stands still", async || replica.is_stopped()).await;
    for number in 1..PARTITIONS {
        command(&config, &["DEL", &stream(&config, "worker", number)]).await.unwrap();
    }
    let calls: Vec<_> = (0..8).map(|n| tokio::spawn(caller.service("jobs").create(n).answer())).collect();
    testing::eventually("all wait in the first", async || queued(&config, "worker").await == [8, 0, 0, 0]).await;
    replica.signal("CONT");
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(ran(&config, "create").await, 8);
    testing::eventually("all are there again", async || exist(&config, "worker").await == [true; PARTITIONS]).await;
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
