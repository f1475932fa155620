//! Who is there, and which of several offers is called.

use crate::{
    forgets, knows, named, sees_replicas,
    services::{Echo, Named},
    start,
};
use futures_util::StreamExt;
use rachis::{App, Change, Config, ErrorKind, Node, Readiness, ServiceInfo, config::StartDelay};
use rachis_testing as testing;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Who answers calls of `path` made on `node`.
async fn answers(node: &Node, path: &str) -> Value {
    node.service(path).get(1).await.unwrap_or_else(|error| error.to_string().into())
}

/// Waits until `node` calls the app `name` for `path`, whose services say that name.
async fn is_answered_by(node: &Node, path: &str, name: &str) {
    let app = async || {
        let services = node.services().into_iter();
        services.filter(|service| service.path == path).map(|service| (service.app, service.healthy)).next()
    };
    testing::eventually("calls go where they shall", async || app().await == Some((name.to_owned(), true))).await;
    assert_eq!(answers(node, path).await, name);
}

#[tokio::test]
async fn services_registered_before_and_after_the_start_appear_on_every_other_node() {
    let [a, b, c] = testing::cluster([App::new().register("early", Named("a")), App::new(), App::new()]).await;
    for node in [&b, &c] {
        knows(node, "early").await;
    }
    a.register("api/late", Named("a")).await.unwrap();
    a.app().try_register("later", Named("a")).unwrap();
    for node in [&b, &c] {
        for path in ["early", "api/late", "later"] {
            knows(node, path).await;
            assert!(node.resolve(path).unwrap().remote);
            assert_eq!(answers(node, path).await, "a");
        }
    }
    let info = b.services().into_iter().find(|service| service.path == "api/late").unwrap();
    assert_eq!((info.app.as_str(), info.key.as_str(), info.remote, info.healthy), ("app-0", "default", true, true));
    assert_eq!(info.replicas, [a.id()]);
}

#[tokio::test]
async fn a_node_that_starts_later_learns_of_everything_that_is_there() {
    let config = testing::config();
    let first = start(&config, "first", App::new().register("early", Named("first"))).await;
    first.register("late", Named("first")).await.unwrap();
    let second = start(&config, "second", App::new()).await;
    // No waiting: `start` returns when the registry has been read.
    assert!(second.resolve("early").is_some());
    knows(&second, "late").await;
    assert_eq!(second.nodes().len(), 2);
}

#[tokio::test]
async fn a_local_service_wins_over_a_remote_one_registered_before_it() {
    let [_there, here] = testing::cluster([App::new().register("both", Named("there")), App::new()]).await;
    assert_eq!(answers(&here, "both").await, "there");
    here.register("both", Named("here")).await.unwrap();
    assert_eq!(answers(&here, "both").await, "here");
    assert!(!here.resolve("both").unwrap().remote);
    assert!(here.unregister("both").await.unwrap());
    assert_eq!(answers(&here, "both").await, "there");
}

#[tokio::test]
async fn a_local_service_wins_over_a_remote_one_registered_after_it() {
    let [there, here] = testing::cluster([App::new(), App::new().register("both", Named("here"))]).await;
    there.register("both", Named("there")).await.unwrap();
    let other = start(here.config(), "other", App::new()).await;
    sees_replicas(&other, "both", 1).await;
    testing::eventually("it is known to be offered there", async || {
        here.nodes().iter().any(|node| node.id == there.id() && node.services == ["both"])
    })
    .await;
    assert_eq!(answers(&here, "both").await, "here");
    here.unregister("both").await.unwrap();
    assert_eq!(answers(&here, "both").await, "there");
    let app = async || other.services().into_iter().find(|service| service.path == "both").map(|service| service.app);
    testing::eventually("it goes there", async || app().await.as_deref() == Some("app-0")).await;
    assert_eq!(answers(&other, "both").await, "there");
}

