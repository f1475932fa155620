//! Replicas of different versions side by side.

use crate::{
    knows, queued, sees_replicas,
    services::{Gate, Named},
    start,
    wire::{self, request},
};
use futures_util::future::join_all;
use rachis::{App, ErrorKind, Registration, testing};
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
async fn a_call_that_was_handed_on_is_not_handed_on_again() {
    let config = testing::config();
    let only = |name| App::new().register("todos", Registration::from(Named(name)).methods(["find"]));
    let one = start(&config, "worker", only("one")).await;
    let two = start(&config, "worker", App::new().register("todos", Named("two"))).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "todos", 2).await;
    let mut frame = request(1, "todos", "create", Duration::from_secs(10));
    // After the fixarray of eight, the number 1 and the text "nobody" comes how often it was handed on.
    let hops = 6 + 1 + 1 + 1 + "nobody".len();
    assert_eq!(frame[hops], 0);
    frame[hops] = 1;
    wire::add(&config, &wire::inbox_of(&config, one.id()), &frame).await;
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
    let inbox = wire::inbox_of(&config, there.id());
    wire::add(&config, &inbox, &request(1, "todos", "create", Duration::from_millis(1))).await;
    testing::eventually("it has come in", async || there.in_flight() == 2).await;
    gate.open_up();
    busy.await.unwrap().unwrap();
    testing::eventually("nothing runs", async || there.in_flight() == 0).await;
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_method_refused_says_so_with_its_class() {
    let [_there, here] =
        testing::cluster([App::new().register("todos", Registration::from(Named("x")).methods(["find"])), App::new()])
            .await;
    let error = here.service("todos").remove(1).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::MethodNotAllowed, 405));
}
