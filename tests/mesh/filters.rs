//! Which part of an app others see, and which part of the others a node sees.

use crate::{
    knows, named,
    services::{Echo, Named},
    start,
    wire::{self, request},
};
use rachis::{
    App, Config, ErrorKind, Method, Node, Registration,
    config::{NameFilter, PathFilter, PathTemplate, ServiceConfig},
};
use rachis_testing as testing;
use serde_json::json;
use std::time::Duration;

fn only(names: &[&str]) -> NameFilter {
    NameFilter::Only(names.iter().map(|name| (*name).to_owned()).collect())
}

fn paths(node: &Node) -> Vec<String> {
    node.services().into_iter().map(|service| service.path).collect()
}

fn three() -> App {
    App::new().register("api/todos", Echo).register("api/users", Echo).register("internal/keys", Echo)
}

#[tokio::test]
async fn only_services_that_the_globs_allow_are_published() {
    let config = testing::config();
    let services = PathFilter::new(["api/*", "!api/users"]).unwrap();
    let there = testing::start(Config { services, ..named(&config, "worker") }, three()).await;
    let here = start(&config, "caller", App::new()).await;
    assert_eq!(paths(&here), ["api/todos"]);
    assert_eq!(paths(&there).len(), 3);
    there.service("internal/keys").find().await.unwrap();
}

#[tokio::test]
async fn only_services_that_the_predicate_wants_are_published() {
    let config = testing::config();
    let wanted = |service: &rachis::ServiceInfo| service.methods.contains(&Method::Find) && !service.remote;
    let app = three().register("writable", Registration::from(Echo).methods(["create"]));
    let _there = Node::builder(named(&config, "worker")).app(app).services(wanted).start().await.unwrap();
    let here = start(&config, "caller", App::new()).await;
    assert_eq!(paths(&here), ["api/todos", "api/users", "internal/keys"]);
}

#[tokio::test]
async fn a_node_believes_only_in_remote_services_that_the_globs_allow() {
    let config = testing::config();
    let there = start(&config, "worker", three()).await;
    let remote_services = PathFilter::new(["!internal/*"]).unwrap();
    let here = testing::start(Config { remote_services, ..named(&config, "caller") }, App::new()).await;
    let all = start(&config, "other", App::new()).await;
    assert_eq!(paths(&here), ["api/todos", "api/users"]);
    there.register("internal/late", Echo).await.unwrap();
    there.register("late", Echo).await.unwrap();
    knows(&here, "late").await;
    knows(&all, "internal/late").await;
    assert!(here.resolve("internal/late").is_none());
    assert_eq!(here.service("internal/keys").find().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_node_believes_only_in_remote_services_that_the_predicate_wants() {
    let config = testing::config();
    let _trusted = start(&config, "trusted", App::new().register("todos", Named("trusted"))).await;
    let _other = start(&config, "other", App::new().register("users", Named("other"))).await;
    let builder = Node::builder(named(&config, "caller")).remote_services(|service| service.app == "trusted");
    let here = builder.start().await.unwrap();
    assert_eq!(paths(&here), ["todos"]);
}

#[tokio::test]
async fn a_filter_lets_the_second_app_of_a_path_through() {
    let config = testing::config();
    let _old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let _young = start(&config, "young", App::new().register("both", Named("young"))).await;
    let builder = Node::builder(named(&config, "caller")).remote_services(|service| service.app != "old");
    let here = builder.start().await.unwrap();
    assert_eq!(here.service("both").get(1).await.unwrap(), "young");
}

#[tokio::test]
async fn remote_paths_follow_a_template() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("todos", Echo)).await;
    let remote_service_path: PathTemplate = serde_json::from_value(json!("{key}/{app}/{path}")).unwrap();
    let here = testing::start(Config { remote_service_path, ..named(&config, "caller") }, App::new()).await;
    assert_eq!(paths(&here), ["default/worker/todos"]);
    let mut created = here.service("default/worker/todos").on("created").await.unwrap();
    let saved = here.service("default/worker/todos").create(json!("x")).await.unwrap();
    assert_eq!(saved["data"], "x");
    assert_eq!(created.next().await.unwrap().path, "default/worker/todos");
    assert_eq!(here.service("todos").find().await.unwrap_err().kind(), ErrorKind::NotFound);
    there.unregister("todos").await.unwrap();
    crate::forgets(&here, "default/worker/todos").await;
}

#[tokio::test]
async fn remote_paths_follow_a_closure() {
    let config = testing::config();
    let _there = start(&config, "worker", App::new().register("todos", Echo)).await;
    let builder = Node::builder(named(&config, "caller"))
        .remote_service_path(|service| format!("/far/{}-of-{}/", service.path, service.app));
    let here = builder.start().await.unwrap();
    assert_eq!(paths(&here), ["far/todos-of-worker"]);
    assert_eq!(here.service("far/todos-of-worker").get(3).await.unwrap()["id"], 3);
}

