//! Replicas of different versions side by side.

use crate::{
    knows, queued, sees_replicas,
    services::{Gate, Named},
    start,
    wire::{self, request},
};
use futures_util::future::join_all;
use rachis::{App, Config, ErrorKind, Registration};
use rachis_testing as testing;
use std::time::Duration;

#[tokio::test]
async fn a_call_of_what_only_the_new_version_has_is_handed_on_to_it() {
    let config = testing::config();
    let old = App::new().register("todos", Registration::from(Named("old")).methods(["find"]));
    let new = App::new().register("todos", Named("new")).register("added", Named("new"));
    let _old = start(&config, "worker", old).await;
    let _new = start(&config, "worker", new).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "todos", 2).await;
    let calls = (0..60).map(|n| caller.service("todos").create(n).answer());
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().result, "new");
    }
    for answer in join_all((0..60).map(|n| caller.service("added").get(n).answer())).await {
        assert_eq!(answer.unwrap().result, "new");
    }
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn what_no_replica_has_is_refused_and_does_not_go_round() {
    let config = testing::config();
    let only = |name| App::new().register("todos", Registration::from(Named(name)).methods(["find"]));
    let _one = start(&config, "worker", only("one")).await;
    let _two = start(&config, "worker", only("two")).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "todos", 2).await;
    for (id, (path, method)) in [("todos", "create"), ("gone", "find")].into_iter().enumerate() {
        wire::send(&config, "worker", &request(id as u64, path, method, Duration::from_secs(10))).await;
    }
    testing::eventually("both are refused", async || wire::replies(&config).await.len() == 2).await;
    let mut replies = wire::replies(&config).await;
    replies.sort_by_key(|reply| reply.0);
    let names: Vec<_> = replies.iter().map(|reply| crate::text(&reply.1["Failure"], "name")).collect();
    assert_eq!(names, ["MethodNotAllowed", "NotFound"]);
    assert_eq!(queued(&config, "worker").await, 0);
}

#[tokio::test]
async fn calls_that_wait_are_not_refused_by_a_replica_that_registers_its_service_after_it_joined() {
    let config = testing::config();
    let first = start(&config, "worker", App::new().register("todos", Named("first"))).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    first.shutdown().await.unwrap();
    let calls: Vec<_> = (0..10).map(|n| tokio::spawn(caller.service("todos").create(n).answer())).collect();
    testing::eventually("all wait", async || queued(&config, "worker").await == 10).await;
    let next = start(&config, "worker", App::new()).await;
    // Long enough for a replica that would pull.
    tokio::time::sleep(Duration::from_millis(100)).await;
    next.register("todos", Named("next")).await.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().result, "next");
    }
}

#[tokio::test]
async fn a_call_that_was_handed_on_is_not_handed_on_again() {
    let config = testing::config();
    let only = |name| App::new().register("todos", Registration::from(Named(name)).methods(["find"]));
    let one = start(&config, "worker", only("one")).await;
    let two = start(&config, "worker", App::new().register("todos", Named("two"))).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "todos", 2).await;
    wire::hand_on(&config, "worker", one.id(), &request(1, "todos", "create", Duration::from_secs(10))).await;
    testing::eventually("it is refused", async || wire::replies(&config).await.len() == 1).await;
    assert_eq!(crate::text(&wire::replies(&config).await[0].1["Failure"], "name"), "MethodNotAllowed");
    drop(two);
}