#[tokio::test]
async fn of_two_apps_with_one_path_the_oldest_is_called_by_every_node_until_it_goes() {
    let config = testing::config();
    // By name the younger one comes first.
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let before = start(&config, "before", App::new()).await;
    let young = start(&config, "new", App::new().register("both", Named("new"))).await;
    let after = start(&config, "after", App::new()).await;
    for node in [&before, &after] {
        testing::eventually("all are known", async || node.nodes().len() == 4).await;
        for _ in 0..5 {
            assert_eq!(answers(node, "both").await, "old");
        }
        assert_eq!(node.services().iter().filter(|service| service.path == "both").count(), 1);
    }
    old.shutdown().await.unwrap();
    for node in [&before, &after] {
        is_answered_by(node, "both", "new").await;
    }
    drop(young);
}

#[tokio::test]
async fn the_younger_app_takes_over_when_the_older_one_unregisters() {
    let config = testing::config();
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let _young = start(&config, "new", App::new().register("both", Named("new"))).await;
    let caller = start(&config, "caller", App::new()).await;
    assert_eq!(answers(&caller, "both").await, "old");
    old.unregister("both").await.unwrap();
    is_answered_by(&caller, "both", "new").await;
    // Whoever comes back is the younger one now.
    old.register("both", Named("old")).await.unwrap();
    let late = start(&config, "late", App::new()).await;
    testing::eventually("it is back", async || {
        caller.nodes().iter().any(|node| node.id == old.id() && !node.services.is_empty())
    })
    .await;
    assert_eq!(answers(&caller, "both").await, "new");
    assert_eq!(answers(&late, "both").await, "new");
}

