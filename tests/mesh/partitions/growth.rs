//! The number of partitions changes under load, up and down: no call is lost or run twice.

use super::{PARTITIONS, added, config, exist, nothing_is_left, part, queued, stream, with};
use crate::{
    command, knows,
    process::{Replica, ran},
    sees_replicas,
    services::Gate,
    start,
    wire::{self, request},
};
use futures_util::future::join_all;
use rachis::{App, Config, Error, Method, Node, Params, Result, Service, config::Linger};
use rachis_testing as testing;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

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
        let going = Arc::new(AtomicBool::new(true));
        let next = Arc::new(AtomicU64::new(0));
        let callers = (0..16).map(|_| {
            let caller = caller.clone();
            let going = going.clone();
            let next = next.clone();
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