#[tokio::test]
async fn a_call_that_waited_too_long_after_it_was_handed_on_is_not_started() {
    let mut config = testing::config();
    config.limits.max_in_flight = 1;
    let gate = Gate::closed("new");
    let there = start(&config, "worker", App::new().register("todos", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let busy = tokio::spawn(caller.service("todos").get(1).answer());
    testing::eventually("it is busy", async || gate.started() == 1).await;
    wire::hand_on(&config, "worker", there.id(), &request(1, "todos", "create", Duration::from_millis(1))).await;
    testing::eventually("it has come in", async || there.in_flight() == 2).await;
    gate.open_up();
    busy.await.unwrap().unwrap();
    testing::eventually("nothing runs", async || there.in_flight() == 0).await;
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_note_alone_lets_nothing_run() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("todos", Named("new"))).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let stream = crate::calls_of(&config, "worker");
    // Another one's, one that was settled, and no entry at all.
    let ghosts = wire::give(&config, "worker", "ghost", &request(1, "todos", "create", Duration::from_secs(9))).await;
    let settled =
        wire::give(&config, "worker", there.id(), &request(2, "todos", "create", Duration::from_secs(9))).await;
    crate::command(&config, &["XACK", &stream, "replicas", &settled]).await.unwrap();
    crate::command(&config, &["XDEL", &stream, &settled]).await.unwrap();
    for entry in [&*ghosts, &settled, "nonsense"] {
        let mut note = vec![1, b'H'];
        note.extend(rmp_serde::to_vec(&(entry,)).unwrap());
        wire::add(&config, &wire::inbox_of(&config, there.id()), &note).await;
    }
    for n in 0..5 {
        assert_eq!(caller.service("todos").get(n).await.unwrap(), "new");
    }
    testing::eventually("nothing is in hand", async || there.in_flight() == 0).await;
    assert_eq!(wire::replies(&config).await.len(), 0);
    assert_eq!(queued(&config, "worker").await, 1, "the ghost's");
}

#[tokio::test]
async fn a_request_that_was_handed_on_outlives_the_replica_it_was_handed_to() {
    let config = testing::config();
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = crate::process::Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let lacks = start(&config, "worker", App::new()).await;
    let calls: Vec<_> = (0..12).map(|n| tokio::spawn(caller.service("jobs").get(n).answer())).collect();
    testing::eventually("all have begun", async || crate::process::ran(&config, "get").await == 12).await;
    assert_eq!(lacks.in_flight(), 0, "it keeps none of them");
    let heir = crate::process::jobs(&config, "worker", true).await;
    sees_replicas(&caller, "jobs", 2).await;
    doomed.kill();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().result, std::process::id());
    }
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
    drop(heir);
}

#[tokio::test]
async fn a_request_whose_note_was_lost_is_begun_when_the_one_who_wrote_it_is_dead() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("todos", Named("new"))).await;
    let doomed = start(&config, "worker", App::new()).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "todos", 1).await;
    testing::eventually("all know all", async || there.nodes().len() == 3).await;
    wire::give(&config, "worker", there.id(), &request(1, "todos", "create", Duration::from_secs(10))).await;
    drop(doomed);
    testing::eventually("it is answered", async || wire::replies(&config).await.len() == 1).await;
    assert_eq!(wire::replies(&config).await[0].1["Answer"][0], "new");
    assert_eq!(queued(&config, "worker").await, 0);
}

#[tokio::test]
async fn a_method_refused_says_so_with_its_class() {
    let [_there, here] =
        testing::cluster([App::new().register("todos", Registration::from(Named("x")).methods(["find"])), App::new()])
            .await;
    let error = here.service("todos").remove(1).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::MethodNotAllowed, 405));
}

#[tokio::test]
async fn a_call_that_was_handed_on_does_not_wait_for_an_idle_read_that_has_the_last_slot() {
    let mut config = Config { timeout: Duration::from_secs(60), ..testing::config() };
    (config.ttl, config.redis.block) = (Some(Duration::from_secs(90)), Duration::from_secs(45));
    config.limits.max_in_flight = 1;
    let old = App::new().register("todos", Registration::from(Named("old")).methods(["find"]));
    let old = start(&config, "worker", old).await;
    let _new = start(&config, "worker", App::new().register("todos", Named("new"))).await;
    testing::eventually("both know both", async || old.nodes().len() == 2).await;
    for id in 0..3 {
        wire::hand_on(&config, "worker", old.id(), &request(id, "todos", "find", Duration::from_secs(60))).await;
        testing::eventually("it is answered", async || wire::replies(&config).await.len() == id as usize + 1).await;
    }
}