#[tokio::test]
async fn two_remote_services_that_would_get_one_path_do_not_stop_the_others() {
    let config = testing::config();
    let _there = start(&config, "worker", App::new().register("a", Named("a")).register("b", Named("b"))).await;
    let _other = start(&config, "other", App::new().register("c", Named("c"))).await;
    let builder = Node::builder(named(&config, "caller"))
        .remote_service_path(|service| if service.path == "c" { "c".into() } else { "same".into() });
    let here = builder.start().await.unwrap();
    assert_eq!(here.service("c").get(1).await.unwrap(), "c");
    assert_eq!(here.service("same").get(1).await.unwrap(), "a");
}

#[tokio::test]
async fn a_node_announces_the_options_that_it_names_and_no_others() {
    let config = testing::config();
    let todos = Registration::from(Echo).option("label", "Todos").option("internal", json!({ "a": 1 }));
    let open = Config { remote_service_options: vec!["label".to_owned()], ..named(&config, "open") };
    let _open = testing::start(open, App::new().register("todos", todos.clone())).await;
    let _closed = start(&config, "closed", App::new().register("notes", todos)).await;
    let here = start(&config, "caller", App::new()).await;
    let options = |path: &str| serde_json::to_value(&here.resolve(path).unwrap().descriptor.options).unwrap();
    assert_eq!((options("todos"), options("notes")), (json!({ "label": "Todos" }), json!({})));
}

#[tokio::test]
async fn the_lists_of_methods_narrow_what_others_may_call() {
    let config = testing::config();
    let mut there = named(&config, "worker");
    there.distributed_methods = only(&["find", "get", "inspect"]);
    let special = ServiceConfig { methods: Some(only(&["create"])), ..ServiceConfig::default() };
    there.service.insert("special".into(), special);
    let app = App::new()
        .register("plain", Echo)
        .register("special", Echo)
        .register("own", Registration::from(Echo).distributed_methods(["remove"]))
        .register("none", Registration::from(Echo).methods(["patch"]));
    let there = testing::start(there, app).await;
    let here = start(&config, "caller", App::new()).await;
    assert_eq!(paths(&here), ["own", "plain", "special"], "a service without methods is not published");
    for (path, allowed) in [("plain", &["find", "get", "inspect"][..]), ("special", &["create"]), ("own", &["remove"])]
    {
        for method in ["find", "get", "create", "update", "patch", "remove", "inspect"] {
            let outcome = here.service(path).method(method).id(1).data(json!({})).await;
            match outcome {
                Ok(seen) => assert!(allowed.contains(&method) && seen["method"] == method, "{path} {method}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::MethodNotAllowed);
                    assert!(!allowed.contains(&method), "{path} {method}");
                }
            }
            assert!(there.service(path).method(method).id(1).data(json!({})).await.is_ok(), "here it is local");
        }
    }
}

#[tokio::test]
async fn what_was_not_published_is_not_called_by_a_request_written_straight_into_the_stream() {
    let mut config = testing::config();
    config.distributed_methods = only(&["find"]);
    config.services = PathFilter::new(["*", "!filtered"]).unwrap();
    let app = App::new()
        .register("open", Echo)
        .register("secret", Registration::from(Echo).local_only())
        .register("filtered", Echo);
    let there = start(&config, "worker", app).await;
    let paths_and_methods =
        [("open", "find"), ("open", "create"), ("secret", "find"), ("filtered", "find"), ("absent", "find")];
    for (id, (path, method)) in paths_and_methods.into_iter().enumerate() {
        wire::send(&config, "worker", &request(id as u64, path, method, Duration::from_secs(10))).await;
    }
    // As if another replica had handed it on, as well. What stands in the inbox itself runs nothing at all.
    let inbox = wire::inbox_of(&config, there.id());
    wire::add(&config, &inbox, &request(7, "open", "find", Duration::from_secs(10))).await;
    wire::hand_on(&config, "worker", there.id(), &request(5, "secret", "find", Duration::from_secs(10))).await;
    wire::hand_on(&config, "worker", there.id(), &request(6, "open", "find", Duration::from_secs(10))).await;
    testing::eventually("all are answered", async || wire::replies(&config).await.len() == 7).await;
    let mut replies = wire::replies(&config).await;
    replies.sort_by_key(|reply| reply.0);
    let names: Vec<String> = replies.iter().map(|(_, outcome)| crate::text(&outcome["Failure"], "name")).collect();
    assert_eq!(names, ["", "MethodNotAllowed", "NotFound", "NotFound", "NotFound", "NotFound", ""], "{replies:?}");
    assert_eq!(replies[0].1["Answer"][0]["method"], "find");
    assert_eq!(replies[0].1["Answer"][0]["fromRemote"], true);
    there.service("secret").find().await.unwrap();
}
