//! Leaving in good order.

use crate::{
    knows, queued, sees_replicas,
    services::{Gate, Named},
    start,
};
use futures_util::{FutureExt, future::join_all};
use rachis::{App, ErrorKind, Readiness};
use rachis_testing as testing;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

#[tokio::test]
async fn what_runs_is_finished_and_what_was_not_started_is_answered_by_another() {
    let mut config = testing::config();
    config.limits.max_in_flight = 2;
    let gate = Gate::closed("leaving");
    let leaving = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "jobs").await;
    let calls: Vec<_> = (0..6).map(|n| tokio::spawn(caller.service("jobs").create(n).answer())).collect();
    testing::eventually("two run", async || gate.started() == 2).await;
    testing::eventually("the others wait", async || queued(&config, "worker").await == 6).await;
    let ending = tokio::spawn({
        let leaving = leaving.clone();
        async move { leaving.shutdown().await }
    });
    testing::eventually("it drains", async || leaving.readiness() == Readiness::Draining).await;
    let _other = start(&config, "worker", App::new().register("jobs", Named("staying"))).await;
    testing::eventually("the other answered its part", async || {
        calls.iter().filter(|call| call.is_finished()).count() == 4
    })
    .await;
    assert!(!ending.is_finished(), "it waits for what runs");
    assert_eq!(leaving.in_flight(), 2);
    gate.open_up();
    ending.await.unwrap().unwrap();
    let answers = join_all(calls).await.into_iter().map(|call| call.unwrap().unwrap().result);
    let by_leaving = answers.filter(|answer| answer == "leaving").count();
    assert_eq!((by_leaving, gate.started()), (2, 2));
    testing::eventually("it is gone everywhere", async || caller.nodes().iter().all(|node| node.id != leaving.id()))
        .await;
    assert_eq!(queued(&config, "worker").await, 0);
}

#[tokio::test]
async fn a_node_that_drains_is_out_of_every_catalog_before_it_has_finished() {
    let config = testing::config();
    let gate = Gate::closed("leaving");
    let leaving = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let _other = start(&config, "worker", App::new().register("jobs", Named("other"))).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "jobs", 2).await;
    let calls: Vec<_> = (0..20).map(|n| tokio::spawn(caller.service("jobs").get(n).answer())).collect();
    testing::eventually("some run", async || gate.started() > 0).await;
    let ending = tokio::spawn(async move { leaving.shutdown().await });
    sees_replicas(&caller, "jobs", 1).await;
    assert!(!ending.is_finished());
    for n in 0..20 {
        assert_eq!(caller.service("jobs").get(n).await.unwrap(), "other");
    }
    gate.open_up();
    ending.await.unwrap().unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_still_runs_after_the_grace_is_said_and_left_to_the_others() {
    let mut config = testing::config();
    config.shutdown.grace = Duration::from_millis(200);
    let gate = Gate::closed("stuck");
    let stuck = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "jobs").await;
    let get = caller.service("jobs").get(1);
    let create = caller.service("jobs").create("x");
    let get = tokio::spawn(get.answer());
    let create = tokio::spawn(create.answer());
    testing::eventually("both run", async || gate.started() == 2).await;
    let _other = start(&config, "worker", App::new().register("jobs", Named("other"))).await;
    let asked = Instant::now();
    let error = stuck.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().starts_with("2 calls still ran after shutdown.grace (200ms)"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(get.await.unwrap().unwrap().result, "other");
    let error = create.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), crate::outcome(&error)), (ErrorKind::Unavailable, "unknown"));
}

#[tokio::test]
async fn a_rolling_restart_under_load_loses_no_call() {
    let config = testing::config();
    let caller = start(&config, "caller", App::new()).await;
    let mut replicas = vec![
        start(&config, "worker", App::new().register("jobs", Named("x"))).await,
        start(&config, "worker", App::new().register("jobs", Named("x"))).await,
    ];
    sees_replicas(&caller, "jobs", 2).await;
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let jobs = caller.service("jobs");
            let over = over.clone();
            tokio::spawn(async move {
                let mut made = 0;
                while !over.load(Ordering::SeqCst) {
                    jobs.create(made).await?;
                    made += 1;
                }
                Ok::<_, rachis::Error>(made)
            })
        })
        .collect();
    for _ in 0..15 {
        replicas.push(start(&config, "worker", App::new().register("jobs", Named("x"))).await);
        replicas.remove(0).shutdown().await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for caller in callers {
        assert!(caller.await.unwrap().unwrap() > 10);
    }
    assert_eq!(queued(&config, "worker").await, 0);
}

#[tokio::test]
async fn shutting_down_twice_does_nothing_and_ends_what_listens() {
    let [there, here] = testing::cluster([App::new().register("jobs", Named("x")), App::new()]).await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    here.shutdown().await.unwrap();
    here.shutdown().await.unwrap();
    here.closing().await;
    assert!(events.next().await.is_none());
    assert_eq!(
        here.service("jobs").get(1).timeout(Duration::from_secs(1)).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    testing::eventually("it is gone", async || there.nodes().len() == 1).await;
}

#[tokio::test]
async fn events_fired_last_are_published_before_the_node_is_gone() {
    let [there, here] = testing::cluster([App::new().register("jobs", Named("x")), App::new()]).await;
    let mut events = here.service("jobs").on("shouted").await.unwrap();
    for n in 0..500 {
        there.service("jobs").emit("shouted", n).unwrap();
    }
    there.shutdown().await.unwrap();
    for n in 0..500 {
        assert_eq!(events.next().await.unwrap().data, n);
    }
}

#[tokio::test]
async fn a_node_leaves_though_nobody_waits_for_its_shutdown() {
    let config = testing::config();
    let gate = Gate::closed("leaving");
    let leaving = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "jobs").await;
    let create = tokio::spawn(caller.service("jobs").create("x").answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    // One look at it, and it is dropped.
    assert!(leaving.shutdown().now_or_never().is_none());
    testing::eventually("it drains", async || leaving.readiness() == Readiness::Draining).await;
    gate.open_up();
    assert_eq!(create.await.unwrap().unwrap().result, "leaving");
    testing::eventually("it has left", async || caller.nodes().len() == 1).await;
}

#[tokio::test]
async fn a_node_that_leaves_while_it_asks_another_one_is_told_so_at_once() {
    let config = testing::config();
    let silent = start(&config, "silent", App::new()).await;
    let asking = start(&config, "asking", App::new()).await;
    testing::eventually("it is known", async || asking.nodes().len() == 2).await;
    // It dies without a word, and is believed in until its TTL is over.
    let peer = asking.peer(silent.id());
    drop(silent);
    let asked = tokio::spawn(async move { peer.ping().await });
    tokio::task::yield_now().await;
    asking.shutdown().await.unwrap();
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