#[tokio::test]
async fn a_replica_that_goes_takes_a_path_along_only_if_nobody_else_has_it() {
    let config = testing::config();
    let caller = start(&config, "caller", App::new()).await;
    let both = || App::new().register("shared", Named("one"));
    let one = start(&config, "worker", both()).await;
    let two = start(&config, "worker", both()).await;
    sees_replicas(&caller, "shared", 2).await;
    one.unregister("shared").await.unwrap();
    sees_replicas(&caller, "shared", 1).await;
    assert_eq!(answers(&caller, "shared").await, "one");
    one.register("shared", Named("one")).await.unwrap();
    sees_replicas(&caller, "shared", 2).await;
    two.shutdown().await.unwrap();
    sees_replicas(&caller, "shared", 1).await;
    assert_eq!(answers(&caller, "shared").await, "one");
    one.unregister("shared").await.unwrap();
    forgets(&caller, "shared").await;
    assert_eq!(caller.service("shared").get(1).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn services_are_told_of_as_they_come_and_go() {
    let [there, here] = testing::cluster([App::new(), App::new()]).await;
    let mut came = here.on("service");
    let mut went = here.on("service-removed");
    there.register("todos", Echo).await.unwrap();
    let info: ServiceInfo = came.next().await.unwrap();
    assert_eq!((info.path.as_str(), info.remote, info.healthy), ("todos", true, true));
    assert!(info.events.contains(&"created".to_owned()) && info.events.contains(&"shouted".to_owned()));
    assert_eq!(info.methods.len(), 7);
    there.unregister("todos").await.unwrap();
    assert_eq!(went.next().await.unwrap().path, "todos");
    assert!(here.resolve("todos").is_none(), "gone before it is said");
    here.shutdown().await.unwrap();
    assert!(came.next().await.is_none() && went.next().await.is_none(), "the streams end with the node");
}

#[tokio::test]
async fn each_coming_and_going_is_told_of_once() {
    let config = testing::config();
    let watcher = start(&config, "watcher", App::new()).await;
    let mut changes = watcher.changes();
    let one = start(&config, "worker", App::new().register("jobs", Named("one"))).await;
    let two = start(&config, "worker", App::new().register("jobs", Named("two"))).await;
    sees_replicas(&watcher, "jobs", 2).await;
    one.shutdown().await.unwrap();
    two.unregister("jobs").await.unwrap();
    two.shutdown().await.unwrap();
    let mut told = Vec::new();
    while told.iter().filter(|told: &&String| told.starts_with("down")).count() < 2 {
        told.push(match changes.next().await.unwrap() {
            Change::NodeUp(node) => format!("up {}", node.app),
            Change::NodeDown(node) => format!("down {}", node.app),
            Change::Service(service) => format!("service {}", service.path),
            Change::ServiceRemoved(service) => format!("removed {}", service.path),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(told, ["up worker", "service jobs", "up worker", "down worker", "removed jobs", "down worker"]);
}

#[tokio::test]
async fn waiting_for_a_path_ends_when_it_comes_and_gives_up_in_time() {
    let [there, here] = testing::cluster([App::new(), App::new()]).await;
    let waiting = tokio::spawn({
        let here = here.clone();
        async move { here.wait_for("/todos/").await }
    });
    there.register("todos", Echo).await.unwrap();
    let found = waiting.await.unwrap().unwrap();
    assert!(found.remote && found.descriptor.path == "todos");
    there.wait_for("todos").await.unwrap();

    let impatient = Config { timeout: Duration::from_millis(100), ..named(here.config(), "impatient") };
    let impatient = testing::start(impatient, App::new()).await;
    assert_eq!(impatient.wait_for("nothing").await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_key_is_carried_and_hides_nothing() {
    let config = testing::config();
    let there = Config { key: "europe".into(), ..named(&config, "worker") };
    let there = testing::start(there, App::new().register("todos", Named("europe"))).await;
    let other = Config { key: "asia".into(), ..named(&config, "worker") };
    let _other = testing::start(other, App::new().register("users", Named("asia"))).await;
    let here = start(&config, "caller", App::new()).await;
    assert_eq!(answers(&here, "todos").await, "europe");
    assert_eq!(answers(&here, "users").await, "asia");
    assert_eq!(answers(&there, "users").await, "asia");
    let info = here.services().into_iter().find(|service| service.path == "todos").unwrap();
    assert_eq!((info.key.as_str(), info.app.as_str()), ("europe", "worker"));
    assert_eq!(here.health(Some("europe")).unwrap().into_iter().collect::<Vec<_>>(), [("todos".to_owned(), true)]);
    assert_eq!(here.health(None).unwrap().len(), 2);
    assert_eq!(here.health(Some("africa")), None);
}

#[tokio::test]
async fn meshes_of_different_namespaces_see_nothing_of_each_other() {
    let _there = start(&testing::config(), "worker", App::new().register("todos", Echo)).await;
    let here = start(&testing::config(), "caller", App::new()).await;
    assert_eq!((here.services().len(), here.nodes().len()), (0, 1));
}

#[tokio::test]
async fn services_are_announced_after_the_publication_delay() {
    let config = testing::config();
    let watcher = start(&config, "watcher", App::new()).await;
    let delay = Duration::from_millis(600);
    let shy = Config { publication_delay: delay, ..named(&config, "shy") };
    let started = Instant::now();
    let shy = testing::start(shy, App::new().register("todos", Named("shy"))).await;
    testing::eventually("the node is known", async || watcher.nodes().len() == 2).await;
    assert!(watcher.resolve("todos").is_none(), "known after {:?}", started.elapsed());
    shy.register("later", Named("shy")).await.unwrap();
    knows(&watcher, "todos").await;
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
    knows(&watcher, "later").await;
    assert_eq!(answers(&watcher, "todos").await, "shy");
}

#[tokio::test]
async fn a_node_joins_after_its_start_delay_or_when_it_is_told() {
    let config = testing::config();
    let watcher = start(&config, "watcher", App::new().register("there", Named("watcher"))).await;
    let manual = Config { start_delay: StartDelay::Manual, ..named(&config, "manual") };
    let manual = testing::start(manual, App::new().register("todos", Named("manual"))).await;
    assert_eq!(manual.readiness(), Readiness::Starting);
    assert_eq!(answers(&manual, "todos").await, "manual");
    assert_eq!(manual.service("there").get(1).await.unwrap_err().kind(), ErrorKind::NotFound);

    let late = Config { start_delay: StartDelay::After(Duration::from_millis(400)), ..named(&config, "late") };
    let asked = Instant::now();
    let late = testing::start(late, App::new().register("late", Named("late"))).await;
    assert!(asked.elapsed() >= Duration::from_millis(400));
    assert_eq!(late.readiness(), Readiness::Ready);
    knows(&watcher, "late").await;
    assert!(watcher.resolve("todos").is_none());

    manual.join().await.unwrap();
    manual.join().await.unwrap();
    assert_eq!(manual.readiness(), Readiness::Ready);
    knows(&watcher, "todos").await;
    assert_eq!(answers(&manual, "there").await, "watcher");
    assert_eq!(watcher.nodes().len(), 3);
}

#[tokio::test]
async fn a_node_that_never_joined_can_be_shut_down() {
    let config = Config { start_delay: StartDelay::Manual, ..testing::config() };
    let node = testing::start(config, App::new()).await;
    node.shutdown().await.unwrap();
    assert_eq!(node.readiness(), Readiness::Draining);
}

#[tokio::test]
async fn a_node_that_is_dropped_without_goodbye_is_found_out_within_its_ttl() {
    let [watcher, gone] = testing::cluster([App::new(), App::new().register("todos", Echo)]).await;
    knows(&watcher, "todos").await;
    drop(gone);
    testing::eventually("it is believed dead", async || watcher.nodes().len() == 1).await;
    assert!(!watcher.health(None).unwrap()["todos"]);
}

#[tokio::test]
async fn a_service_that_changes_its_methods_is_told_of_anew() {
    let config = testing::config();
    let there = start(&config, "worker", App::new()).await;
    let here = start(&config, "caller", App::new()).await;
    there.register("todos", rachis::Registration::from(Echo).methods(["find"])).await.unwrap();
    knows(&here, "todos").await;
    assert_eq!(here.service("todos").get(1).await.unwrap_err().kind(), ErrorKind::MethodNotAllowed);
    there.unregister("todos").await.unwrap();
    there.register("todos", Echo).await.unwrap();
    testing::eventually("the new one is known", async || here.service("todos").get(1).await.is_ok()).await;
}

#[tokio::test]
async fn a_local_service_has_no_events_from_the_remote_one_it_hides() {
    let [there, here] = testing::cluster([App::new().register("both", Echo), App::new().register("both", Echo)]).await;
    let mut events = here.service("both").on("created").await.unwrap();
    there.service("both").create(serde_json::json!("there")).await.unwrap();
    here.service("both").create(serde_json::json!("here")).await.unwrap();
    assert_eq!(events.next().await.unwrap().data["data"], "here");
}

#[tokio::test]
async fn an_app_that_comes_back_after_its_linger_is_the_younger_one() {
    let config = Config { linger: rachis::config::Linger::For(Duration::from_millis(1500)), ..testing::config() };
    let caller = start(&config, "caller", App::new()).await;
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let young = start(&config, "young", App::new().register("both", Named("young"))).await;
    testing::eventually("all are known", async || caller.nodes().len() == 3).await;
    old.shutdown().await.unwrap();
    is_answered_by(&caller, "both", "young").await;

    // Back within the linger it is still the oldest.
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    is_answered_by(&caller, "both", "old").await;
    old.shutdown().await.unwrap();
    let gone = Instant::now() + Duration::from_millis(1510);
    tokio::time::sleep_until(gone.into()).await;
    let _old = start(&config, "old", App::new().register("both", Named("old"))).await;
    testing::eventually("it is back", async || caller.nodes().len() == 3).await;
    assert_eq!(answers(&caller, "both").await, "young");
    drop(young);
}
