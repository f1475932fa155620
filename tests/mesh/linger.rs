//! Paths whose last replica went: callable for a while, by calls that wait.

use crate::{
    forgets, knows, named, queued,
    services::{Echo, Named},
    start,
};
use futures_util::StreamExt;
use rachis::{App, Config, ErrorKind, config::Linger};
use rachis_testing as testing;
use std::time::{Duration, Instant};

fn lingering(linger: Linger) -> Config {
    Config { linger, ..testing::config() }
}

#[tokio::test]
async fn a_call_waits_for_the_next_replica_and_is_answered_by_it() {
    let config = testing::config();
    let caller = start(&config, "caller", App::new()).await;
    let replica = start(&config, "worker", App::new().register("jobs", Named("first"))).await;
    knows(&caller, "jobs").await;
    replica.shutdown().await.unwrap();
    testing::eventually("nobody is up", async || !caller.health(None).unwrap()["jobs"]).await;
    let call = tokio::spawn(caller.service("jobs").create("work").answer());
    testing::eventually("it waits", async || queued(&config, "worker").await == 1).await;
    let _next = start(&config, "worker", App::new().register("jobs", Named("second"))).await;
    assert_eq!(call.await.unwrap().unwrap().result, "second");
    testing::eventually("it is healthy again", async || caller.health(None).unwrap()["jobs"]).await;
}

#[tokio::test]
async fn a_path_that_nobody_came_back_to_is_not_found_after_the_linger() {
    let linger = Duration::from_millis(700);
    let config = lingering(Linger::For(linger));
    let caller = start(&config, "caller", App::new()).await;
    let mut removed = caller.on("service-removed");
    let replica = start(&config, "worker", App::new().register("jobs", Echo)).await;
    knows(&caller, "jobs").await;
    let stopped = Instant::now();
    replica.shutdown().await.unwrap();
    assert_eq!(removed.next().await.unwrap().path, "jobs");
    assert!(stopped.elapsed() >= linger, "{:?}", stopped.elapsed());
    assert_eq!(caller.service("jobs").get(1).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(caller.services().is_empty());
    assert!(caller.health(None).unwrap().is_empty());
}

#[tokio::test]
async fn a_linger_of_zero_is_not_found_at_once() {
    let config = lingering(Linger::For(Duration::ZERO));
    let caller = start(&config, "caller", App::new()).await;
    let mut removed = caller.on("service-removed");
    let replica = start(&config, "worker", App::new().register("jobs", Echo)).await;
    knows(&caller, "jobs").await;
    let stopped = Instant::now();
    replica.shutdown().await.unwrap();
    assert_eq!(removed.next().await.unwrap().path, "jobs");
    assert!(stopped.elapsed() < Duration::from_millis(500), "{:?}", stopped.elapsed());
    assert_eq!(caller.service("jobs").get(1).await.unwrap_err().kind(), ErrorKind::NotFound);
    let newcomer = start(&config, "newcomer", App::new()).await;
    assert!(newcomer.resolve("jobs").is_none());
}

#[tokio::test]
async fn a_linger_without_end_outlives_every_other() {
    let config = lingering(Linger::Forever);
    let caller = start(&config, "caller", App::new()).await;
    let forever = start(&config, "forever", App::new().register("kept", Named("first"))).await;
    let short = Config { linger: Linger::For(Duration::from_millis(300)), ..named(&config, "short") };
    let short = testing::start(short, App::new().register("lost", Named("short"))).await;
    knows(&caller, "kept").await;
    knows(&caller, "lost").await;
    forever.shutdown().await.unwrap();
    short.shutdown().await.unwrap();
    forgets(&caller, "lost").await;
    assert!(caller.resolve("kept").is_some());
    let gateway = start(&config, "gateway", App::new()).await;
    assert!(gateway.resolve("kept").is_some() && gateway.resolve("lost").is_none());
    let call = tokio::spawn(gateway.service("kept").get(1).answer());
    testing::eventually("it waits", async || queued(&config, "forever").await == 1).await;
    let _next = start(&config, "forever", App::new().register("kept", Named("second"))).await;
    assert_eq!(call.await.unwrap().unwrap().result, "second");
}

#[tokio::test]
async fn a_gateway_that_starts_meanwhile_learns_of_lingering_paths_and_forgets_them_in_time() {
    let config = lingering(Linger::For(Duration::from_millis(1200)));
    let replica = start(&config, "worker", App::new().register("jobs", Echo)).await;
    replica.shutdown().await.unwrap();
    let gateway = start(&config, "gateway", App::new()).await;
    assert!(gateway.resolve("jobs").is_some());
    assert!(!gateway.health(None).unwrap()["jobs"]);
    let mut removed = gateway.on("service-removed");
    assert_eq!(removed.next().await.unwrap().path, "jobs");
    assert_eq!(gateway.service("jobs").get(1).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_path_that_its_last_provider_unregisters_is_gone_at_once() {
    let config = lingering(Linger::Forever);
    let caller = start(&config, "caller", App::new()).await;
    let replica = start(&config, "worker", App::new().register("jobs", Echo).register("other", Echo)).await;
    knows(&caller, "jobs").await;
    replica.unregister("jobs").await.unwrap();
    forgets(&caller, "jobs").await;
    assert!(caller.resolve("other").is_some());
    replica.shutdown().await.unwrap();
    let gateway = start(&config, "gateway", App::new()).await;
    assert!(gateway.resolve("other").is_some() && gateway.resolve("jobs").is_none());
}

#[tokio::test]
async fn a_replica_that_died_leaves_its_paths_lingering_too() {
    let config = lingering(Linger::For(Duration::from_secs(60)));
    let caller = start(&config, "caller", App::new()).await;
    let replica = start(&config, "worker", App::new().register("jobs", Echo)).await;
    knows(&caller, "jobs").await;
    drop(replica);
    testing::eventually("it is believed dead", async || caller.nodes().len() == 1).await;
    assert!(!caller.health(None).unwrap()["jobs"]);
    let gateway = start(&config, "gateway", App::new()).await;
    assert!(gateway.resolve("jobs").is_some());
    let call = tokio::spawn(gateway.service("jobs").get(5).answer());
    testing::eventually("it waits", async || queued(&config, "worker").await == 1).await;
    let _next = start(&config, "worker", App::new().register("jobs", Echo)).await;
    assert_eq!(call.await.unwrap().unwrap().result["id"], 5);
}

#[tokio::test]
async fn a_path_lingers_for_nobody_while_another_app_offers_it() {
    let config = lingering(Linger::For(Duration::from_millis(300)));
    let caller = start(&config, "caller", App::new()).await;
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    knows(&caller, "both").await;
    let _young = start(&config, "young", App::new().register("both", Named("young"))).await;
    old.shutdown().await.unwrap();
    testing::eventually("the other is called", async || {
        caller.service("both").get(1).await.is_ok_and(|by| by == "young")
    })
    .await;
    assert!(caller.health(None).unwrap()["both"]);
}
